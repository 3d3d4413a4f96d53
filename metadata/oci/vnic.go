package oci

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"

	"enid/metadata"
)

// vnic reads the facts of one VNIC and collects what is wrong with them.
type vnic struct {
	name     string
	problems []metadata.Problem
}

func (n *vnic) unread(field string, err error) {
	n.problems = append(n.problems, metadata.Unread(n.name, field, err))
}

// network is what is told of a VNIC in one family.
type network struct {
	addresses metadata.Fact[[]netip.Addr]
	subnets   metadata.Fact[[]netip.Prefix]
	gateways  metadata.Fact[[]netip.Addr]
}

// without is the network of a VNIC that has nothing of a family.
func without() network {
	none := metadata.IsNone[[]netip.Addr](origin)
	return network{none, metadata.IsNone[[]netip.Prefix](origin), none}
}

// facts are those of a VNIC, without VLAN. The subnet's id and the MTU are not in this dialect: that it is 9000 is a
// convention. Delegated prefixes are not told; a VNIC of IPv6 alone, whose addresses are all told, has none.
func (n *vnic) facts(v listed) metadata.Interface {
	i := metadata.Interface{MAC: v.mac, Primary: metadata.Is(v.first, origin)}
	id, err := text("vnicId", v.entry.ID, metadata.Word)
	switch {
	case err == nil:
		i.ID = metadata.Is(id, origin)
		n.name = i.Name()
	case !errors.Is(err, metadata.ErrNotFound): // else it is not ready, and the addresses say so
		n.unread("id", err)
	}
	v6 := n.ipv6(v.entry)
	v4 := n.ipv4(v.entry, v6)
	if v4.addresses.State == metadata.None {
		i.Prefixes = metadata.IsNone[[]netip.Prefix](origin)
	}
	i.Addresses = metadata.JoinFamilies(origin, v4.addresses, v6.addresses)
	i.Subnets = metadata.JoinFamilies(origin, v4.subnets, v6.subnets)
	i.Gateways = metadata.JoinFamilies(origin, v4.gateways, v6.gateways)
	return i
}

// ipv4 is there, except on a VNIC that evidently has IPv6 alone: it has IPv6 addresses, and nothing is told of IPv4.
// The primary address is the only one that is told.
func (n *vnic) ipv4(e entry, v6 network) network {
	private, err := text("privateIp", e.Private, metadata.IPv4)
	if absent(e.Private, e.Subnet, e.Router) && v6.addresses.State == metadata.Known {
		return without()
	}
	addresses := one(n, "addresses", private, err)
	if addresses.State == metadata.Known {
		addresses.State = metadata.AtLeast
	}
	subnet, err := text("subnetCidrBlock", e.Subnet, metadata.Prefix4)
	subnets := one(n, "subnets", subnet, err)
	router, err := text("virtualRouterIp", e.Router, metadata.IPv4)
	return network{addresses, subnets, one(n, "gateway", router, err)}
}

// ipv6 is none where nothing is told of it. A subnet without addresses is that of a VNIC that has none, or has none
// yet: which of the two is not documented, so that the addresses are unknown and no problem is told of them.
func (n *vnic) ipv6(e entry) (v6 network) {
	list, err := addresses6(e.Addresses)
	switch {
	case err != nil:
		n.unread("addresses", err)
	case len(list) > 0:
		v6.addresses = metadata.Is(list, origin)
	case absent(e.Subnet6, e.Router6):
		return without()
	}
	subnet, err := text("ipv6SubnetCidrBlock", e.Subnet6, metadata.Prefix6)
	v6.subnets = one(n, "subnets", subnet, err)
	router, err := text("ipv6VirtualRouterIp", e.Router6, metadata.IPv6)
	v6.gateways = one(n, "gateway", router, err)
	return v6
}

// addresses6 are the IPv6 addresses, the primary first; none where the list is missing or empty.
func addresses6(raw json.RawMessage) ([]netip.Addr, error) {
	const name = "ipv6Addresses"
	if absent(raw) {
		return nil, nil
	}
	texts, err := metadata.JSON[[]string](name, raw)
	if err != nil || len(texts) == 0 {
		return nil, err
	}
	var list []netip.Addr
	for _, s := range texts {
		a, err := metadata.IPv6(s)
		if err != nil {
			return nil, &metadata.BadAnswerError{Path: name, Err: err}
		}
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list, nil
}

// absent reports whether none of the values is there.
func absent(values ...json.RawMessage) bool {
	return !slices.ContainsFunc(values, func(raw json.RawMessage) bool {
		_, err := text("", raw, metadata.Word)
		return !errors.Is(err, metadata.ErrNotFound)
	})
}

// one is a list of the one value that there is.
func one[T any](n *vnic, field string, value T, err error) metadata.Fact[[]T] {
	if err != nil {
		n.unread(field, err)
		return metadata.Fact[[]T]{}
	}
	return metadata.Is([]T{value}, origin)
}
