package netcfg

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of linux/fib_rules.h that the library does not name.
const (
	fraDSCP = 25 + iota
	fraFlowLabel
	fraFlowLabelMask
	fraSportMask
	fraDportMask
	fraDSCPMask
)

// ruleActions are the actions of linux/fib_rules.h.
var ruleActions = map[byte]action{
	nl.FR_ACT_TO_TBL: actionTable, nl.FR_ACT_GOTO: actionGoto, nl.FR_ACT_NOP: actionNop,
	nl.FR_ACT_BLACKHOLE: "blackhole", nl.FR_ACT_UNREACHABLE: "unreachable", nl.FR_ACT_PROHIBIT: "prohibit",
}

// hostRules reads all rules of a family, in the kernel's order.
func (c *conn) hostRules(f Family) ([]hostRule, error) {
	parse := func(b []byte) (hostRule, bool) {
		r, ok := parseHostRule(b)
		return r, ok && b[0] == netlinkFamily(f)
	}
	return dump(c, unix.RTM_GETRULE, parse, &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(f)}})
}

// parseHostRule reads an RTM_NEWRULE.
func parseHostRule(b []byte) (r hostRule, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return r, false
	}
	r = hostRule{table: int(b[4]), suppressPrefix: -1, suppressGroup: -1, invert: u32(b[8:])&unix.FIB_RULE_INVERT != 0}
	r.action = ruleActions[b[7]]
	if r.action == "" { // the kernel drops what it does not know to do
		r.action = "blackhole"
	}
	if tos := b[3]; tos != 0 {
		r.narrow = append(r.narrow, selector{text: fmt.Sprintf("tos %#x", tos), kind: byClass})
	}
	var ports portSelectors
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch {
		case r.takeBasic(typ, v, int(b[1]), int(b[2])):
		case ports.take(typ, v):
		default:
			r.takeNarrow(typ, v)
		}
	}
	r.narrow = append(r.narrow, ports.selectors()...)
	if b[1] == 0 {
		r.to = netip.Prefix{}
	}
	if b[2] == 0 {
		r.from = netip.Prefix{}
	}
	return r, true
}

// takeBasic reads an attribute of what a Packet tells, or of the action.
func (r *hostRule) takeBasic(typ int, v []byte, dstLen, srcLen int) bool {
	switch typ {
	case nl.FRA_DST:
		r.to = prefixOf(v, dstLen)
	case nl.FRA_SRC:
		r.from = prefixOf(v, srcLen)
	case nl.FRA_IIFNAME:
		r.iif = unix.ByteSliceToString(v)
	case nl.FRA_OIFNAME:
		r.oif = unix.ByteSliceToString(v)
	case nl.FRA_GOTO:
		r.gotoPriority = int(u32(v))
	case nl.FRA_PRIORITY:
		r.priority = int(u32(v))
	case nl.FRA_FWMARK:
		r.mark = u32(v)
	case nl.FRA_FWMASK:
		r.mask = u32(v)
	case nl.FRA_TABLE:
		r.table = int(u32(v))
	case nl.FRA_SUPPRESS_PREFIXLEN:
		r.suppressPrefix = int(int32(u32(v)))
	case nl.FRA_SUPPRESS_IFGROUP:
		r.suppressGroup = int64(int32(u32(v)))
	case nl.FRA_UID_RANGE:
		if len(v) == 8 {
			r.uids = Span{u32(v), u32(v[4:]) + 1}
		}
	case nl.FRA_L3MDEV:
		r.l3mdev = len(v) == 1 && v[0] != 0
	case nl.FRA_PROTOCOL:
		if len(v) == 1 {
			r.proto = int(v[0])
		}
	case nl.FRA_PAD, nl.FRA_FLOW: // realms select nothing
	default:
		return false
	}
	return true
}

// takeNarrow reads an attribute of what a Packet leaves open.
func (r *hostRule) takeNarrow(typ int, v []byte) {
	n := selector{kind: byClass}
	switch {
	case typ == nl.FRA_IP_PROTO && len(v) == 1:
		n = selector{text: "ipproto " + protoName(v[0]), kind: byTraffic}
	case typ == nl.FRA_TUN_ID && len(v) == 8:
		n.text = fmt.Sprintf("tun_id %d", uint64(v[0])<<56|uint64(v[1])<<48|uint64(v[2])<<40|uint64(v[3])<<32|uint64(v[4])<<24|uint64(v[5])<<16|uint64(v[6])<<8|uint64(v[7]))
	case typ == fraDSCP && len(v) == 1:
		n.text, n.fits = fmt.Sprintf("dscp %d", v[0]), v[0] == 0
	case typ == fraFlowLabel:
		n.text = fmt.Sprintf("flowlabel %#x", v)
		n.fits = strings.Trim(string(v), "\x00") == ""
	case typ == fraDSCPMask || typ == fraFlowLabelMask: // a packet of class 0 satisfies class 0 alone, whatever the mask
		return
	default:
		n = selector{text: fmt.Sprintf("attribute %d", typ), kind: unknown}
	}
	r.narrow = append(r.narrow, n)
}

// portSelectors are a rule's source and destination ports.
type portSelectors [2]struct {
	ports  Span
	masked uint16
}

func (p *portSelectors) take(typ int, v []byte) bool {
	switch {
	case typ == nl.FRA_SPORT_RANGE && len(v) == 4:
		p[0].ports = Span{uint32(u16(v)), uint32(u16(v[2:])) + 1}
	case typ == nl.FRA_DPORT_RANGE && len(v) == 4:
		p[1].ports = Span{uint32(u16(v)), uint32(u16(v[2:])) + 1}
	case typ == fraSportMask && len(v) == 2:
		p[0].masked = u16(v)
	case typ == fraDportMask && len(v) == 2:
		p[1].masked = u16(v)
	default:
		return false
	}
	return true
}

func (p *portSelectors) selectors() (found []selector) {
	for i, name := range []string{"sport", "dport"} {
		if p[i].ports == (Span{}) {
			continue
		}
		text := name + " " + p[i].ports.String()
		if m := p[i].masked; m != 0 && m != 0xffff {
			text = fmt.Sprintf("%s %#x/%#x", name, p[i].ports.First, m)
		}
		found = append(found, selector{text: text, kind: byTraffic})
	}
	return found
}

// vrfs are the tables of the VRF devices, by name.
func (c *conn) vrfs() (map[string]int, error) {
	type vrf struct {
		name  string
		table int
	}
	found, err := dump(c, unix.RTM_GETLINK, func(b []byte) (v vrf, ok bool) {
		if len(b) < unix.SizeofIfInfomsg {
			return v, false
		}
		for typ, value := range attributes(b[unix.SizeofIfInfomsg:]) {
			switch typ {
			case unix.IFLA_IFNAME:
				v.name = unix.ByteSliceToString(value)
			case unix.IFLA_LINKINFO:
				v.table = vrfTable(value)
			}
		}
		return v, v.table != 0
	}, nl.NewIfInfomsg(unix.AF_UNSPEC), attrU32(unix.IFLA_EXT_MASK, rtextSkipStats))
	tables := map[string]int{}
	for _, v := range found {
		tables[v.name] = v.table
	}
	return tables, err
}

// vrfTable is IFLA_VRF_TABLE of a link that is a VRF, 0 for another.
func vrfTable(info []byte) (table int) {
	if linkKind(info) != "vrf" {
		return 0
	}
	for typ, data := range attributes(info) {
		if typ != unix.IFLA_INFO_DATA {
			continue
		}
		for typ, v := range attributes(data) {
			if typ == nl.IFLA_VRF_TABLE {
				table = int(u32(v))
			}
		}
	}
	return table
}
