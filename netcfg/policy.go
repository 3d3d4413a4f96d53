package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// MaxPolicies is how many policies there is room for.
const MaxPolicies = 80

// Policy sends chosen traffic out by one ENI. A packet has to match every selector that is
// given, and one value of each. What is sent from an ENI's own addresses and prefixes is
// never asked: that leaves by its own ENI.
type Policy struct {
	Name string
	ENI  string       // how the configuration names it
	MAC  metadata.MAC // of that ENI; zero while no such ENI is known

	From, To []netip.Prefix
	IIF      string // the NIC that forwarded packets came in by
	UIDs     []Span // of the processes whose sockets are meant
	Mark     uint32
	Mask     uint32
	IPProto  uint8
	Ports    []Span // destination ports

	// SNAT are the ENI's addresses that forwarded packets get for their source, at most one of
	// a family; Masquerade means the ENI's primary addresses.
	SNAT       []netip.Addr
	Masquerade bool
	// FollowMain says what becomes of the traffic while the ENI cannot take it: it follows
	// main, else it is refused.
	FollowMain bool
}

// PolicyOutcome is what Desired made of a policy.
type PolicyOutcome struct {
	Name     string
	ENI      string
	NIC      string // by which it leaves now, "" for none
	State    PolicyState
	Problems []metadata.Problem
}

// PolicyState is how a policy does, in one word.
type PolicyState string

// The states of a policy.
const (
	PolicyInForce PolicyState = "in-force"
	PolicyBlocked PolicyState = "blocked" // its ENI cannot take the traffic, which is refused
	PolicyMain    PolicyState = "main"    // its ENI cannot take the traffic, which follows main
	PolicyPartly  PolicyState = "partly"  // in force in one family alone
)

// neverByPolicy is what is of the link and of the cloud itself, its metadata first: no policy
// takes it away from the primary.
var neverByPolicy = map[Family][]netip.Prefix{
	V4: {netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32")},
	V6: {netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("fd00:ec2::/32"), netip.MustParsePrefix("fd20:ce::254/128")},
}

// policies wants the rules and chains of every policy. They come last, when it is known which
// blocks stand.
func (b *builder) policies() []PolicyOutcome {
	var outcomes []PolicyOutcome
	used := map[Family]bool{}
	for i, p := range b.Policies {
		o := PolicyOutcome{Name: p.Name, ENI: p.ENI}
		states := map[PolicyState]bool{}
		for _, f := range p.Families() {
			used[f] = true
			states[b.policy(i, p, f, &o)] = true
		}
		switch {
		case len(states) == 1:
			for o.State = range states {
			}
		default:
			o.State = PolicyPartly
		}
		outcomes = append(outcomes, o)
	}
	for f := range used {
		b.landing(f)
		b.refusal(f)
	}
	return outcomes
}

// policy wants one policy in one family.
func (b *builder) policy(i int, p Policy, f Family, o *PolicyOutcome) PolicyState {
	e := b.eniOf(p.MAC)
	source, problem := b.canTake(e, p, f)
	if problem == nil {
		o.NIC = e.Link.Name
		action := Rule{Goto: b.blockOf(e.Slot)}
		if e.primary() {
			action = Rule{Table: MainTable}
		}
		b.policyRules(i, p, f, action)
		if source.IsValid() {
			b.translate(i, p, f, e.Link.Name, source)
		}
		return PolicyInForce
	}
	if !slices.Contains(o.Problems, *problem) { // once for both families
		o.Problems = append(o.Problems, *problem)
	}
	if p.FollowMain {
		return PolicyMain
	}
	b.policyRules(i, p, f, Rule{Goto: b.blockOf(Primary)})
	return PolicyBlocked
}

// eniOf is the managed ENI of a MAC, nil for none.
func (b *builder) eniOf(mac metadata.MAC) *eni {
	for i := range b.enis {
		if e := &b.enis[i]; e.MAC == mac && e.managed() {
			return e
		}
	}
	return nil
}

// canTake is the source address that a policy's forwarded packets get, zero for their own,
// or why the ENI cannot take them.
func (b *builder) canTake(e *eni, p Policy, f Family) (netip.Addr, *metadata.Problem) {
	absent := func(reason, format string, args ...any) (netip.Addr, *metadata.Problem) {
		fate := "its traffic is refused (when_absent)"
		if p.FollowMain {
			fate = "its traffic follows main (when_absent)"
		}
		return netip.Addr{}, &metadata.Problem{Interface: p.ENI, Field: "policy " + p.Name, Reason: reason, Text: fmt.Sprintf(format, args...) + "; " + fate}
	}
	switch {
	case e == nil:
		return absent("policy-eni-absent", "no ENI %s is attached and managed", p.ENI)
	case !e.primary() && !b.hasBlock(e.Slot, f):
		return absent("policy-no-family", "the ENI has no IPv%d address", f)
	case !p.Translates():
		return netip.Addr{}, nil
	case !b.Seen.Host.Firewall.does(f):
		return absent("policy-no-iptables", "its addresses cannot be translated without iptables")
	}
	n := e.nets[f]
	for _, a := range p.SNAT {
		if FamilyOf(a) == f && !slices.Contains(n.addrs, a) {
			return absent("policy-snat-not-owned", "%s is no address of the ENI, so the cloud would drop what leaves with it", a)
		} else if FamilyOf(a) == f {
			return a, nil
		}
	}
	if !p.Masquerade || !n.first.IsValid() {
		return absent("policy-snat-none", "nothing says which IPv%d address its packets get", f)
	}
	return n.first, nil
}

// Translates reports whether forwarded packets get another source.
func (p Policy) Translates() bool { return p.Masquerade || len(p.SNAT) > 0 }

func (b *builder) hasBlock(s Slot, f Family) bool {
	return slices.ContainsFunc(b.want.Rules, func(r Rule) bool { return r.Family == f && r.Priority == b.blockOf(s)+1 })
}

// Families are the address families that a policy can match: those that both From and To leave.
func (p Policy) Families() []Family {
	return keep([]Family{V4, V6}, func(f Family) bool {
		in := func(x netip.Prefix) bool { return FamilyOf(x.Addr()) == f }
		return (len(p.From) == 0 || slices.ContainsFunc(p.From, in)) && (len(p.To) == 0 || slices.ContainsFunc(p.To, in))
	})
}

// each calls do for every combination of the policy's values in a family.
func (p Policy) each(f Family, do func(from, to netip.Prefix, uids, ports Span)) {
	or := func(list []netip.Prefix) []netip.Prefix {
		if len(list) == 0 {
			return []netip.Prefix{{}}
		}
		return keep(list, func(x netip.Prefix) bool { return FamilyOf(x.Addr()) == f })
	}
	orAny := func(list []Span) []Span {
		if len(list) == 0 {
			return []Span{{}}
		}
		return list
	}
	for _, from := range or(p.From) {
		for _, to := range or(p.To) {
			for _, uids := range orAny(p.UIDs) {
				for _, ports := range orAny(p.Ports) {
					do(from, to, uids, ports)
				}
			}
		}
	}
}

// policyRules wants the rules of a policy with an action. While the list of ENIs is in doubt, one
// that is there leads where it led.
func (b *builder) policyRules(i int, p Policy, f Family, action Rule) {
	absent := action.Goto == b.blockOf(Primary)
	p.each(f, func(from, to netip.Prefix, uids, ports Span) {
		r := action
		r.Family, r.Priority = f, b.Priority+policySelectors+i
		r.From, r.To, r.UIDs, r.Ports = from, to, uids, ports
		r.IIF, r.Mark, r.Mask, r.IPProto = p.IIF, p.Mark, p.Mask, p.IPProto
		if uids != (Span{}) {
			r.IIF = "lo" // forwarded packets have nobody's socket, and the kernel takes that for root's
		}
		held := func(own Rule) bool {
			own.Proto = 0
			return own.key() == r.key() && b.hasBlock(b.slotOf(own), f)
		}
		if i := slices.IndexFunc(b.Seen.Own.Rules, held); absent && !b.Settled && i >= 0 {
			r.Goto = b.Seen.Own.Rules[i].Goto
		}
		b.rule(r)
	})
}

// landing is where a packet goes on that no policy may take: what the primary's addresses send,
// and what neverByPolicy lists.
func (b *builder) landing(f Family) {
	end := b.Priority + policyLanding
	b.rule(Rule{Family: f, Priority: end, Nop: true})
	bypass := Rule{Family: f, Priority: b.Priority + policyBypass, Goto: end}
	for _, p := range neverByPolicy[f] {
		r := bypass
		r.To = p
		b.rule(r)
	}
	for i := range b.enis {
		if e := &b.enis[i]; e.primary() && e.managed() {
			for _, s := range e.nets[f].subnets {
				r := bypass
				r.From, r.IIF = s, "lo"
				b.rule(r)
			}
		}
	}
}

// refusal is the block for traffic whose ENI is absent: it reaches what main reaches without an ENI. It
// stands where the primary, which needs none, would have its block.
func (b *builder) refusal(f Family) {
	base := b.blockOf(Primary)
	if slices.ContainsFunc(b.want.Rules, func(r Rule) bool { return r.Family == f && r.Goto == base }) {
		b.rule(Rule{Family: f, Priority: base, Table: MainTable, SuppressPrefix: halves(f), SuppressGroup: b.Group})
		b.rule(Rule{Family: f, Priority: base + 1, Unreachable: true})
	}
}

// translate wants the chains that give a policy's forwarded packets their source. Where a packet
// came in is not known any more when its source is changed, so a mark of its own says
// that it is the policy's; it lives from one chain to the other, after all routing.
func (b *builder) translate(i int, p Policy, f Family, nic string, source netip.Addr) {
	mark := hexMark(uint32(i+1)<<b.markShift(), b.Input.Numbers.Mark)
	var lines []string
	p.each(f, func(from, to netip.Prefix, _, ports Span) {
		var words []string
		word := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
		if from.IsValid() {
			word("-s %s", from)
		}
		if to.IsValid() {
			word("-d %s", to)
		}
		if p.IIF != "" {
			word("-i %s", p.IIF)
		}
		word("-o %s", nic)
		if p.IPProto != 0 {
			word("-p %s", protoName(p.IPProto))
		}
		if ports != (Span{}) {
			word("-m %s --dport %s", protoName(p.IPProto), strings.ReplaceAll(ports.String(), "-", ":"))
		}
		if p.Mask != 0 {
			word("-m mark --mark %s", hexMark(p.Mark, p.Mask))
		}
		word("-j MARK --set-xmark %s", mark)
		lines = append(lines, strings.Join(words, " "))
	})
	b.chain(f, MarkForwarded, lines...)
	b.chain(f, TranslateOut, fmt.Sprintf("-o %s -m mark --mark %s -j SNAT --to-source %s", nic, mark, source))
}

// protoNames are the protocols that iptables prints by name.
var protoNames = map[uint8]string{1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}

// ProtocolNumber is the number of a protocol by the name that iptables prints, such as tcp; not ok for one
// that it prints as a number.
func ProtocolNumber(name string) (number uint8, ok bool) {
	for number, known := range protoNames {
		if known == name {
			return number, true
		}
	}
	return 0, false
}

func protoName(p uint8) string {
	if name, ok := protoNames[p]; ok {
		return name
	}
	return fmt.Sprint(p)
}
