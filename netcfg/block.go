package netcfg

import (
	"cmp"
	"net/netip"
	"slices"
)

// maxCopies bounds the copies of main's routes in an ENI's table. A full routing table
// through a secondary ENI is somebody's router, which does not need our help.
const maxCopies = 1024

// halves is the longest prefix that counts as a default route: VPNs split the default
// into halves, and IPv6 ones use 2000::/3 and the like.
func halves(f Family) int {
	if f == V4 {
		return 1
	}
	return 4
}

// key is what the kernel tells two routes of a table apart by.
func (r Route) key() Route { return Route{Table: r.Table, Dst: r.Dst, Metric: r.Metric} }

// block is the ENI's block of rules and the selectors that lead into it.
func (b *builder) block(e *eni, f Family, n network, grouped bool) {
	base := b.blockOf(e.Slot)
	first := Rule{Family: f, Priority: base, Table: MainTable, SuppressPrefix: halves(f), SuppressGroup: b.Group}
	if !grouped { // a goto needs its target: without one the kernel walks on to main
		first = Rule{Family: f, Priority: base, Table: b.TableOf(e.Slot)}
	}
	b.rule(first)
	b.rule(Rule{Family: f, Priority: base + 1, Table: b.TableOf(e.Slot)})
	b.rule(Rule{Family: f, Priority: base + 2, Unreachable: true})

	b.markSelector(e, f)
	for _, p := range n.ranges() {
		b.rule(Rule{Family: f, Priority: b.Priority + prefixSelectors + prefixRank(p), From: p, Goto: base})
	}
	for _, s := range n.subnets {
		b.subnetSelector(e, f, s)
	}
	for _, a := range n.addrs { // where not all subnets are known
		if !slices.ContainsFunc(n.subnets, func(s netip.Prefix) bool { return s.Contains(a) }) {
			b.rule(Rule{Family: f, Priority: b.Priority + subnetSelectors, From: singleIP(a), IIF: "lo", Goto: base})
		}
	}
	b.rule(Rule{Family: f, Priority: b.Priority + deviceSelectors, OIF: e.Link.Name, Goto: base})
}

// subnetSelector leads what this host sends from the ENI's addresses in a subnet to its
// block: with one rule for the whole subnet where the ENI is alone in it, by a chain
// behind main where several share it, address by address where the primary or an ENI
// that is not enid's has addresses in it as well.
func (b *builder) subnetSelector(e *eni, f Family, subnet netip.Prefix) {
	base := b.blockOf(e.Slot)
	sharers, exclusive := b.sharers(f, subnet)
	selector := Rule{Family: f, Priority: b.Priority + subnetSelectors + prefixRank(subnet), From: subnet, IIF: "lo"}
	switch {
	case len(sharers) == 0:
	case !exclusive:
		b.byAddress(e, f, subnet, Rule{Family: f, Priority: b.Priority + subnetSelectors, IIF: "lo", Goto: base})
	case sharers[0] != e.Slot:
		chain := Rule{Family: f, Priority: b.chainOf(sharers[0]), Goto: base}
		b.byAddress(e, f, subnet, chain)
		// What others put on the NIC came into the chain too, and would go on to its first ENI.
		others := b.marks(e, Temporary)
		for _, a := range b.Seen.Host.Addrs {
			if a.Link == e.Link.Index {
				others = append(others, a.Prefix.Addr())
			}
		}
		for _, ip := range others {
			if subnet.Contains(ip) && !slices.Contains(e.nets[f].addrs, ip) {
				chain.From = singleIP(ip)
				b.rule(chain)
			}
		}
	case len(sharers) == 1:
		selector.Goto = base
		b.rule(selector)
	default:
		selector.Goto = b.chainOf(e.Slot)
		b.rule(selector)
	}
}

// byAddress adds the rule once for each address of the ENI in the subnet.
func (b *builder) byAddress(e *eni, f Family, subnet netip.Prefix, r Rule) {
	for _, a := range e.nets[f].addrs {
		if subnet.Contains(a) {
			r.From = singleIP(a)
			b.rule(r)
		}
	}
}

// sharers lists the slots of the managed secondary ENIs that have an address in a subnet, lowest
// first, and whether nobody else on this host has one there.
func (b *builder) sharers(f Family, subnet netip.Prefix) (slots []Slot, exclusive bool) {
	exclusive = true
	nics := map[int]bool{}
	for i := range b.enis {
		e := &b.enis[i]
		n := e.nets[f]
		if !slices.ContainsFunc(n.addrs, subnet.Contains) {
			continue
		}
		// One that does not know the subnet for its own adds nothing to the chain, and a chain
		// without a rule is a goto without a target.
		if e.managed() && !e.primary() && slices.Contains(n.subnets, subnet) {
			slots = append(slots, e.Slot)
			nics[e.Link.Index] = true
		} else {
			exclusive = false
		}
	}
	slices.Sort(slots)
	// What the kernel has counts too, of whatever NIC: the primary may be under a bridge, be
	// ambiguous, or not be listed at all, and the host must not lose its own way.
	others := func(a Addr) bool { return subnet.Contains(a.Prefix.Addr()) && !nics[a.Link] }
	heldToo := func(a Addr) bool { return b.held[b.slotOf(a)] && others(a) }
	return slots, exclusive && !slices.ContainsFunc(b.Seen.Host.Addrs, others) && !slices.ContainsFunc(b.Seen.Own.Addrs, heldToo)
}

// table is the ENI's own route table, and main's routes to its subnets where asked for.
func (b *builder) table(e *eni, f Family, n network) {
	if e.Phase == Down {
		return // the kernel keeps no route through a NIC that is down
	}
	table, link := b.TableOf(e.Slot), e.Link.Index
	for _, s := range n.onLink() {
		b.route(Route{Table: table, Dst: s, Link: link})
	}
	if f == V6 {
		b.route(Route{Table: table, Dst: netip.MustParsePrefix("fe80::/64"), Link: link})
	}
	if n.gateway.IsValid() {
		b.route(Route{Table: table, Dst: defaultOf(f), Via: n.gateway, Link: link})
	} else {
		e.Phase = Incomplete
		e.problem("gateway", "gateway-unknown", "no source says the gateway of %s; only its own subnet is reached", n.any())
	}
	b.copyRoutes(e, f, table, defaultOf(f))
	if !e.SubnetRoute {
		return
	}
	for _, s := range n.onLink() {
		foreign := func(r Route) bool { return r.Dst == s }
		if !slices.ContainsFunc(b.Seen.Host.within(link, s), foreign) {
			b.route(Route{Table: MainTable, Dst: s, Link: link, Metric: subnetRouteMetric + int(e.Slot)})
		}
	}
}

// subnetRouteMetric is behind what others put in main for the same subnet.
const subnetRouteMetric = 1000

// copyRoutes repeats main's routes through the ENI's own NIC to parts of these prefixes in
// its table, so that they hold for its addresses too.
func (b *builder) copyRoutes(e *eni, f Family, table int, prefixes ...netip.Prefix) {
	n := 0
	for _, p := range prefixes {
		n += len(b.Seen.Host.within(e.Link.Index, p))
	}
	if n > maxCopies {
		e.problem("", "too-many-routes", "main has %d routes through %s; none is honoured for its addresses, the limit is %d", n, e.Link.Name, maxCopies)
		return
	}
	for _, p := range prefixes {
		for _, r := range b.Seen.Host.within(e.Link.Index, p) {
			if r.Dst.Bits() > max(p.Bits(), halves(f)) {
				b.route(Route{Table: table, Dst: r.Dst, Metric: r.Metric, Via: r.Via, Link: r.Link})
			}
		}
	}
}

func defaultOf(f Family) netip.Prefix {
	if f == V4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// sortState puts a state into an order that is the same for the same objects.
func (s *State) sort() {
	slices.SortFunc(s.Addrs, func(a, b Addr) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	slices.SortFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(a.Dst.Bits(), b.Dst.Bits()), cmp.Compare(a.Metric, b.Metric))
	})
	slices.SortStableFunc(s.Rules, compareRules)
	slices.SortFunc(s.Settings, func(a, b Setting) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(slices.Index(Knobs, a.Knob), slices.Index(Knobs, b.Knob)))
	})
}

// compareRules orders rules as the kernel does, and those of one priority by what they select.
func compareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), a.From.Addr().Compare(b.From.Addr()),
		cmp.Compare(a.From.Bits(), b.From.Bits()), a.To.Addr().Compare(b.To.Addr()), cmp.Compare(a.To.Bits(), b.To.Bits()), cmp.Compare(a.OIF, b.OIF),
		cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.UIDs.First, b.UIDs.First), cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Goto, b.Goto))
}
