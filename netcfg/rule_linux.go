package netcfg

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The library loses the action of an unreachable rule when it reads and cannot
// add behind a twin, so rules are read and written here. struct fib_rule_hdr of
// linux/fib_rules.h has the form of struct rtmsg, with the action as its type.

// notSuppressed is the kernel's way to say that a rule has no suppress_ action. A
// Rule says 0, since suppressing prefix length or group 0 is nothing we do.
const notSuppressed = -1

// rules reads the rules of a family whose protocol is one of ours, in the
// kernel's order, and what matters of the others. A kernel without the family has none.
func (c *conn) rules(f Family, ours func(proto int) bool) (own []Rule, others []foreignRule, err error) {
	type anyRule struct {
		Rule
		own     bool
		foreign foreignRule
	}
	parse := func(b []byte) (anyRule, bool) {
		r, ok := parseRule(b)
		if ok && r.Family == f && ours(r.Proto) {
			return anyRule{Rule: r, own: true}, true
		}
		foreign, ok := parseForeignRule(b)
		return anyRule{foreign: foreign}, ok && foreign.family == f
	}
	all, err := dump(c, unix.RTM_GETRULE, parse, &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(f)}})
	if f == V6 && familyMissing(err) {
		return nil, nil, nil
	}
	for _, r := range all {
		if r.own {
			own = append(own, r.Rule)
		} else {
			others = append(others, r.foreign)
		}
	}
	return own, others, err
}

// parseRule reads an RTM_NEWRULE. A rule that says more than a Rule can say
// (ports, users, a DSCP, …) is nobody's that we know: not ok.
func parseRule(b []byte) (r Rule, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return Rule{}, false
	}
	family, tos, action, flags := b[0], b[3], b[7], u32(b[8:])
	bits := 128
	switch family {
	case unix.AF_INET:
		r.Family, bits = V4, 32
	case unix.AF_INET6:
		r.Family = V6
	default:
		return Rule{}, false
	}
	r.Invert = flags&unix.FIB_RULE_INVERT != 0
	if tos != 0 || int(b[1]) > bits || int(b[2]) > bits {
		return Rule{}, false
	}
	r.Table = int(b[4])
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		if !r.take(typ, v, int(b[1]), int(b[2])) {
			return Rule{}, false
		}
	}
	return r, r.does(action)
}

// take reads one attribute; false for what a Rule cannot say.
func (r *Rule) take(typ int, v []byte, dstLen, srcLen int) bool {
	switch typ {
	case nl.FRA_DST:
		r.To = prefixOf(v, dstLen)
		return r.To.IsValid()
	case nl.FRA_SRC:
		r.From = prefixOf(v, srcLen)
		return r.From.IsValid()
	case nl.FRA_IIFNAME:
		r.IIF = unix.ByteSliceToString(v)
	case nl.FRA_OIFNAME:
		r.OIF = unix.ByteSliceToString(v)
	case nl.FRA_GOTO:
		r.Goto = int(u32(v))
	case nl.FRA_PRIORITY:
		r.Priority = int(u32(v))
	case nl.FRA_FWMARK:
		r.Mark = u32(v)
	case nl.FRA_FWMASK:
		r.Mask = u32(v)
	case nl.FRA_TABLE:
		r.Table = int(u32(v))
	case nl.FRA_SUPPRESS_PREFIXLEN:
		if n := int32(u32(v)); n != notSuppressed {
			r.SuppressPrefix = int(n)
			return n != 0
		}
	case nl.FRA_SUPPRESS_IFGROUP:
		if n := int32(u32(v)); n != notSuppressed {
			r.SuppressGroup = uint32(n)
			return n != 0
		}
	case nl.FRA_UID_RANGE:
		if len(v) != 8 {
			return false
		}
		r.UIDs = Span{u32(v), u32(v[4:]) + 1}
	case nl.FRA_IP_PROTO:
		if len(v) != 1 {
			return false
		}
		r.IPProto = v[0]
	case nl.FRA_DPORT_RANGE:
		if len(v) != 4 {
			return false
		}
		r.Ports = Span{uint32(u16(v)), uint32(u16(v[2:])) + 1}
	case fraDportMask: // Linux 6.15 tells it of every single port
		return len(v) == 2 && u16(v) == 0xffff
	case nl.FRA_PROTOCOL:
		if len(v) != 1 {
			return false
		}
		r.Proto = int(v[0])
	case nl.FRA_PAD:
	default:
		return false
	}
	return true
}

// does puts in the action; false for one that a Rule cannot say.
func (r *Rule) does(action byte) bool {
	if action == nl.FR_ACT_TO_TBL {
		return r.Table != 0 && r.Goto == 0
	}
	if r.Table != 0 || r.SuppressPrefix != 0 || r.SuppressGroup != 0 {
		return false
	}
	r.Unreachable, r.Nop = action == nl.FR_ACT_UNREACHABLE, action == nl.FR_ACT_NOP
	if r.Unreachable || r.Nop {
		return r.Goto == 0
	}
	return action == nl.FR_ACT_GOTO && r.Goto != 0
}

// setRule adds a rule, where no twin of the same protocol exists; appends it
// behind its twins; or deletes the first that agrees with it in everything it
// says, the protocol included. (What it does not say, the kernel does not compare.)
func (c *conn) setRule(v Verb, r Rule) error {
	switch v {
	case Del:
		return c.do(unix.RTM_DELRULE, 0, r.encode()...)
	case Append:
		return c.do(unix.RTM_NEWRULE, unix.NLM_F_CREATE, r.encode()...)
	default:
		return c.do(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, r.encode()...)
	}
}

func (r Rule) encode() []nl.NetlinkRequestData {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(r.Family)}}
	parts := []nl.NetlinkRequestData{msg,
		attrU32(nl.FRA_PRIORITY, uint32(r.Priority)),
		nl.NewRtAttr(nl.FRA_PROTOCOL, nl.Uint8Attr(uint8(r.Proto)))}
	if r.Invert {
		msg.Flags |= unix.FIB_RULE_INVERT
	}
	if r.From.IsValid() {
		msg.Src_len = uint8(r.From.Bits())
		parts = append(parts, nl.NewRtAttr(nl.FRA_SRC, r.From.Addr().AsSlice()))
	}
	if r.To.IsValid() {
		msg.Dst_len = uint8(r.To.Bits())
		parts = append(parts, nl.NewRtAttr(nl.FRA_DST, r.To.Addr().AsSlice()))
	}
	if r.IIF != "" {
		parts = append(parts, attrString(nl.FRA_IIFNAME, r.IIF))
	}
	if r.OIF != "" {
		parts = append(parts, attrString(nl.FRA_OIFNAME, r.OIF))
	}
	if r.Mask != 0 {
		parts = append(parts, attrU32(nl.FRA_FWMARK, r.Mark), attrU32(nl.FRA_FWMASK, r.Mask))
	}
	return append(append(parts, r.encodeSocket()...), r.encodeAction(msg)...)
}

// encodeSocket is the selectors beyond the IP header.
func (r Rule) encodeSocket() (parts []nl.NetlinkRequestData) {
	if r.UIDs != (Span{}) {
		parts = append(parts, nl.NewRtAttr(nl.FRA_UID_RANGE, append(nl.Uint32Attr(r.UIDs.First), nl.Uint32Attr(r.UIDs.End-1)...)))
	}
	if r.IPProto != 0 {
		parts = append(parts, nl.NewRtAttr(nl.FRA_IP_PROTO, nl.Uint8Attr(r.IPProto)))
	}
	if r.Ports != (Span{}) {
		parts = append(parts, nl.NewRtAttr(nl.FRA_DPORT_RANGE, append(nl.Uint16Attr(uint16(r.Ports.First)), nl.Uint16Attr(uint16(r.Ports.End-1))...)))
	}
	return parts
}

func (r Rule) encodeAction(msg *nl.RtMsg) (parts []nl.NetlinkRequestData) {
	switch {
	case r.Unreachable:
		msg.Type = nl.FR_ACT_UNREACHABLE
		return nil
	case r.Nop:
		msg.Type = nl.FR_ACT_NOP
		return nil
	case r.Goto != 0:
		msg.Type = nl.FR_ACT_GOTO
		return []nl.NetlinkRequestData{attrU32(nl.FRA_GOTO, uint32(r.Goto))}
	}
	msg.Type = nl.FR_ACT_TO_TBL
	parts = append(parts, attrU32(nl.FRA_TABLE, uint32(r.Table)))
	if r.SuppressPrefix != 0 {
		parts = append(parts, attrU32(nl.FRA_SUPPRESS_PREFIXLEN, uint32(r.SuppressPrefix)))
	}
	if r.SuppressGroup != 0 {
		parts = append(parts, attrU32(nl.FRA_SUPPRESS_IFGROUP, r.SuppressGroup))
	}
	return parts
}

// prefixOf is the zero Prefix for bytes that are no address of this length.
func prefixOf(b []byte, bits int) netip.Prefix {
	a, _ := netip.AddrFromSlice(b)
	p := netip.PrefixFrom(a, bits)
	if !p.IsValid() {
		return netip.Prefix{}
	}
	return p
}
