package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"enid/metadata"
)

// ENI is an interface as it is believed to be, with what the configuration says about it.
type ENI struct {
	metadata.Interface
	Hold        bool           // the newest answer does not allow taking anything away
	Ignore      bool           // the user's: enid keeps off
	Only        []netip.Prefix // narrow to addresses in these; empty: all
	SubnetRoute bool           // main gets a route to the ENI's subnets
}

// Input is all that the desired state follows from.
type Input struct {
	Numbers Numbers
	ENIs    []ENI
	Slots   Slots
	// Settled says that the list of ENIs is beyond doubt: what the kernel has of
	// others is left over.
	Settled    bool
	ReturnPath Switch
	Policies   []Policy
	Seen       Observation
}

// Target is the state that should be, and what is to be said about each ENI.
type Target struct {
	State    State
	ENIs     []Outcome
	Policies []PolicyOutcome
	// ReturnPath says of each family whether connections are marked.
	ReturnPath map[Family]bool
	purge      []Route // of others, see purgeRA
	layout
}

// Phase is the state of an ENI in one word.
type Phase string

// The phases that follow from what is known; what became of the plan is for the agent to say.
const (
	Waiting    Phase = "waiting"    // its NIC is not there
	Incomplete Phase = "incomplete" // something that is needed is not known
	Conflict   Phase = "conflict"   // somebody else's arrangement stands in the way
	Down       Phase = "down"       // somebody set its NIC down
	Ready      Phase = "ready"      // nothing is missing
	Ignored    Phase = "ignored"    // the configuration says so
)

// Outcome is what Desired made of one ENI.
type Outcome struct {
	MAC   metadata.MAC
	Slot  Slot // NoSlot while it has none
	Link  Link // zero while Waiting
	Phase Phase
	Addrs []netip.Addr // wanted on the NIC, whoever puts them there
	// LostRA says of the primary that main has no IPv6 default through its NIC, where one comes from router
	// advertisements: to ask the routers brings it back.
	LostRA   bool
	Problems []metadata.Problem
}

// Desired is the state of the kernel that follows from what is known: the objects
// that should be ours. What a host has already by others' hands is left out, so that it
// is neither recorded as ours nor ever removed.
func Desired(in Input) Target {
	b := builder{Input: in, layout: newLayout(in.Numbers, in.Seen.Host, in.Slots)}
	for _, e := range append(in.ENIs[:len(in.ENIs):len(in.ENIs)], b.unlisted()...) {
		b.enis = append(b.enis, b.resolve(e))
	}
	b.settleClaims()
	b.held = b.heldSlots()
	b.marked = b.markedFamilies()
	for i := range b.enis {
		b.enis[i].build(&b)
	}
	b.hold()
	b.tombstones()
	outcomes := b.policies()
	b.gates()
	b.markChains(V4)
	b.markChains(V6)
	b.holdChains()
	b.walls()
	b.want.sort()
	t := Target{State: b.want, Policies: outcomes, ReturnPath: b.marked, purge: b.purge, layout: b.layout}
	for _, e := range b.enis {
		t.ENIs = append(t.ENIs, e.Outcome)
	}
	return t
}

// builder collects the wanted state.
type builder struct {
	Input
	layout
	enis []eni
	held map[Slot]bool // whose objects stay regardless
	// marked are the families with a return path.
	marked map[Family]bool
	want   State
	purge  []Route
}

// eni is an ENI with its NIC, and per family what is needed to route.
type eni struct {
	ENI
	Outcome
	nets map[Family]network
}

func (e *eni) problem(field, reason, format string, args ...any) {
	e.Problems = append(e.Problems, metadata.Problem{Interface: e.Name(), Field: field, Reason: reason, Text: fmt.Sprintf(format, args...)})
}

// managed reports whether the ENI has a place in the layout.
func (e *eni) managed() bool { return e.Link.Index != 0 && e.Slot != NoSlot && !e.Ignore }

func (e *eni) primary() bool { return e.Slot == Primary }

// resolve finds an ENI's NIC and networks, and says what is missing.
func (b *builder) resolve(e ENI) eni {
	r := eni{ENI: e, Outcome: Outcome{MAC: e.MAC, Slot: NoSlot, Phase: Ready}}
	if slot, ok := b.Slots[e.MAC]; ok {
		r.Slot = slot
	}
	link, problem := MatchLink(e.MAC, b.Seen.Host.Links)
	switch {
	case e.Ignore:
		r.Phase = Ignored
		r.nets = b.networks(&r)
		return r
	case problem != nil && problem.Reason == "no-nic":
		r.Phase = Waiting
		r.tellVLAN(b.Seen.Host.Links)
		return r
	case problem != nil:
		r.Phase = Conflict
		problem.Interface = e.Name()
		r.Problems = append(r.Problems, *problem)
		return r
	case r.Slot == NoSlot:
		r.Phase = Incomplete
		r.problem("primary", "primary-unknown", "it is not known whether this is the primary ENI, so nothing is done to it yet")
		return r
	}
	r.Link = link
	r.nets = b.networks(&r)
	return r
}

// tellVLAN says how to make the link of an ENI that has no NIC of its own. enid makes none.
func (e *eni) tellVLAN(links []Link) {
	if e.VLAN.State != metadata.Known {
		return
	}
	tag := e.VLAN.Value
	parent, problem := MatchLink(tag.Parent, links)
	if problem != nil {
		return // it comes after its parent
	}
	e.problem("vlan", "no-vlan-link", "it is the VLAN %d on %s, which has no link yet: ip link add link %s name %s.%d address %s type vlan id %d; enid configures the link and makes none",
		tag.ID, parent.Name, parent.Name, parent.Name, tag.ID, e.MAC, tag.ID)
}

// build adds everything that an ENI needs to the wanted state.
func (e *eni) build(b *builder) {
	if !e.managed() {
		return
	}
	if len(e.nets) == 0 {
		e.Phase = Incomplete
		if !e.Addresses.Whole() {
			e.problem("addresses", "addresses-unknown", "no source says which addresses this ENI has")
		}
		if e.ByDHCP && !e.primary() {
			e.settings(b) // so that its network can be asked
		}
		return // there is nothing else that the NIC's settings would be for
	}
	grouped := e.settings(b)
	e.tellMarks(b)
	for _, f := range []Family{V4, V6} {
		n, ok := e.nets[f]
		switch {
		case !ok:
		case len(n.subnets) == 0:
			e.Phase = Incomplete
			e.problem("subnets", "subnet-unknown", "no source says which subnet %s is in; say it in an interfaces document", n.any())
		case e.primary():
			e.addresses(b, n)
			b.locals(e, n)
			b.primaryRules(e, f, n, grouped)
		default:
			e.addresses(b, n)
			b.locals(e, n)
			b.table(e, f, n)
			b.block(e, f, n, grouped)
		}
	}
}

// addresses wants the ENI's addresses on its NIC. The first of a secondary ENI's
// family gets its subnet's length, the others stand alone. The primary's first is DHCP's.
func (e *eni) addresses(b *builder, n network) {
	e.Addrs = append(e.Addrs, n.addrs...)
	for _, a := range n.addrs {
		if e.primary() && a == n.first || b.hasForeign(e.Link.Index, a) {
			continue
		}
		p := singleIP(a)
		if a == n.first {
			for _, s := range n.subnets {
				if s.Contains(a) {
					p = netip.PrefixFrom(a, s.Bits())
				}
			}
		}
		// An address of ours that is there with another length stays as it is: changing it
		// would cost a gap (IPv6 knows an address only once) and gain nothing.
		for _, own := range b.Seen.Own.Addrs {
			if own.Link == e.Link.Index && own.Prefix.Addr() == a {
				p = own.Prefix
			}
		}
		if e.Phase == Down && a.Is6() && !slices.Contains(b.Seen.Own.Addrs, Addr{e.Link.Index, p}) {
			continue // the kernel keeps no IPv6 address on a NIC that is down
		}
		b.want.Addrs = append(b.want.Addrs, Addr{Link: e.Link.Index, Prefix: p})
	}
}

// settings wants the NIC's knobs and reports whether it is in our link group.
func (e *eni) settings(b *builder) (grouped bool) {
	present := map[Knob]string{}
	for _, s := range b.Seen.Host.Settings {
		if s.Link == e.Link.Index {
			present[s.Knob] = s.Value
		}
	}
	ours := func(k Knob) bool {
		return slices.ContainsFunc(b.Seen.Own.Settings, func(s Setting) bool { return s.Link == e.Link.Index && s.Knob == k })
	}
	set := func(k Knob, v string) {
		// What is so already by others' hands is not ours to put back later.
		if was, known := present[k]; known && (was != v || ours(k)) {
			b.want.Settings = append(b.want.Settings, Setting{e.Link.Index, k, v})
		}
	}

	group := strconv.FormatUint(uint64(b.Input.Numbers.Group), 10)
	switch was := present[LinkGroup]; {
	case was == group, was == "0", ours(LinkGroup): // ours is another number after a change of the settings
		set(LinkGroup, group)
		grouped = true
	default:
		e.problem("", "link-group-taken", "%s is in link group %s, which somebody else gave it; traffic from its addresses to containers and VPNs of this host goes to the gateway instead (put it in group 0)", e.Link.Name, was)
	}
	set(ARPIgnore, "1")
	set(ARPAnnounce, "2")
	if b.looseFilter(present[RPFilter], ours(RPFilter)) {
		set(RPFilter, "2")
	}
	if e.primary() {
		if e.keepsRA(b, present[AcceptRA], ours(AcceptRA)) {
			set(AcceptRA, "2")
		}
		return grouped
	}
	set(AcceptRA, "0")
	e.purgeRA(b, present[AcceptRA])
	set(Promote, "1")
	if e.MTU.State == metadata.Known {
		set(LinkMTU, strconv.Itoa(e.MTU.Value))
	}
	if !e.Link.Up && ours(LinkUp) {
		// We brought it up once, somebody set it down since: that may be meant.
		e.Phase = Down
		e.problem("", "link-down", "somebody set %s down; nothing leaves by another NIC meanwhile (ip link set %s up)", e.Link.Name, e.Link.Name)
		b.want.Settings = append(b.want.Settings, Setting{e.Link.Index, LinkUp, "0"})
		return grouped
	}
	set(LinkUp, "1")
	return grouped
}

// walls closes the blocks of each family in use against everybody who has no business there.
func (b *builder) walls() {
	for _, f := range []Family{V4, V6} {
		if slices.ContainsFunc(b.want.Rules, func(r Rule) bool { return r.Family == f }) {
			b.rule(Rule{Family: f, Priority: b.wall(), Unreachable: true})
		}
	}
}

func (b *builder) rule(r Rule) {
	r.Proto = b.Protocol
	b.want.Rules = append(b.want.Rules, r)
}

func (b *builder) route(r Route) {
	r.Proto = b.Protocol
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		r.Metric = 1024 // what the kernel makes of 0
	}
	same := func(x Route) bool { return x.key() == r.key() }
	if !slices.ContainsFunc(b.want.Routes, same) {
		b.want.Routes = append(b.want.Routes, r)
	}
}

// keep is the elements that f holds for.
func keep[T any](s []T, f func(T) bool) []T {
	var kept []T
	for _, v := range s {
		if f(v) {
			kept = append(kept, v)
		}
	}
	return kept
}
