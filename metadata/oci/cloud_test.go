package oci

import (
	"net/netip"
	"slices"
	"testing"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

// made is a cloud with an instance of three ENIs, the primary in a subnet with both families and the last on the
// second's NIC.
func made(t *testing.T) *cloud.Cloud {
	t.Helper()
	c := cloud.New()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.CreateSubnet(cloud.Subnet{ID: "both", IPv4: netip.MustParsePrefix("10.0.0.0/24"), IPv6: netip.MustParsePrefix("2001:db8:0:a::/64")}))
	must(c.CreateSubnet(cloud.Subnet{ID: "four", IPv4: netip.MustParsePrefix("10.0.1.0/24")}))
	primary, err := c.CreateInstance("i-1", "both", cloud.ENIOptions{})
	must(err)
	must(c.Assign(primary.ID, netip.MustParseAddr("10.0.0.20"), netip.MustParseAddr("2001:db8:0:a::20"), netip.MustParseAddr("2001:db8:0:a::21")))
	second, err := c.CreateENI("four", cloud.ENIOptions{})
	must(err)
	must(c.Attach("i-1", second.ID))
	third, err := c.CreateENI("four", cloud.ENIOptions{})
	must(err)
	must(c.AttachVLAN("i-1", third.ID, second.ID, 7))
	return c
}

// want is what the dialect can say of an ENI of the simulated cloud.
func want(e cloud.ENI, vlan metadata.Fact[metadata.VLAN]) metadata.Interface {
	i := metadata.Interface{
		MAC: e.MAC, ID: metadata.Is(e.ID, origin), Primary: metadata.Is(e.Primary, origin), VLAN: vlan,
		Subnets:   metadata.Is(e.Subnets, origin),
		Gateways:  metadata.Is([]netip.Addr{e.Gateway}, origin),
		Addresses: metadata.HasAtLeast(e.Addresses[:1:1], origin),
	}
	if v6 := slices.DeleteFunc(slices.Clone(e.Addresses), netip.Addr.Is4); len(v6) > 0 {
		i.Gateways.Value = append(i.Gateways.Value, netip.MustParseAddr("fe80::1"))
		i.Addresses.Value = append(i.Addresses.Value, v6...)
	}
	return i
}

// The simulated cloud's answers say what it has, and an answer with a fault never says less.
func TestCloud(t *testing.T) {
	t.Parallel()
	c := made(t)
	s := newSource(t, metadatatest.Start(t, c.Handler("i-1", cloud.OCI)))
	enis := c.Describe("i-1")
	none := metadata.IsNone[metadata.VLAN](origin)
	for _, metal := range []bool{false, true} {
		c.SetOCIStyle(cloud.OCIStyle{BareMetal: metal})
		vlans := []metadata.Fact[metadata.VLAN]{none, none, none}
		if metal {
			vlans[2] = metadata.Is(metadata.VLAN{Parent: enis[1].MAC, ID: 7}, origin)
		}
		wanted := metadata.Snapshot{Provider: origin, Instance: "i-1", Complete: true}
		for n, e := range enis {
			wanted.Interfaces = append(wanted.Interfaces, want(e, vlans[n]))
		}
		slices.SortFunc(wanted.Interfaces, func(a, b metadata.Interface) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
		got, err := s.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got, metadatatest.Compare); diff != "" {
			t.Errorf("bare metal %t (-want +got):\n%s", metal, diff)
		}
	}
	for _, fault := range []cloud.FaultKind{cloud.FaultNoMAC, cloud.FaultNoKeys, cloud.FaultNoAddresses, cloud.FaultCutBody, cloud.FaultEmpty, cloud.FaultHTML} {
		if err := c.SetFault(cloud.Fault{Kind: fault}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Fetch(t.Context())
		if err != nil {
			continue
		}
		for _, i := range got.Interfaces {
			if len(got.Problems) == 0 || i.Whole() || slices.ContainsFunc(i.Addresses.Value, netip.Addr.Is4) {
				t.Errorf("%s: %s", fault, metadatatest.Text(got))
			}
		}
	}
}
