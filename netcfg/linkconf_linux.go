package netcfg

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// linkConf is the settings of a NIC that the kernel tells with it (IFLA_AF_SPEC): the arrays behind
// /proc/sys/net/ipv4/conf/NIC and ipv6. To read them there takes three system calls for each, and a
// pass needs dozens. A family that is off has none. With them comes what an announcement needs.
type linkConf struct {
	inet, inet6 []byte
	mac         [6]byte // that the NIC sends from now
	running     bool    // what is sent leaves (IFF_LOWER_UP and IFF_RUNNING of netdevice(7))
}

// confLink is a link with its settings.
type confLink struct {
	Link
	conf linkConf
}

// The places of the knobs in the arrays: enum IPV4_DEVCONF_ of linux/ip.h, less one, and DEVCONF_ of
// linux/ipv6.h.
var (
	inetConf  = map[Knob]int{RPFilter: 7, ARPAnnounce: 17, ARPIgnore: 18, Promote: 19}
	inet6Conf = map[Knob]int{AcceptRA: 3, disableIPv6: 26}
)

const disableIPv6 Knob = "ipv6/conf/*/disable_ipv6"

// Attributes of linux/if_link.h within those of a family.
const (
	iflaInetConf  = 1
	iflaInet6Conf = 2
)

// confLinks reads every link of the namespace, in the order of their index, with its settings.
func (c *conn) confLinks() ([]confLink, error) {
	parse := func(b []byte) (confLink, bool) {
		l, ok := parseLink(b)
		if !ok {
			return confLink{}, false
		}
		return confLink{l, parseConf(b)}, true
	}
	links, err := dump(c, unix.RTM_GETLINK, parse, nl.NewIfInfomsg(unix.AF_UNSPEC), attrU32(unix.IFLA_EXT_MASK, rtextSkipStats))
	slices.SortFunc(links, func(a, b confLink) int { return cmp.Compare(a.Index, b.Index) })
	return links, err
}

// parseConf reads the settings in an RTM_NEWLINK.
func parseConf(b []byte) (conf linkConf) {
	const carries = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	conf.running = u32(b[8:])&carries == carries
	for typ, spec := range attributes(b[unix.SizeofIfInfomsg:]) {
		if typ == unix.IFLA_ADDRESS {
			copy(conf.mac[:], spec)
		}
		if typ != unix.IFLA_AF_SPEC {
			continue
		}
		for family, v := range attributes(spec) {
			for typ, array := range attributes(v) {
				switch {
				case family == unix.AF_INET && typ == iflaInetConf:
					conf.inet = bytes.Clone(array)
				case family == unix.AF_INET6 && typ == iflaInet6Conf:
					conf.inet6 = bytes.Clone(array)
				}
			}
		}
	}
	return conf
}

// value is a knob's; known is false for one that is not in the arrays at all.
func (c linkConf) value(k Knob) (value string, ok, known bool) {
	array, at, known := c.inet, 0, false
	if at, known = inetConf[k]; !known {
		array = c.inet6
		at, known = inet6Conf[k]
	}
	if !known || len(array) < 4*at+4 {
		return "", false, known
	}
	return strconv.Itoa(int(int32(u32(array[4*at:])))), true, true
}

// knob reads the value that a setting had when the links were read; not ok where the kernel has
// none for this NIC.
func (l look) knob(link Link, k Knob) (value string, ok bool, err error) {
	if value, ok, known := l.conf[link.Index].value(k); known && link.Name != "all" && link.Name != "default" {
		return value, ok, nil
	}
	return knob(link, k)
}

// noIPv6 reports whether a NIC takes no IPv6 addresses and routes.
func (l look) noIPv6(link Link) bool {
	value, ok, _ := l.conf[link.Index].value(disableIPv6)
	return !ok || value != "0"
}
