package ec2

import (
	"net/netip"

	"enid/metadata"
)

// parse makes a Snapshot of what the service said.
func parse(answers metadata.Answers) (metadata.Snapshot, error) { return tree.Parse(answers, facts) }

func facts(e *metadata.Entry, mac metadata.MAC) metadata.Interface {
	i := metadata.Interface{MAC: mac}
	if e.Absent("") {
		e.Missing("", "")
		return i
	}
	i.ID = metadata.Scalar(e, "id", "interface-id", metadata.Word)
	e.Name = i.Name()
	i.SubnetID = metadata.Scalar(e, "subnetId", "subnet-id", metadata.Word)

	v4, v6 := addresses(e, "local-ipv4s", metadata.IPv4), addresses(e, "ipv6s", metadata.IPv6)
	net4, net6 := subnets(e, "subnet-ipv4-cidr-block", metadata.Prefix4), subnets(e, "subnet-ipv6-cidr-blocks", metadata.Prefix6)
	// An ENI that has ipv6s and neither of the IPv4 keys evidently has IPv6 alone. Anything
	// else that lacks them is still propagating (or for EFA alone, and then there is
	// nothing to configure).
	if onlyIPv6 := v4.State == metadata.None && net4.State == metadata.None && v6.State == metadata.Known; !onlyIPv6 {
		v4 = metadata.Required(e, v4, "addresses", "local-ipv4s")
		net4 = metadata.Required(e, net4, "subnets", "subnet-ipv4-cidr-block")
	}
	if v6.State == metadata.Known {
		net6 = metadata.Required(e, net6, "subnets", "subnet-ipv6-cidr-blocks")
	}
	i.Addresses = metadata.JoinFamilies(origin, v4, v6)
	i.Subnets = metadata.JoinFamilies(origin, net4, net6)
	i.Gateways = metadata.JoinFamilies(origin, metadata.RouterOf(net4, metadata.FirstHost), metadata.RouterOf(net6, router6))
	i.Prefixes = metadata.JoinFamilies(origin, prefixes(e, "ipv4-prefix", metadata.Prefix4), prefixes(e, "ipv6-prefix", metadata.Prefix6))
	i.Public = public(e)
	return i
}

type reader[T any] = func(string) (T, error)

func addresses(e *metadata.Entry, key string, parse reader[netip.Addr]) metadata.Fact[[]netip.Addr] {
	return metadata.List(e, "addresses", key, metadata.Lines(parse))
}

func subnets(e *metadata.Entry, key string, parse reader[netip.Prefix]) metadata.Fact[[]netip.Prefix] {
	return metadata.List(e, "subnets", key, metadata.Lines(parse))
}

func prefixes(e *metadata.Entry, key string, parse reader[netip.Prefix]) metadata.Fact[[]netip.Prefix] {
	return metadata.List(e, "prefixes", key, metadata.Lines(parse))
}

// router6 is the VPC router in every IPv6 subnet: a constant, which amazon-vpc-cni-k8s
// relies on too. It is link-local (fe80::/10) but outside of fe80::/64, so a
// route through it must be onlink.
func router6(netip.Prefix) netip.Addr { return netip.MustParseAddr("fe80:ec2::1") }

// public maps private to public addresses: each entry of the directory is a public
// address, and its value the private ones that it stands for.
func public(e *metadata.Entry) metadata.Fact[map[netip.Addr]netip.Addr] {
	listed := metadata.List(e, "public", associationsPath, metadata.Lines(metadata.IPv4))
	if listed.State != metadata.Known {
		return metadata.Fact[map[netip.Addr]netip.Addr]{State: listed.State, Origin: listed.Origin}
	}
	whole, byPrivate := true, map[netip.Addr]netip.Addr{}
	for _, public := range listed.Value {
		private := metadata.List(e, "public", associationsPath+public.String(), metadata.Lines(metadata.IPv4))
		whole = whole && private.State == metadata.Known
		for _, p := range private.Value {
			byPrivate[p] = public
		}
	}
	switch {
	case whole:
		return metadata.Is(byPrivate, origin)
	case len(byPrivate) > 0:
		return metadata.HasAtLeast(byPrivate, origin)
	}
	return metadata.Fact[map[netip.Addr]netip.Addr]{}
}
