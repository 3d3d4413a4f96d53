package metadata

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompleteLists(t *testing.T) {
	a := func(s ...string) []netip.Addr { return addrs(s...) }
	none, unknown := IsNone[[]netip.Addr]("l"), Fact[[]netip.Addr]{}
	for name, tt := range map[string]struct{ s, layer, want Fact[[]netip.Addr] }{
		"unknown is taken":           {unknown, Is(a("10.0.1.5"), "l"), Is(a("10.0.1.5"), "l")},
		"unknown takes none":         {unknown, none, none},
		"unknown by both":            {unknown, unknown, unknown},
		"known stays":                {Is(a("10.0.1.5"), "s"), Is(a("10.0.1.6"), "l"), Is(a("10.0.1.5"), "s")},
		"none stays":                 {IsNone[[]netip.Addr]("s"), Is(a("10.0.1.6"), "l"), IsNone[[]netip.Addr]("s")},
		"part becomes whole":         {HasAtLeast(a("10.0.1.5"), "s"), Is(a("10.0.1.5", "10.0.1.6"), "l"), Is(a("10.0.1.5", "10.0.1.6"), "s, l")},
		"the provider's is first":    {HasAtLeast(a("10.0.1.5"), "s"), Is(a("10.0.1.6", "10.0.1.5"), "l"), Is(a("10.0.1.5", "10.0.1.6"), "s, l")},
		"the provider's is not lost": {HasAtLeast(a("10.0.1.9"), "s"), Is(a("10.0.1.6"), "l"), Is(a("10.0.1.9", "10.0.1.6"), "s, l")},
		"two parts":                  {HasAtLeast(a("10.0.1.5"), "s"), HasAtLeast(a("10.0.1.6"), "l"), HasAtLeast(a("10.0.1.5", "10.0.1.6"), "s, l")},
		"part and unknown":           {HasAtLeast(a("10.0.1.5"), "s"), unknown, HasAtLeast(a("10.0.1.5"), "s")},
		"part and none":              {HasAtLeast(a("10.0.1.5"), "s"), none, Is(a("10.0.1.5"), "s, l")},
		"empty part and none":        {HasAtLeast(a(), "s"), none, none},
	} {
		t.Run(name, func(t *testing.T) {
			s := Snapshot{Interfaces: []Interface{{MAC: mac(1), Addresses: tt.s}}}
			got := Complete(s, []Interface{{MAC: mac(1), Addresses: tt.layer}}).Interfaces[0].Addresses
			if d := cmp.Diff(tt.want, got, netipCmp); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	s := Snapshot{
		Provider: "p", Complete: true, Problems: []Problem{{Reason: "r"}},
		Interfaces: []Interface{
			{MAC: mac(1), ID: Is("eni-1", "s"), Gateways: HasAtLeast(addrs("10.0.1.1"), "s")},
			{MAC: mac(2)},
		},
	}
	layer := []Interface{
		{MAC: mac(1), ID: Is("other", "a"), Primary: Is(true, "a"), Gateways: Is(addrs("10.0.1.254", "fe80::1"), "a")},
		{MAC: mac(1), Primary: Is(false, "b"), MTU: Is(1500, "b"), SubnetID: Is("n", "b"), Subnets: Is(prefixes("10.0.1.0/24"), "b")},
		{MAC: mac(3), ID: Is("not attached", "a")},
	}
	want := Snapshot{
		Provider: "p", Complete: true, Problems: []Problem{{Reason: "r"}},
		Interfaces: []Interface{
			{
				MAC: mac(1), ID: Is("eni-1", "s"), Primary: Is(true, "a"), MTU: Is(1500, "b"), SubnetID: Is("n", "b"),
				Gateways: Is(addrs("10.0.1.1", "fe80::1"), "s, a"), Subnets: Is(prefixes("10.0.1.0/24"), "b"),
			},
			{MAC: mac(2)},
		},
	}
	got := Complete(s, layer)
	if d := cmp.Diff(want, got, netipCmp); d != "" {
		t.Fatal(d)
	}
	// No memory is shared, neither with the answer nor with the layer.
	got.Interfaces[0].Subnets.Value[0] = netip.Prefix{}
	got.Interfaces[0].Gateways.Value[0] = netip.Addr{}
	got.Problems[0].Reason = "changed"
	if layer[1].Subnets.Value[0] != prefixes("10.0.1.0/24")[0] || s.Interfaces[0].Gateways.Value[0] != addrs("10.0.1.1")[0] || s.Problems[0].Reason != "r" {
		t.Error("Complete shares memory with its arguments")
	}
	if !slices.Equal(addrs("10.0.1.254", "fe80::1"), layer[0].Gateways.Value) {
		t.Error("Complete changed the layer")
	}
}
