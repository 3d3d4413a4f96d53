package netcfg

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// hostRoute is a route of anybody's.
type hostRoute struct {
	table  int
	dst    netip.Prefix
	src    netip.Prefix // IPv6: for packets from there alone; invalid for all
	metric int
	// kind is a Way's Type, or throw: as if the table had nothing.
	kind string
	tos  bool // for one type of service alone, which no Packet has
	// preference is what a router says of itself (RFC 4191), 2 is medium, more is better.
	preference int
	hops       []routeHop
}

// routeHop is a next hop.
type routeHop struct {
	nic string
	via netip.Addr
	// dead: the NIC is down, or has no carrier and is configured to be ignored then.
	dead bool
	// failed: the gateway does not answer neighbour discovery.
	failed bool
}

// refuses: the kernel ends the lookup with an error.
func (r hostRoute) refuses() bool {
	return r.kind == "unreachable" || r.kind == "blackhole" || r.kind == "prohibit"
}

// String is the route as ip(8) prints it, without its table.
func (r hostRoute) String() string {
	var words []string
	if r.kind != "unicast" {
		words = append(words, r.kind)
	}
	words = append(words, destination(r.dst))
	if r.src.IsValid() {
		words = append(words, "from", r.src.String())
	}
	if !r.refuses() && r.kind != "throw" {
		words = append(words, r.hopWords()...)
	}
	if r.metric != 0 {
		words = append(words, fmt.Sprint("metric ", r.metric))
	}
	return strings.Join(words, " ")
}

// destination is a prefix as ip(8) prints that of a route.
func destination(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "default"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func (r hostRoute) hopWords() (words []string) {
	for _, h := range r.hops {
		if len(r.hops) > 1 {
			words = append(words, "nexthop")
		}
		if h.via.IsValid() {
			words = append(words, "via", h.via.String())
		}
		words = append(words, "dev", h.nic)
		if h.dead {
			words = append(words, "dead")
		}
	}
	return words
}

// routeOrder is the order in which a table's routes to one address are asked. Among equals the
// kernel's own order stays.
func routeOrder(a, b hostRoute) int {
	return cmp.Or(cmp.Compare(b.dst.Bits(), a.dst.Bits()), cmp.Compare(max(b.src.Bits(), 0), max(a.src.Bits(), 0)), cmp.Compare(a.metric, b.metric))
}

// lookup asks a table: the longest prefix, then the lowest metric, of the routes that have a next
// hop to use. hops are those that the kernel chooses among.
func (s *sight) lookup(table int, f flow) (r hostRoute, hops []routeHop, found bool) {
	routes := keep(s.routes[table], func(r hostRoute) bool { return r.dst.Contains(f.dst) && !r.tos })
	if s.family == V4 {
		return s.lookup4(routes, f)
	}
	routes = visible(routes, f.src)
	if r, hops, found = lookup6(routes, f, s.reachableFirst); found || !s.reachableFirst {
		return r, hops, found
	}
	return lookup6(routes, f, false)
}

// lookup4 is fib_table_lookup of net/ipv4/fib_trie.c.
func (s *sight) lookup4(routes []hostRoute, f flow) (hostRoute, []routeHop, bool) {
	for i, r := range routes {
		if r.refuses() || r.kind == "throw" {
			return r, nil, true
		}
		if hops := alive(r.hops, false); len(hops) > 0 {
			return r, append(hops, s.otherDefaults(r, routes[i+1:], f)...), true
		}
	}
	return hostRoute{}, nil, false
}

// otherDefaults are the gateways of default routes that stand beside one with the same metric: the
// kernel takes the one whose neighbour answers (fib_select_default), for what this host makes.
func (s *sight) otherDefaults(r hostRoute, rest []hostRoute, f flow) (hops []routeHop) {
	if r.dst.Bits() != 0 || r.kind != "unicast" || len(r.hops) > 1 || f.iif != "lo" {
		return nil
	}
	for _, other := range rest {
		if other.metric == r.metric && other.kind == "unicast" && len(other.hops) == 1 && other.hops[0].via.IsValid() {
			hops = append(hops, alive(other.hops, false)...)
		}
	}
	return hops
}

// visible leaves out what IPv6 does not see for a packet's source. On the way down to the first
// prefix with a route for it, routes for one source alone hide those beside them that are for all, except
// the default (fib6_node_lookup_1 of net/ipv6/ip6_fib.c).
func visible(routes []hostRoute, src netip.Addr) (seen []hostRoute) {
	for len(routes) > 0 {
		n := len(keep(routes, func(r hostRoute) bool { return r.dst == routes[0].dst }))
		beside := routes[:n]
		fit := keep(beside, func(r hostRoute) bool { return covers(r.src, src) })
		special := keep(beside, func(r hostRoute) bool { return r.src.IsValid() })
		hidden := len(special) > 0 && !slices.ContainsFunc(fit, func(r hostRoute) bool { return r.src.IsValid() })
		if !hidden || len(seen) > 0 || beside[0].dst.Bits() == 0 {
			seen = append(seen, fit...)
		}
		routes = routes[n:]
	}
	return seen
}

// lookup6 is fib6_table_lookup of net/ipv6/route.c: routes of one prefix by their metric; when
// none of the lowest is of use, the rest of them all together.
func lookup6(routes []hostRoute, f flow, reachable bool) (hostRoute, []routeHop, bool) {
	for len(routes) > 0 {
		n := len(keep(routes, func(r hostRoute) bool { return r.dst == routes[0].dst && r.src == routes[0].src }))
		lowest := len(keep(routes[:n], func(r hostRoute) bool { return r.metric == routes[0].metric }))
		for _, group := range [][]hostRoute{routes[:lowest], routes[lowest:n]} {
			if r, hops, ok := best6(group, f, reachable); ok {
				return r, hops, true
			}
		}
		routes = routes[n:]
	}
	return hostRoute{}, nil, false
}

// best6 chooses by score: the NIC that the packet came in by, and what the router says of itself.
// Among equals the first wins, as long as its gateways answer.
func best6(routes []hostRoute, f flow, reachable bool) (best hostRoute, hops []routeHop, found bool) {
	top := -1
	for _, r := range routes {
		usable := alive(r.hops, reachable)
		if len(usable) == 0 {
			continue
		}
		score := r.preference << 2
		if f.iif == "lo" || slices.ContainsFunc(usable, func(h routeHop) bool { return h.nic == f.iif }) {
			score += 2
		}
		if score > top {
			best, hops, found, top = r, usable, true, score
		}
	}
	return best, hops, found
}

// alive are the next hops that can be used.
func alive(hops []routeHop, reachable bool) []routeHop {
	return keep(hops, func(h routeHop) bool { return !h.dead && (!h.failed || !reachable) })
}
