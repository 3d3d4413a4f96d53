package netcfg

import (
	"net/netip"
	"slices"

	"enid/metadata"
)

// primaryRules are the three exceptions for what is sent from the primary ENI's
// addresses: what main reaches without an ENI, then the other ENIs' subnets through the
// primary's own gateway, and those by no other way. Everything else follows main as ever.
func (b *builder) primaryRules(e *eni, f Family, n network, grouped bool) {
	b.primaryMark(f)
	siblings, shared := b.siblings(e, f, n)
	if len(siblings) == 0 && len(shared) == 0 {
		return
	}
	if !n.gateway.IsValid() && len(siblings) > 0 {
		e.problem("gateway", "gateway-unknown", "neither the metadata nor main tells the primary's gateway; its traffic to the other ENIs' subnets follows main")
		return
	}
	b.primaryTables(e, f, n, siblings, shared)
	for _, s := range n.subnets {
		b.exceptions(b.Priority+primarySelectors, Rule{Family: f, From: s, IIF: "lo"}, grouped)
	}
	for _, p := range n.ranges() {
		b.exceptions(b.Priority+primarySelectors, Rule{Family: f, From: p}, grouped)
	}
	if b.marked[f] {
		b.exceptions(b.Priority+markExceptions, Rule{Family: f, Mark: b.MarkOf(Primary), Mask: b.markMask()}, grouped)
	}
}

// exceptions are three rules from a priority on for what r selects.
func (b *builder) exceptions(first int, r Rule, grouped bool) {
	if grouped {
		main := r
		main.Priority, main.Table, main.SuppressPrefix, main.SuppressGroup = first, MainTable, halves(r.Family), b.Group
		b.rule(main)
	}
	r.Priority, r.Table = first+1, b.TableOf(Primary)
	b.rule(r)
	r.Priority, r.Table = first+2, b.RefuseTable()
	b.rule(r)
}

// primaryTables fills the table of the ways and the table of what has no other way.
func (b *builder) primaryTables(e *eni, f Family, n network, siblings, shared []netip.Prefix) {
	for _, s := range siblings {
		b.route(Route{Table: b.RefuseTable(), Dst: s})
	}
	if !e.Link.Up {
		return // the kernel keeps no route through a NIC that is down
	}
	for _, s := range siblings {
		b.route(Route{Table: b.TableOf(Primary), Dst: s, Via: n.gateway, Link: e.Link.Index})
	}
	for _, s := range shared {
		b.route(Route{Table: b.TableOf(Primary), Dst: s, Link: e.Link.Index})
	}
	// Main is asked after this table anyway, so only routes into what the table answers matter.
	b.copyRoutes(e, f, b.TableOf(Primary), slices.Concat(siblings, shared)...)
}

// siblings lists the subnets of the other managed ENIs: those that the primary is not in,
// and those that it shares.
func (b *builder) siblings(primary *eni, f Family, n network) (siblings, shared []netip.Prefix) {
	for i := range b.enis {
		e := &b.enis[i]
		if e.Slot == primary.Slot || !e.managed() {
			continue
		}
		for _, s := range e.nets[f].subnets {
			switch {
			case slices.Contains(siblings, s) || slices.Contains(shared, s):
			case slices.Contains(n.subnets, s):
				shared = append(shared, s)
			case !slices.ContainsFunc(n.subnets, s.Overlaps):
				siblings = append(siblings, s)
			}
		}
	}
	return siblings, shared
}

// recallGateway reads the gateway of a primary of which nobody has spoken yet off the ways that were built
// with it, so that a restart changes nothing. Where the metadata answers and does not tell, main does.
func (b *builder) recallGateway(e *eni, f Family, n *network) {
	if !e.Hold || e.Addresses.State != metadata.Unknown || n.gateway.IsValid() {
		return
	}
	for _, way := range b.Seen.Own.Routes {
		refused := func(r Route) bool { return r.Table == b.RefuseTable() && r.Dst == way.Dst }
		if way.Table == b.TableOf(Primary) && way.Link == e.Link.Index && FamilyOf(way.Dst.Addr()) == f &&
			way.Via.IsValid() && slices.ContainsFunc(b.Seen.Own.Routes, refused) {
			n.gateway = way.Via
			return
		}
	}
}
