package netcfg_test

import (
	"net/netip"
	"testing"

	"enid/metadata"
	"enid/netcfg"
)

// An ENI may have an address of another subnet than its own (JD Cloud, since 2026). That subnet is not on the ENI's
// link: what is in it is behind the gateway, as is everything else.
func TestAddressOfAnotherSubnet(t *testing.T) {
	own, other := netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.0.2.0/24")
	for name, gateways := range map[string]metadata.Fact[[]netip.Addr]{
		"known gateway": metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.1.1")}, "test"),
		"no gateway":    {},
	} {
		w := newWorld()
		w.plug(1)
		e := eni(1, own, false, 5)
		e.Addresses = metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.1.5"), netip.MustParseAddr("10.0.2.9")}, "test")
		e.Subnets = metadata.Is([]netip.Prefix{own, other}, "test")
		e.Gateways = gateways
		w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), e}, true)
		onLink := map[netip.Prefix]bool{}
		for _, r := range w.Routes {
			if r.Link == eth0+1 && !r.Via.IsValid() {
				onLink[r.Dst] = true
			}
		}
		if !onLink[own] || onLink[other] {
			t.Errorf("%s: on the ENI's link are %v, want %s alone", name, onLink, own)
		}
		w.checkNobodyStrays(t, name)
	}
}
