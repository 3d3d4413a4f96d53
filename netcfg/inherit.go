package netcfg

import (
	"net/netip"
	"slices"

	"enid/metadata"
)

// Inherit gives secondary ENIs the subnets and gateways that no source tells where their subnet-id is the
// primary's: the host has the primary's own, by whoever configured it (DHCP as a rule). JD Cloud's
// metadata tells the subnet-id and nothing else of a subnet. A family that some source speaks of stays as it
// is. The answer shares no memory with its arguments.
func Inherit(enis []ENI, h Host) []ENI {
	out := make([]ENI, len(enis))
	for i, e := range enis {
		e.Interface = e.Clone()
		out[i] = e
	}
	p := slices.IndexFunc(out, func(e ENI) bool { return e.Primary.State == metadata.Known && e.Primary.Value })
	if p < 0 || out[p].SubnetID.State != metadata.Known {
		return out
	}
	nic, problem := MatchLink(out[p].MAC, h.Links)
	if problem != nil {
		return out
	}
	for i := range out {
		if i != p && out[i].SubnetID.State == metadata.Known && out[i].SubnetID.Value == out[p].SubnetID.Value {
			out[i].inherit(out[p], nic, h)
		}
	}
	return out
}

// inherit adds what the primary's NIC has, a family at a time.
func (e *ENI) inherit(primary ENI, nic Link, h Host) {
	origin := "the primary's subnet, of " + nic.Name
	for _, f := range []Family{V4, V6} {
		of := func(a netip.Addr) bool { return FamilyOf(a) == f }
		told := slices.ContainsFunc(e.Subnets.Value, func(p netip.Prefix) bool { return of(p.Addr()) })
		if !slices.ContainsFunc(e.Addresses.Value, of) || told || e.Subnets.Whole() {
			continue
		}
		n := network{addrs: keep(primary.Addresses.Value, of)}
		h.complete(nic.Index, f, &n)
		// The subnet that is the primary's by the host must hold the ENI's primary address as well.
		first := keep(e.Addresses.Value, of)[0]
		n.subnets = keep(n.subnets, func(p netip.Prefix) bool { return p.Contains(first) })
		if len(n.subnets) == 0 {
			continue
		}
		layer := metadata.Interface{MAC: e.MAC, Subnets: metadata.HasAtLeast(n.subnets, origin)}
		if n.gateway.IsValid() {
			layer.Gateways = metadata.HasAtLeast([]netip.Addr{n.gateway}, origin)
		}
		known := metadata.Snapshot{Interfaces: []metadata.Interface{e.Interface}}
		e.Interface = metadata.Complete(known, []metadata.Interface{layer}).Interfaces[0]
	}
}
