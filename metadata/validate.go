package metadata

import (
	"fmt"
	"net/netip"
	"slices"
)

// The reasons of the problems that Validate reports. They are label values of a
// metric: they stay as they are.
const (
	ReasonNoInterfaces   = "no-interfaces"
	ReasonDuplicateMAC   = "duplicate-mac"
	ReasonNoPrimary      = "no-primary"
	ReasonTwoPrimaries   = "two-primaries"
	ReasonNoAddress      = "no-address"
	ReasonBadAddress     = "bad-address"
	ReasonNotAHost       = "address-not-a-host"
	ReasonIsGateway      = "address-is-gateway"
	ReasonOutsideSubnet  = "address-outside-subnet"
	ReasonTwoENIs        = "address-on-two-interfaces"
	ReasonBadSubnet      = "bad-subnet"
	ReasonBadPrefix      = "bad-prefix"
	ReasonHostBits       = "host-bits"
	ReasonPrefixOverlap  = "prefix-overlap"
	ReasonBadGateway     = "bad-gateway"
	ReasonGatewayOffLink = "gateway-off-link"
	ReasonTwoGateways    = "two-gateways"
	ReasonMTU            = "mtu-out-of-range"
	ReasonBadLocal       = "bad-local"
	ReasonLocalSwallows  = "local-swallows"
	ReasonVLAN           = "bad-vlan"
)

// Validate takes what cannot be believed out of an answer and reports each such
// thing as a Problem. A list that something was taken out of is AtLeast, an
// interface whose MAC is listed twice has no facts: so a wrong answer never
// looks like a release. The result is sorted by MAC, has no duplicates
// within a list and no IPv4-mapped addresses, and shares no memory with s.
// Validate of its own result changes nothing.
func Validate(s Snapshot) Snapshot {
	v := validation{problems: slices.Clone(s.Problems)}
	unique, ambiguous := v.unique(s.Interfaces)
	if len(unique) == 0 && s.Complete {
		v.add("", "interfaces", ReasonNoInterfaces, "the answer lists no interface, which no instance has; it is not believed")
	}
	s.Complete = s.Complete && len(unique) > 0 && !ambiguous
	for n, i := range unique {
		unique[n] = v.one(i)
	}
	v.addressesOnce(unique)
	v.prefixesApart(unique)
	v.localApart(unique)
	v.vlansOnce(unique)
	for n, i := range unique {
		unique[n] = v.final(i)
	}
	v.onePrimary(unique)
	s.Interfaces, s.Problems = unique, v.problems
	return s
}

// validation collects problems, each once.
type validation struct{ problems []Problem }

func (v *validation) add(name, field, reason, format string, args ...any) {
	p := Problem{name, field, reason, fmt.Sprintf(format, args...)}
	if !slices.Contains(v.problems, p) {
		v.problems = append(v.problems, p)
	}
}

// unique is one interface a MAC, sorted; one that is listed twice keeps its MAC only.
func (v *validation) unique(in []Interface) (out []Interface, ambiguous bool) {
	for _, i := range in {
		out = append(out, i.Clone())
	}
	slices.SortStableFunc(out, func(a, b Interface) int { return compareMAC(a.MAC, b.MAC) })
	for n := 1; n < len(out); n++ {
		if mac := out[n].MAC; out[n-1].MAC == mac {
			v.add(mac.String(), "mac", ReasonDuplicateMAC, "two interfaces are listed with the MAC %s; neither is believed until one of them has another", mac)
			out[n-1], out[n] = Interface{MAC: mac}, Interface{MAC: mac}
			ambiguous = true
		}
	}
	return slices.CompactFunc(out, func(a, b Interface) bool { return a.MAC == b.MAC }), ambiguous
}

// one checks an interface by itself. The order matters: gateways and addresses
// are judged by the subnets that are believed, addresses by the gateways too.
func (v *validation) one(i Interface) Interface {
	i.Subnets = keepList(plainPrefixes(i.Subnets), func(p netip.Prefix) bool { return v.subnet(i, p) })
	i.Gateways = keepList(plainAddrs(i.Gateways), func(a netip.Addr) bool { return v.gateway(i, a) })
	if len(oneAFamily(i.Gateways).Value) < len(i.Gateways.Value) {
		v.add(i.Name(), "gateway", ReasonTwoGateways, "%v are more than one a family; none is believed, state one", i.Gateways.Value)
		i.Gateways = Fact[[]netip.Addr]{}
	}
	if i.Addresses.Whole() && len(i.Addresses.Value) == 0 {
		v.add(i.Name(), "addresses", ReasonNoAddress, "the list of addresses is empty, which is not an answer; what was known before stays")
	}
	i.Addresses = keepList(plainAddrs(i.Addresses), func(a netip.Addr) bool { return v.address(i, a) })
	i.Prefixes = keepList(plainPrefixes(i.Prefixes), func(p netip.Prefix) bool { return v.prefix(i, p) })
	i.Local = keepList(plainPrefixes(i.Local), func(p netip.Prefix) bool { return v.local(i, p) })
	return v.vlan(i)
}

// final is what depends on the addresses that are left.
func (v *validation) final(i Interface) Interface {
	if len(i.Addresses.Value) == 0 {
		i.Addresses = Fact[[]netip.Addr]{}
	}
	if i.MTU.State != Known {
		return i
	}
	lowest := 576
	if slices.ContainsFunc(i.Addresses.Value, netip.Addr.Is6) {
		lowest = 1280 // RFC 8200, section 5
	}
	if m := i.MTU.Value; m < lowest || m > 9216 {
		v.add(i.Name(), "mtu", ReasonMTU, "%d is out of range, want %d to 9216; the NIC's own MTU stays", m, lowest)
		i.MTU = Fact[int]{}
	}
	return i
}

// onePrimary checks that one interface is the primary.
func (v *validation) onePrimary(all []Interface) {
	var names []string
	for _, i := range all {
		if i.Primary.State == Known && i.Primary.Value {
			names = append(names, i.Name())
		}
	}
	two := slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Reason == ReasonTwoPrimaries })
	switch {
	case len(names) > 1:
		v.add("", "primary", ReasonTwoPrimaries, "%v all claim to be the primary interface; none is believed, state one", names)
		for n := range all {
			all[n].Primary = Fact[bool]{}
		}
	case len(names) == 0 && len(all) > 0 && !two:
		v.add("", "primary", ReasonNoPrimary, "no interface is known to be the primary one; state it with primary: true")
	}
}

// keepList drops the values that ok refuses, after which more may exist than is
// listed. Values that are listed twice are listed once.
func keepList[T comparable](f Fact[[]T], ok func(T) bool) Fact[[]T] {
	values := union(f.Value, nil)
	kept := slices.DeleteFunc(slices.Clone(values), func(x T) bool { return !ok(x) })
	switch {
	case len(kept) == len(values) && len(values) == 0:
		f.Value = nil
		return f
	case len(kept) == 0:
		return Fact[[]T]{}
	case len(kept) < len(values):
		f.State = AtLeast
	}
	f.Value = kept
	return f
}

// plainAddrs writes IPv4-mapped addresses as IPv4 and takes zones off.
func plainAddrs(f Fact[[]netip.Addr]) Fact[[]netip.Addr] {
	for n, a := range f.Value {
		f.Value[n] = a.WithZone("").Unmap()
	}
	return f
}

func plainPrefixes(f Fact[[]netip.Prefix]) Fact[[]netip.Prefix] {
	for n, p := range f.Value {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			f.Value[n] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return f
}
