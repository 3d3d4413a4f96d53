package agent

import (
	"net/netip"
	"testing"

	"enid/metadata"
)

// A primary ENI with both families whose IPv6 router is told nowhere, as on Azure, is whole once its subnets are known:
// else it could never lose an address.
func TestPrimaryNeedsNoRouter(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("2001:db8::4")
	primary := metadata.Interface{
		MAC: macOf(1), Primary: metadata.Is(true, "azure"), Prefixes: metadata.IsNone[[]netip.Prefix]("azure"),
		Addresses: metadata.Is([]netip.Addr{v4, v6}, "azure"),
		Subnets:   metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8::/64")}, "azure"),
		Gateways:  metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr("10.0.0.1")}, "azure"),
	}
	change := func(f func(i *metadata.Interface)) metadata.Interface {
		i := primary.Clone()
		f(&i)
		return i
	}
	for name, test := range map[string]struct {
		is   metadata.Interface
		want bool
	}{
		"primary":           {primary, true},
		"secondary":         {change(func(i *metadata.Interface) { i.Primary.Value = false }), false},
		"not known which":   {change(func(i *metadata.Interface) { i.Primary = metadata.Fact[bool]{} }), false},
		"no gateway known":  {change(func(i *metadata.Interface) { i.Gateways = metadata.Fact[[]netip.Addr]{} }), false},
		"addresses in part": {change(func(i *metadata.Interface) { i.Addresses.State = metadata.AtLeast }), false},
		"IPv4 is not told":  {change(func(i *metadata.Interface) { i.Gateways.Value = []netip.Addr{netip.MustParseAddr("fe80::1")} }), false},
	} {
		s := metadata.Snapshot{Interfaces: []metadata.Interface{test.is}}
		layer, _ := newRouters(nil).about(s)
		if got := metadata.Complete(s, layer).Interfaces[0].Whole(); got != test.want {
			t.Errorf("%s: whole %t, want %t", name, got, test.want)
		}
	}
}
