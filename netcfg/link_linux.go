package netcfg

import (
	"cmp"
	"strconv"

	"enid/metadata"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rtextSkipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h: counters are
// half of a link's message.
const rtextSkipStats = 1 << 3

// links reads every link of the namespace, in the order of their index.
func (c *conn) links() ([]Link, error) {
	found, err := c.confLinks()
	var links []Link
	for _, l := range found {
		links = append(links, l.Link)
	}
	return links, err
}

// link reads one link; ENODEV where there is none.
func (c *conn) link(index int) (l Link, err error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	parts := []nl.NetlinkRequestData{msg, attrU32(unix.IFLA_EXT_MASK, rtextSkipStats)}
	err = c.exchange(request(unix.RTM_GETLINK, unix.NLM_F_ACK, parts), func(b []byte) error {
		l, _ = parseLink(b)
		return nil
	})
	return l, err
}

// parseLink reads an RTM_NEWLINK.
func parseLink(b []byte) (Link, bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, false
	}
	l := Link{Index: int(int32(u32(b[4:]))), Up: u32(b[8:])&unix.IFF_UP != 0}
	ethernet := u16(b[2:]) == unix.ARPHRD_ETHER
	var current, permanent []byte
	for typ, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(v)
		case unix.IFLA_MTU:
			l.MTU = int(u32(v))
		case unix.IFLA_MASTER:
			l.Master = int(u32(v))
		case unix.IFLA_GROUP:
			l.Group = u32(v)
		case unix.IFLA_ADDRESS:
			current = v
		case unix.IFLA_PERM_ADDRESS:
			permanent = v
		case unix.IFLA_LINKINFO:
			l.Kind = linkKind(v)
		}
	}
	if ethernet {
		l.MAC = cmp.Or(nicMAC(permanent), nicMAC(current))
	}
	return l, l.Name != ""
}

func linkKind(info []byte) string {
	for typ, v := range attributes(info) {
		if typ == unix.IFLA_INFO_KIND {
			return unix.ByteSliceToString(v)
		}
	}
	return ""
}

// nicMAC is the zero MAC for what cannot be a NIC's own address.
func nicMAC(b []byte) (m metadata.MAC) {
	if len(b) != len(m) || b[0]&1 == 1 {
		return metadata.MAC{}
	}
	return metadata.MAC(b)
}

// setLink changes one of the knobs that are set through netlink.
func (c *conn) setLink(s Setting) error {
	value, err := strconv.ParseUint(s.Value, 10, 32)
	if err != nil {
		return err
	}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(s.Link)
	switch s.Knob {
	case LinkGroup:
		return c.do(unix.RTM_SETLINK, 0, msg, attrU32(unix.IFLA_GROUP, uint32(value)))
	case LinkMTU:
		return c.do(unix.RTM_SETLINK, 0, msg, attrU32(unix.IFLA_MTU, uint32(value)))
	default:
		msg.Change = unix.IFF_UP
		if value != 0 {
			msg.Flags = unix.IFF_UP
		}
		return c.do(unix.RTM_NEWLINK, 0, msg)
	}
}
