package metadata

import (
	"net/netip"
	"slices"
)

// confirmation decides for one answer about one interface, fact by fact, whether it may
// replace what is believed.
type confirmation struct {
	whole    bool       // the answer is whole
	previous *Interface // the whole answer before it, nil if there was none
	waits    bool       // some change was put off until another whole answer
}

func (c *confirmation) merge(b, n Interface) Interface {
	p := Interface{}
	if c.previous != nil {
		p = *c.previous
	}
	out := Interface{MAC: n.MAC}
	out.ID = mergeScalar(c, b.ID, n.ID, p.ID)
	out.Primary = mergeScalar(c, b.Primary, n.Primary, p.Primary)
	out.SubnetID = mergeScalar(c, b.SubnetID, n.SubnetID, p.SubnetID)
	out.MTU = mergeScalar(c, b.MTU, n.MTU, p.MTU)
	out.Subnets = mergeList(c, b.Subnets, n.Subnets, p.Subnets)
	out.Gateways = mergeGateways(c, b.Gateways, n.Gateways, p.Gateways)
	out.Addresses = mergeList(c, b.Addresses, n.Addresses, p.Addresses)
	out.Prefixes = mergeList(c, b.Prefixes, n.Prefixes, p.Prefixes)
	out.Local = mergeList(c, b.Local, n.Local, p.Local)
	out.VLAN = mergeScalar(c, b.VLAN, n.VLAN, p.VLAN)
	// It matters only where nothing else is known: who could not read it this time takes nothing back.
	out.ByDHCP = n.ByDHCP || b.ByDHCP
	// Public addresses are only shown, so the newest word about them is as good as any.
	out.Public = orElse(n.Public, b.Public)
	return out.Clone()
}

// mergeScalar is what to believe where b was believed and the answer says n; the
// whole answer before it said p.
func mergeScalar[T comparable](c *confirmation, b, n, p Fact[T]) Fact[T] {
	switch {
	case n.State == Unknown:
		return b
	case b.State == Unknown, sameScalar(b, n), c.previous != nil && sameScalar(p, n):
		return n
	}
	c.waits = c.waits || c.whole
	return b
}

// mergeList is mergeScalar for lists, which also gain at once what is new in n.
func mergeList[T comparable](c *confirmation, b, n, p Fact[[]T]) Fact[[]T] {
	switch {
	case n.State == Unknown:
		return b
	case b.State == Unknown:
		return n
	case c.whole && n.Whole() && (extends(n.Value, b.Value) || c.previous != nil && p.Whole() && slices.Equal(p.Value, n.Value)):
		return n
	}
	c.waits = c.waits || c.whole && n.Whole()
	all := union(b.Value, n.Value)
	if len(all) == len(b.Value) {
		return b
	}
	return HasAtLeast(all, joinOrigins(b.Origin, n.Origin))
}

// mergeGateways is mergeList where a family has one: a second one waits outside.
func mergeGateways(c *confirmation, b, n, p Fact[[]netip.Addr]) Fact[[]netip.Addr] {
	merged := oneAFamily(mergeList(c, b, n, p))
	if len(merged.Value) == len(b.Value) && merged.State == AtLeast {
		return b
	}
	return merged
}

// extends reports whether a has all that b has, in the same order and with the
// same first of each family: the primary address.
func extends[T comparable](a, b []T) bool {
	kept := slices.DeleteFunc(slices.Clone(a), func(v T) bool { return !slices.Contains(b, v) })
	if !slices.Equal(kept, b) {
		return false
	}
	for _, v := range b {
		ofFamily := func(w T) bool { return isIPv4(w) == isIPv4(v) }
		if a[slices.IndexFunc(a, ofFamily)] != b[slices.IndexFunc(b, ofFamily)] {
			return false
		}
	}
	return true
}

// isIPv4 tells the families of an address or prefix apart.
func isIPv4[T any](v T) bool {
	switch v := any(v).(type) {
	case netip.Addr:
		return v.Is4()
	case netip.Prefix:
		return v.Addr().Is4()
	}
	return false
}

func sameScalar[T comparable](a, b Fact[T]) bool { return a.State == b.State && a.Value == b.Value }

// agree reports whether two whole answers say the same where both say something.
func agree(a, b Interface) bool {
	return slices.Equal(a.Addresses.Value, b.Addresses.Value) &&
		slices.Equal(a.Prefixes.Value, b.Prefixes.Value) &&
		slices.Equal(a.Subnets.Value, b.Subnets.Value) &&
		slices.Equal(a.Gateways.Value, b.Gateways.Value) &&
		(a.Local.State == Unknown || b.Local.State == Unknown || slices.Equal(a.Local.Value, b.Local.Value)) &&
		noConflict(a.VLAN, b.VLAN) &&
		noConflict(a.ID, b.ID) && noConflict(a.SubnetID, b.SubnetID) &&
		noConflict(a.Primary, b.Primary) && noConflict(a.MTU, b.MTU)
}

func noConflict[T comparable](a, b Fact[T]) bool {
	return a.State == Unknown || b.State == Unknown || sameScalar(a, b)
}
