package netcfg_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/netcfg"
	"enid/test/kernel"
)

// inherited are the primary and an ENI of which only identity, first address and subnet-id are known, as JD
// Cloud's metadata tells it.
func inherited(subnetID string, address string) []netcfg.ENI {
	primary, e := eni(0, subnetP, false, 5), eni(1, subnetP, false)
	for _, x := range []*netcfg.ENI{&primary, &e} {
		x.Subnets, x.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
		x.SubnetID = metadata.Is("subnet-1", "jdcloud")
	}
	e.SubnetID = metadata.Is(subnetID, "jdcloud")
	e.Addresses = metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr(address)}, "jdcloud")
	return []netcfg.ENI{primary, e}
}

func hostOf(k *kernel.Kernel) netcfg.Host {
	return netcfg.Host{Links: k.Links, Addrs: k.Addrs, Routes: []netcfg.Route{
		{Table: netcfg.MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.1"), Link: eth0, Proto: 16, Metric: 100}}}
}

func TestInherit(t *testing.T) {
	subnet := []netip.Prefix{subnetP}
	other := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	for _, c := range []struct {
		name    string
		enis    []netcfg.ENI
		change  func(p, e *netcfg.ENI)
		subnets []netip.Prefix
		gateway string
	}{
		{"the same subnet", inherited("subnet-1", "10.0.0.9"), nil, subnet, "10.0.0.1"},
		{"another subnet", inherited("subnet-2", "10.0.0.9"), nil, nil, ""},
		{"an address that the primary's NIC has no subnet for", inherited("subnet-1", "10.0.7.9"), nil, nil, ""},
		{"the subnet is told", inherited("subnet-1", "10.9.0.9"), func(_, e *netcfg.ENI) { e.Subnets = metadata.Is(other, "overlay") }, other, ""},
		{"none is told", inherited("subnet-1", "10.0.0.9"), func(_, e *netcfg.ENI) { e.Subnets = metadata.IsNone[[]netip.Prefix]("overlay") }, nil, ""},
		{"the gateway is told", inherited("subnet-1", "10.0.0.9"),
			func(_, e *netcfg.ENI) {
				e.Gateways = metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.0.3")}, "overlay")
			}, subnet, "10.0.0.3"},
		{"no primary", inherited("subnet-1", "10.0.0.9"), func(p, _ *netcfg.ENI) { p.Primary = metadata.Fact[bool]{} }, nil, ""},
		{"the primary's subnet-id is not known", inherited("", "10.0.0.9"), func(p, _ *netcfg.ENI) { p.SubnetID = metadata.Fact[string]{} }, nil, ""},
		{"both are not known", inherited("", "10.0.0.9"), func(p, e *netcfg.ENI) { p.SubnetID, e.SubnetID = metadata.Fact[string]{}, metadata.Fact[string]{} }, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.enis[0], &c.enis[1])
			}
			e := netcfg.Inherit(c.enis, hostOf(newWorld().Kernel))[1]
			if diff := cmp.Diff(c.subnets, e.Subnets.Value, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			gateway := ""
			if len(e.Gateways.Value) > 0 {
				gateway = e.Gateways.Value[0].String()
			}
			if gateway != c.gateway {
				t.Errorf("the gateway is %q, want %q", gateway, c.gateway)
			}
		})
	}
}

// TestInheritedIsConfigured: such an ENI gets its address and its block.
func TestInheritedIsConfigured(t *testing.T) {
	w := newWorld()
	w.plug(1)
	enis := netcfg.Inherit(inherited("subnet-1", "10.0.0.9"), hostOf(w.Kernel))
	if enis[1].Subnets.Origin != "the primary's subnet, of eth0" {
		t.Errorf("the origin is %q", enis[1].Subnets.Origin)
	}
	target := w.converge(t, enis, true)
	for _, e := range target.ENIs {
		if e.Phase != netcfg.Ready || len(e.Problems) > 0 {
			t.Errorf("%s is %s: %v", e.MAC, e.Phase, e.Problems)
		}
	}
}
