package netcfg

import (
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"
)

// Packet is what a way is asked for. Its protocol and ports are ones that no rule names.
type Packet struct {
	Src  netip.Addr `json:"src,omitzero"`  // zero: a socket that is bound to no address
	Dst  netip.Addr `json:"dst"`           // of one host: unicast
	IIF  string     `json:"iif,omitempty"` // NIC that a forwarded packet comes in by; "" for one made on this host
	Mark uint32     `json:"mark"`
	UID  uint32     `json:"uid"` // owner of the socket; a forwarded packet has 0
}

// Check says why no way can be asked for, nil where one can.
func (p Packet) Check() error {
	lowest := p.Dst.Is4() && p.Dst.As4()[0] == 0
	switch {
	case p.Dst.IsMulticast() || p.Dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is not one host's: multicast and broadcast leave by the NIC that the socket says, or that of its source", p.Dst)
	case p.Dst.IsUnspecified() || lowest:
		return fmt.Errorf("%s is nobody's address; want the one that the packet is for", p.Dst)
	case p.Dst.Is6() && p.Dst.IsLinkLocalUnicast():
		return fmt.Errorf("%s is link-local: by which NIC it leaves is the socket's to say, no rule decides it", p.Dst)
	case p.Src.IsUnspecified() || p.Src.IsMulticast():
		return fmt.Errorf("%s is no address to send from; say any for a socket that is bound to none", p.Src)
	case p.Src.IsValid() && FamilyOf(p.Src) != FamilyOf(p.Dst):
		return fmt.Errorf("%s and %s are of two families", p.Src, p.Dst)
	case p.IIF == "lo":
		return fmt.Errorf("--iif lo: leave it out for a packet that is made on this host")
	case p.IIF != "" && !p.Src.IsValid():
		return fmt.Errorf("any is a socket of this host; a packet that comes in by %s has a source", p.IIF)
	case p.IIF != "" && (p.Src.IsLoopback() || p.Dst.IsLoopback()):
		return fmt.Errorf("packets from or to loopback addresses do not come in by %s: the kernel drops them", p.IIF)
	}
	return nil
}

// NamedENI is what somebody who knows the metadata says of an ENI, so that an Explanation
// can call it by its name.
type NamedENI struct {
	Name     string
	NIC      string
	Slot     Slot
	Prefixes []netip.Prefix // delegated: their addresses are the ENI's too
	Subnets  []netip.Prefix
}

// Explanation is the way of one packet through this host's rules and tables, and what is wrong with it.
type Explanation struct {
	Packet Packet `json:"packet"`
	// Steps are the rules in the order in which they were asked, up to the one that decided.
	// Rules that a goto jumps over are not among them.
	Steps   []Step             `json:"steps"`
	Way     Way                `json:"way"`
	Kernel  KernelWay          `json:"kernel"`
	Reverse Reverse            `json:"reverse,omitzero"` // IPv4 packets that come in by a NIC alone
	Notes   []string           `json:"notes"`            // worth knowing, nothing wrong
	Wrong   []metadata.Problem `json:"problems"`
}

// Step is one policy rule and what it did with the packet.
type Step struct {
	Priority int    `json:"priority"`
	Rule     string `json:"rule"`     // as ip(8) takes it, without priority and protocol
	Protocol int    `json:"protocol"` // who added it, a number of rtnetlink(7)
	Own      bool   `json:"own"`      // it is enid's
	Matched  bool   `json:"matched"`
	Reason   string `json:"reason"`       // why it was passed, or what came of it
	By       string `json:"by,omitempty"` // who usually makes a rule of such numbers, "" for unknown
}

// Way is where the rules lead.
type Way struct {
	// Type is unicast (out by a NIC), local (to this host), broadcast, anycast or multicast; refused
	// are unreachable, blackhole, prohibit, and none, where no rule has an answer.
	Type string `json:"type"`
	Rule int    `json:"rule"` // priority of the rule that decided, -1 for none
	// Table, Dst and Metric are those of the route; zero where a rule refused by itself.
	Table  int          `json:"table,omitempty"`
	Name   string       `json:"tableName,omitempty"` // main, "20001 (ENI port-abc)"
	Dst    netip.Prefix `json:"dst,omitzero"`
	Metric int          `json:"metric,omitempty"`
	Hops   []Hop        `json:"hops"` // empty where refused; where several, the kernel takes one of them

	devs []string // all NICs of the route, the dead ones and those of a local one included
}

// Hop is a NIC to leave by.
type Hop struct {
	NIC string     `json:"nic"`
	Via netip.Addr `json:"via,omitzero"`  // the gateway; zero where the destination is on link
	ENI string     `json:"eni,omitempty"` // whose NIC it is, as far as that is known
}

// KernelWay is what the kernel's own lookup answers for the packet (RTM_GETROUTE).
type KernelWay struct {
	Agrees bool       `json:"agrees"` // with Way, and with Reverse where that drops the packet
	Type   string     `json:"type,omitempty"`
	Table  int        `json:"table,omitempty"`
	NIC    string     `json:"nic,omitempty"`
	Via    netip.Addr `json:"via,omitzero"`
	Source netip.Addr `json:"source,omitzero"` // that it gives a socket which is bound to none
	Error  string     `json:"error,omitempty"` // with which it refuses
}

// Reverse is what becomes of an IPv4 packet that comes in when the kernel asks by which NIC it
// would answer its source (rp_filter of ip-sysctl in the kernel's documentation).
type Reverse struct {
	RPFilter int    `json:"rpFilter"` // that is in force: the higher of the NIC's and all's
	Steps    []Step `json:"steps"`    // of the way back
	Way      Way    `json:"way"`
	Drops    bool   `json:"drops"`
	Partly   bool   `json:"partly,omitempty"` // only flows that leave by some of Way's several next hops are dropped
	Reason   string `json:"reason"`
}

// refused reports whether the packet goes nowhere.
func (w Way) refused() bool { return len(w.Hops) == 0 }

// sight is everything that an explanation is made of: rules of one family and those routes that
// matter to the packet.
type sight struct {
	Numbers
	packet Packet
	family Family
	rules  []hostRule          // in the kernel's order
	routes map[int][]hostRoute // by table, in the order in which they are asked
	links  []Link
	vrfs   map[string]int // table of each VRF, by its name
	addrs  []Addr
	enis   []NamedENI
	in     incoming
	// reachableFirst: in a table a gateway that is known not to answer is the last to be taken.
	reachableFirst bool
}

// incoming are the settings that IPv4 keeps of the NIC that a packet comes in by.
type incoming struct {
	forwards     bool
	rpFilter     int  // the higher of the NIC's and all's
	useMark      bool // src_valid_mark: the packet's mark counts for the way back
	acceptLocal  bool
	hasAddresses bool
}

// flow is what rules and tables see of a packet.
type flow struct {
	src, dst netip.Addr
	iif      string // "lo" for one made on this host
	vrf      string // that the incoming NIC is part of
	mark     uint32
	uid      uint32
}

// explain walks the rules for the packet, without the kernel's opinion.
func (s *sight) explain() Explanation {
	p, f := s.packet, s.flow()
	e := Explanation{Packet: p, Notes: []string{}, Wrong: []metadata.Problem{}}
	e.Steps, e.Way = s.walk(f)
	if p.IIF != "" && s.family == V4 && !e.Way.refused() {
		e.Reverse = s.reverse(f, e.Way)
	}
	return e
}

// flow is the packet as rules and tables see it.
func (s *sight) flow() flow {
	p := s.packet
	f := flow{src: p.Src, dst: p.Dst, iif: "lo", mark: p.Mark, uid: p.UID}
	if p.IIF != "" {
		f.iif, f.vrf = p.IIF, s.vrfOf(p.IIF)
	}
	return f
}

// walk asks the rules one by one as fib_rules_lookup of net/core/fib_rules.c does.
func (s *sight) walk(f flow) ([]Step, Way) {
	steps := []Step{}
	for i := 0; i < len(s.rules); i++ {
		r := s.rules[i]
		step := Step{Priority: r.priority, Rule: r.String(), Protocol: r.proto, Own: s.owns(r), By: s.maker(r)}
		var why string
		step.Matched, why = s.matches(r, f)
		step.Reason = why
		if !step.Matched {
			steps = append(steps, step)
			continue
		}
		next, way, decided := i, Way{}, false
		switch r.action {
		case actionGoto:
			next, step.Reason = s.target(i)
		case actionNop:
			step.Reason = "does nothing"
		case actionTable:
			way, step.Reason, decided = s.ask(r, f)
		default:
			way, step.Reason, decided = Way{Type: string(r.action)}, "refuses", true
		}
		steps = append(steps, step)
		if decided {
			way.Rule = r.priority
			return steps, way.filled()
		}
		i = next
	}
	return steps, Way{Type: "none", Rule: -1}.filled()
}

func (w Way) filled() Way {
	if w.Hops == nil {
		w.Hops = []Hop{}
	}
	return w
}

// target is the index before the rule that a goto leads to, so that this one comes next; the goto's
// own where it has none, which the kernel walks past.
func (s *sight) target(i int) (next int, reason string) {
	to := slices.IndexFunc(s.rules, func(r hostRule) bool { return r.priority == s.rules[i].gotoPriority })
	if to <= i {
		return i, fmt.Sprintf("leads nowhere: there is no rule %d", s.rules[i].gotoPriority)
	}
	return to - 1, fmt.Sprintf("goes on at %d", s.rules[i].gotoPriority)
}

// ask looks into the rule's table.
func (s *sight) ask(r hostRule, f flow) (w Way, reason string, decided bool) {
	table := r.table
	if r.l3mdev {
		table = s.vrfs[f.vrf]
	}
	route, hops, found := s.lookup(table, f)
	switch {
	case !found:
		return w, "no route there", false
	case route.kind == "throw":
		return w, route.String() + " sends on to the next rule", false
	case route.refuses():
		return Way{Type: route.kind, Table: table, Name: s.tableName(table), Dst: route.dst, Metric: route.metric}, route.String() + " refuses", true
	}
	if why := r.suppresses(route, s.groupOf); why != "" {
		return w, route.String() + " is not taken: " + why, false
	}
	w = Way{Type: route.kind, Table: table, Name: s.tableName(table), Dst: route.dst, Metric: route.metric}
	for _, h := range route.hops {
		w.devs = append(w.devs, h.nic)
	}
	for _, h := range hops {
		hop := Hop{NIC: h.nic, Via: h.via}
		if route.kind != "unicast" {
			hop.Via = netip.Addr{}
		}
		if route.kind == "local" {
			hop.NIC = "lo"
		}
		hop.ENI = s.nameOfNIC(hop.NIC)
		w.Hops = append(w.Hops, hop)
	}
	return w, route.String(), true
}
