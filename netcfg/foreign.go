package netcfg

import (
	"cmp"
	"net/netip"
	"slices"
)

// ByNIC orders routes by NIC, then by destination, as Host.Routes has them.
func ByNIC(a, b Route) int {
	return cmp.Or(cmp.Compare(a.Link, b.Link), a.Dst.Addr().Compare(b.Dst.Addr()),
		cmp.Compare(a.Dst.Bits(), b.Dst.Bits()), cmp.Compare(a.Metric, b.Metric))
}

// within is main's foreign routes through a NIC to destinations in p. It looks at no others:
// every pass asks, and main may hold the whole internet's routes.
func (h Host) within(link int, p netip.Prefix) []Route {
	first, _ := slices.BinarySearchFunc(h.Routes, Route{Link: link, Dst: p, Metric: -1}, ByNIC)
	rest := h.Routes[first:]
	n, _ := slices.BinarySearchFunc(rest, p, func(r Route, p netip.Prefix) int {
		if r.Link == link && p.Contains(r.Dst.Addr()) {
			return -1
		}
		return 1
	})
	return rest[:n]
}
