package volcengine

import (
	"net/netip"

	"enid/metadata"
)

// parse makes a Snapshot of what the service said.
func parse(answers metadata.Answers) (metadata.Snapshot, error) { return tree.Parse(answers, facts) }

// facts reads one ENI. There is no key for the MTU, for public addresses and for delegated prefixes, of which there are none.
func facts(e *metadata.Entry, mac metadata.MAC) metadata.Interface {
	i := metadata.Interface{MAC: mac}
	if !readable(e, ipv4Key) && !readable(e, ipv6Key) {
		noKeys(e)
		return i
	}
	i.ID = metadata.Scalar(e, "id", idKey, metadata.Identifier)
	e.Name = i.Name()
	i.SubnetID = metadata.Scalar(e, "subnetId", subnetKey, metadata.Identifier)

	// That private_ipv6s is absent also where the service does not have the key yet is taken for "none" all the same: what
	// was never told was never configured, so nothing can be lost by it.
	v4, v6 := list(e, ipv4Key, metadata.IPv4), list(e, ipv6Key, metadata.IPv6)
	net4 := metadata.List(e, "subnets", cidr4Key, metadata.One(metadata.Prefix4))
	gate4, gate6 := gateway(e, gateway4Key, metadata.IPv4), gateway(e, gateway6Key, metadata.IPv6)
	// An ENI that has IPv6 addresses and neither of the IPv4 addresses' keys has IPv6 alone. Anything else that lacks
	// them is still propagating.
	if onlyIPv6 := v4.State == metadata.None && e.Absent(primaryKey) && v6.State == metadata.Known; !onlyIPv6 {
		v4 = metadata.Required(e, v4, "addresses", ipv4Key)
		net4 = metadata.Required(e, net4, "subnets", cidr4Key)
		gate4 = metadata.Required(e, gate4, "gateway", gateway4Key)
	}
	if v6.State == metadata.Known {
		gate6 = metadata.Required(e, gate6, "gateway", gateway6Key)
	}
	i.Addresses = metadata.JoinFamilies(origin, metadata.PrimaryFirst(e, v4, primaryKey), v6)
	i.Subnets = metadata.JoinFamilies(origin, net4, subnet6(e, v6))
	i.Gateways = metadata.JoinFamilies(origin, gate4, gate6)
	i.Prefixes = metadata.IsNone[[]netip.Prefix](origin)
	return i
}

func readable(e *metadata.Entry, key string) bool { return e.Answers.Of(e.Dir+key).Err == nil }

// noKeys is the one problem of a NIC without keys. The list of MACs also has NICs for RDMA and of other accounts, of which
// every other key fails: they look like an ENI that is still propagating or cannot be read, and as nothing of them is known
// nothing is done to them.
func noKeys(e *metadata.Entry) {
	e.Missing("", ipv4Key)
	e.Problems[len(e.Problems)-1].Text += "; a NIC for RDMA or of another account never has it, and is left alone"
}

func list(e *metadata.Entry, key string, parse func(string) (netip.Addr, error)) metadata.Fact[[]netip.Addr] {
	return metadata.List(e, "addresses", key, metadata.Lines(parse))
}

func gateway(e *metadata.Entry, key string, parse func(string) (netip.Addr, error)) metadata.Fact[[]netip.Addr] {
	return metadata.List(e, "gateway", key, metadata.One(parse))
}

// subnet6 is the ENI's IPv6 subnet, which is none without IPv6 addresses. With them it is not known: no key is
// known that has it.
func subnet6(e *metadata.Entry, v6 metadata.Fact[[]netip.Addr]) metadata.Fact[[]netip.Prefix] {
	switch v6.State {
	case metadata.None:
		return metadata.IsNone[[]netip.Prefix](origin)
	case metadata.Known:
		e.Problems = append(e.Problems, metadata.Problem{Interface: e.Name, Field: "subnets", Reason: "not-served",
			Text: "the metadata of Volcengine does not say in which IPv6 subnet the ENI is; say it in an interfaces document"})
	}
	return metadata.Fact[[]netip.Prefix]{}
}
