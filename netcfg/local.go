package netcfg

import (
	"net/netip"
	"slices"
)

// Local ranges: all of their addresses are this host's own, by one route in the kernel's table of such addresses
// and not by thousands of addresses on a NIC. What is sent from them is led as what is sent from a delegated
// prefix is.

// ranges are the prefixes that lead to the ENI whoever sends from them, each once.
func (n network) ranges() []netip.Prefix {
	all := slices.Clone(n.prefixes)
	for _, p := range n.local {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// locals makes the ENI's ranges this host's own. Where somebody else has a local route to one already, Google's
// guest agent for example, it serves as well and stays theirs.
func (b *builder) locals(e *eni, n network) {
	for _, p := range n.local {
		theirs := func(r Route) bool { return r.Dst == p }
		r := Route{Table: LocalTable, Dst: p, Link: e.Link.Index, Proto: b.Protocol}
		r.Metric = r.effectiveMetric()
		switch down := e.Phase == Down || e.primary() && !e.Link.Up; {
		case slices.ContainsFunc(b.Seen.Host.Local, theirs):
		case down && !slices.Contains(b.Seen.Own.Routes, r): // IPv6 has none through a NIC that is down
		default:
			b.route(r)
		}
	}
}

// recallLocal adds the ranges that are local by our hands. Those that nobody speaks of stay: what is unknown is
// not gone.
func (b *builder) recallLocal(e *eni, f Family, n *network) {
	for _, r := range b.Seen.Own.Routes {
		if r.Local() && r.Link == e.Link.Index && FamilyOf(r.Dst.Addr()) == f && !slices.Contains(n.local, r.Dst) {
			n.local = append(n.local, r.Dst)
		}
	}
}
