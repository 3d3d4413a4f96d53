package metadata

import (
	"net/netip"
	"slices"
	"strings"
)

// Complete adds to s what layer says about the interfaces of s and s does not
// know itself. Where layer has several entries for one MAC, the earlier wins
// for each fact, so that layers are joined by appending them. Facts of s that are
// Known or None stay; lists that s knows in part keep their order, so that the
// provider's primary address stays its family's first. Interfaces that only
// layer knows are not added: the provider decides what is attached. The
// answer shares no memory with its arguments.
func Complete(s Snapshot, layer []Interface) Snapshot {
	s.Problems = slices.Clone(s.Problems)
	completed := make([]Interface, 0, len(s.Interfaces))
	for _, i := range s.Interfaces {
		i = i.Clone()
		for _, l := range layer {
			if l.MAC == i.MAC {
				i = completeOne(i, l.Clone())
			}
		}
		completed = append(completed, i)
	}
	s.Interfaces = completed
	return s
}

func completeOne(i, l Interface) Interface {
	i.ID = orElse(i.ID, l.ID)
	i.Primary = orElse(i.Primary, l.Primary)
	i.SubnetID = orElse(i.SubnetID, l.SubnetID)
	i.MTU = orElse(i.MTU, l.MTU)
	i.Public = orElse(i.Public, l.Public)
	i.Subnets = completeList(i.Subnets, l.Subnets)
	i.Addresses = completeList(i.Addresses, l.Addresses)
	i.Prefixes = completeList(i.Prefixes, l.Prefixes)
	i.Local = completeList(i.Local, l.Local)
	i.VLAN = orElse(i.VLAN, l.VLAN)
	i.Gateways = oneAFamily(completeList(i.Gateways, l.Gateways))
	return i
}

func orElse[T any](f, other Fact[T]) Fact[T] {
	if f.State == Unknown {
		return other
	}
	return f
}

// completeList is orElse for lists, where a part that is known gains the rest.
func completeList[T comparable](f, other Fact[[]T]) Fact[[]T] {
	switch {
	case f.Whole() || other.State == Unknown:
		return f
	case f.State == Unknown:
		return other
	case other.State == None && len(f.Value) == 0:
		return other
	case other.State == None:
		// The layer knows of none: what the provider saw is all.
		return Fact[[]T]{Known, f.Value, joinOrigins(f.Origin, other.Origin)}
	}
	return Fact[[]T]{other.State, union(f.Value, other.Value), joinOrigins(f.Origin, other.Origin)}
}

// union is a, then what only b has.
func union[T comparable](a, b []T) []T {
	out := make([]T, 0, len(a)+len(b))
	for _, v := range slices.Concat(a, b) {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func joinOrigins(a, b string) string {
	if b == "" || slices.Contains(strings.Split(a, ", "), b) {
		return a
	}
	if a == "" {
		return b
	}
	return a + ", " + b
}

// oneAFamily keeps the first gateway of each family.
func oneAFamily(f Fact[[]netip.Addr]) Fact[[]netip.Addr] {
	f.Value = slices.Clone(f.Value)
	seen := map[bool]bool{}
	f.Value = slices.DeleteFunc(f.Value, func(a netip.Addr) bool {
		twice := seen[a.Is4()]
		seen[a.Is4()] = true
		return twice
	})
	return f
}
