package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// hostRule is a policy rule of anybody's, with everything that one can say.
type hostRule struct {
	priority, proto int
	invert          bool

	from, to   netip.Prefix // invalid: all
	iif, oif   string
	mark, mask uint32
	uids       Span
	l3mdev     bool
	// narrow are selectors of what a Packet does not tell.
	narrow []selector

	action         action
	table          int
	gotoPriority   int
	suppressPrefix int   // -1 for none
	suppressGroup  int64 // -1 for none
}

// selector is a condition by what a Packet leaves open.
type selector struct {
	text string
	// fits: a packet of no particular protocol, ports, DSCP or tunnel satisfies it.
	fits bool
	// kind says how it fails.
	kind narrowness
}

type narrowness uint8

const (
	byTraffic narrowness = iota // by protocol or port: other traffic of the same addresses goes that way
	byClass                     // by type of service, tunnel or flow label
	unknown                     // this enid does not know what it says
)

// action is what a rule does: to look into a table, to go on elsewhere, or a Way's Type.
type action string

const (
	actionTable action = "lookup"
	actionGoto  action = "goto"
	actionNop   action = "nop"
)

// matches reports whether a rule takes the packet, as fib_rule_match and its two families'
// parts do, and why not.
func (s *sight) matches(r hostRule, f flow) (bool, string) {
	why := s.misfit(r, f)
	switch {
	case r.invert && why == "":
		return false, "it says not, and everything that it says fits"
	case r.invert:
		return true, ""
	}
	return why == "", why
}

// misfit is the first selector that the packet does not satisfy, "" where it satisfies all.
func (s *sight) misfit(r hostRule, f flow) string {
	switch {
	case r.iif != "" && r.iif != f.iif && (f.vrf == "" || r.iif != f.vrf):
		return iifMisfit(r.iif, f)
	case r.oif != "":
		return "oif is " + r.oif + ", the packet is bound to no NIC"
	case (r.mark^f.mark)&r.mask != 0:
		return fmt.Sprintf("fwmark is %#x/%#x, not %#x", r.mark, r.mask, f.mark)
	case r.l3mdev && f.vrf == "":
		return "the packet belongs to no VRF"
	case r.uids != (Span{}) && (f.uid < r.uids.First || f.uid >= r.uids.End):
		return fmt.Sprintf("uidrange is %s, not %d", r.uids, f.uid)
	case !covers(r.from, f.src) && !f.src.IsValid():
		return "from is " + r.from.String() + ", the socket has no source"
	case !covers(r.from, f.src):
		return "from is " + r.from.String() + ", not " + f.src.String()
	case !covers(r.to, f.dst):
		return "to is " + r.to.String() + ", not " + f.dst.String()
	}
	for _, n := range r.narrow {
		if !n.fits {
			return n.text + ": " + map[narrowness]string{byTraffic: "for this traffic alone", byClass: "the packet has none",
				unknown: "not known to this enid, taken for a mismatch"}[n.kind]
		}
	}
	return ""
}

func iifMisfit(iif string, f flow) string {
	switch {
	case iif == "lo":
		return "iif is lo, the packet is forwarded"
	case f.iif == "lo":
		return "iif is " + iif + ", the packet is made on this host"
	}
	return "iif is " + iif + ", not " + f.iif
}

// covers: no source is the zero address, which prefixes of length 0 and some others of IPv4 contain.
// IPv6 compares it with none of those that have a length.
func covers(p netip.Prefix, a netip.Addr) bool {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return true
	case a.IsValid():
		return p.Contains(a)
	}
	return p.Addr().Is4() && p.Contains(netip.IPv4Unspecified())
}

// suppresses says why a rule does not take a route that was found, "" where it does. The group is
// that of the first next hop, whichever is taken then.
func (r hostRule) suppresses(route hostRoute, groupOf func(nic string) int64) string {
	switch {
	case route.dst.Bits() <= r.suppressPrefix:
		return fmt.Sprintf("its prefix is not longer than %d", r.suppressPrefix)
	case r.suppressGroup >= 0 && len(route.hops) > 0 && groupOf(route.hops[0].nic) == r.suppressGroup:
		return fmt.Sprintf("%s is in link group %d", route.hops[0].nic, r.suppressGroup)
	}
	return ""
}

// String is the rule as ip(8) takes it, without its priority and protocol.
func (r hostRule) String() string {
	var words []string
	word := func(name, value string) { words = append(words, name, value) }
	if r.invert {
		words = append(words, "not")
	}
	if r.from.IsValid() {
		word("from", r.from.String())
	}
	if r.to.IsValid() {
		word("to", r.to.String())
	}
	if r.mask != 0 {
		word("fwmark", hexMark(r.mark, r.mask))
	}
	if r.iif != "" {
		word("iif", r.iif)
	}
	if r.oif != "" {
		word("oif", r.oif)
	}
	if r.uids != (Span{}) {
		word("uidrange", fmt.Sprintf("%d-%d", r.uids.First, r.uids.End-1))
	}
	for _, n := range r.narrow {
		words = append(words, n.text)
	}
	switch r.action {
	case actionTable:
		word("lookup", r.lookupName())
	case actionGoto:
		word("goto", strconv.Itoa(r.gotoPriority))
	default:
		words = append(words, string(r.action))
	}
	if r.suppressPrefix >= 0 {
		word("suppress_prefixlength", strconv.Itoa(r.suppressPrefix))
	}
	if r.suppressGroup >= 0 {
		word("suppress_ifgroup", strconv.FormatInt(r.suppressGroup, 10))
	}
	return strings.Join(words, " ")
}

func (r hostRule) lookupName() string {
	if r.l3mdev {
		return "[l3mdev-table]"
	}
	return tableNumber(r.table)
}

// tableNumber is the name of a table that the kernel itself gives one (rt_class_t of linux/rtnetlink.h).
func tableNumber(table int) string {
	switch table {
	case 253:
		return "default"
	case MainTable:
		return "main"
	case LocalTable:
		return "local"
	}
	return strconv.Itoa(table)
}

// owns reports whether a rule is enid's.
func (s *sight) owns(r hostRule) bool { return r.proto == s.Protocol }

// traffic are the rules that would have taken the packet if it were of their protocol and port.
func (s *sight) traffic(f flow) []hostRule {
	var found []hostRule
	for _, r := range s.rules {
		wide := r
		wide.narrow = slices.DeleteFunc(slices.Clone(r.narrow), func(n selector) bool { return n.kind == byTraffic })
		if len(wide.narrow) != len(r.narrow) && !r.invert && s.misfit(r, f) != "" && s.misfit(wide, f) == "" {
			found = append(found, r)
		}
	}
	return found
}
