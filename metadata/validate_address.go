package metadata

import (
	"net/netip"
	"slices"
)

// endpoints are the addresses at which clouds serve metadata: no ENI owns one.
var endpoints = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("100.96.0.96"),
	netip.MustParseAddr("169.254.0.23"),
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"),
}

// oddity says why no host of a VPC has the address a, "" if one may.
func oddity(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "is no address"
	case slices.Contains(endpoints, a):
		return "is an address of the metadata service"
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	case a.IsLinkLocalUnicast():
		return "is a link-local address"
	}
	return ""
}

func (v *validation) address(i Interface, a netip.Addr) bool {
	subnet, inside := subnetOf(i.Subnets.Value, a)
	switch odd := oddity(a); {
	case odd != "":
		v.add(i.Name(), "addresses", ReasonBadAddress, "%s %s; it is left out, correct the metadata", a, odd)
	case slices.Contains(i.Gateways.Value, a):
		v.add(i.Name(), "addresses", ReasonIsGateway, "%s is the gateway's address; it is left out, correct one of the two", a)
	case !inside && i.Subnets.State == Known:
		v.add(i.Name(), "addresses", ReasonOutsideSubnet, "%s is outside of the interface's subnets %v; it is left out, correct the address or the subnets", a, i.Subnets.Value)
	case inside && isEdge(subnet, a):
		v.add(i.Name(), "addresses", ReasonNotAHost, "%s is the network or broadcast address of %s; it is left out, correct the address or the subnet", a, subnet)
	default:
		return true
	}
	return false
}

// gateway accepts a link-local IPv6 router, and any address where the subnets
// are not all known, or are single addresses: then the whole network is behind the
// gateway (GCP).
func (v *validation) gateway(i Interface, a netip.Addr) bool {
	router := a.Is6() && a.IsLinkLocalUnicast()
	_, inside := subnetOf(i.Subnets.Value, a)
	switch odd := oddity(a); {
	case router:
		return true
	case odd != "":
		v.add(i.Name(), "gateway", ReasonBadGateway, "%s %s; it is left out, correct the metadata", a, odd)
	case !inside && i.Subnets.State == Known && !standAlone(i.Subnets.Value, a):
		v.add(i.Name(), "gateway", ReasonGatewayOffLink, "%s is outside of the interface's subnets %v; it is left out, correct the gateway or the subnets", a, i.Subnets.Value)
	default:
		return true
	}
	return false
}

// standAlone reports whether the subnets of a's family are single addresses, one at least.
func standAlone(subnets []netip.Prefix, a netip.Addr) bool {
	ofFamily := slices.DeleteFunc(slices.Clone(subnets), func(p netip.Prefix) bool { return p.Addr().Is4() != a.Is4() })
	return len(ofFamily) > 0 && !slices.ContainsFunc(ofFamily, func(p netip.Prefix) bool { return !p.IsSingleIP() })
}

func (v *validation) subnet(i Interface, p netip.Prefix) bool {
	return v.block(i, "subnets", ReasonBadSubnet, p)
}

func (v *validation) prefix(i Interface, p netip.Prefix) bool {
	return v.block(i, "prefixes", ReasonBadPrefix, p)
}

// block checks what holds for subnets and delegated prefixes alike.
func (v *validation) block(i Interface, field, reason string, p netip.Prefix) bool {
	switch odd := oddity(p.Addr()); {
	case !p.IsValid() || p.Addr().Zone() != "":
		v.add(i.Name(), field, reason, "%s is no prefix; it is left out, correct the metadata", p)
	case p.Bits() == 0:
		v.add(i.Name(), field, reason, "%s is the whole internet; it is left out, correct the metadata", p)
	case odd != "":
		v.add(i.Name(), field, reason, "%s: %s %s; it is left out, correct the metadata", p, p.Addr(), odd)
	case p != p.Masked():
		v.add(i.Name(), field, ReasonHostBits, "%s has host bits set; it is left out, want %s", p, p.Masked())
	default:
		return true
	}
	return false
}

// subnetOf is the longest of the subnets that a is in.
func subnetOf(subnets []netip.Prefix, a netip.Addr) (subnet netip.Prefix, inside bool) {
	for _, s := range subnets {
		if s.Contains(a) && (!inside || s.Bits() > subnet.Bits()) {
			subnet, inside = s, true
		}
	}
	return subnet, inside
}

// isEdge reports whether a is no host's address in its subnet: the network address
// (in IPv6 the routers' anycast address, RFC 4291 section 2.6.1), and in IPv4
// the broadcast address. Subnets of one or two addresses have no edges (RFC 3021,
// RFC 6164).
func isEdge(subnet netip.Prefix, a netip.Addr) bool {
	if subnet.Bits() >= a.BitLen()-1 {
		return false
	}
	return a == subnet.Addr() || a.Is4() && !subnet.Contains(a.Next())
}

// addressesOnce drops an address that two interfaces claim from both.
func (v *validation) addressesOnce(all []Interface) {
	owners := map[netip.Addr][]int{}
	for n, i := range all {
		for _, a := range i.Addresses.Value {
			owners[a] = append(owners[a], n)
		}
	}
	for n, i := range all {
		all[n].Addresses = keepList(i.Addresses, func(a netip.Addr) bool {
			for _, other := range owners[a] {
				if other != n {
					v.add(i.Name(), "addresses", ReasonTwoENIs, "%s is listed on %s and on %s; neither gets it until one of them gives it up", a, i.Name(), all[other].Name())
				}
			}
			return len(owners[a]) < 2
		})
	}
}

// prefixesApart drops delegated prefixes that overlap another interface's prefix
// or hold another interface's address.
func (v *validation) prefixesApart(all []Interface) {
	before := make([][]netip.Prefix, len(all))
	for n, i := range all {
		before[n] = i.Prefixes.Value
	}
	for n, i := range all {
		all[n].Prefixes = keepList(i.Prefixes, func(p netip.Prefix) bool {
			for other, o := range all {
				if other == n {
					continue
				}
				if slices.ContainsFunc(before[other], p.Overlaps) || slices.ContainsFunc(o.Addresses.Value, p.Contains) {
					v.add(i.Name(), "prefixes", ReasonPrefixOverlap, "%s of %s overlaps with an address or prefix of %s; it is left out until one of them gives it up", p, i.Name(), o.Name())
					return false
				}
			}
			return true
		})
	}
}
