package lab

import (
	"net/netip"
	"testing"
)

// Two hosts have one address for a while: who is reached is the fabric's word, not that of the quicker answer.
func TestOwnerOfAnAddressThatMoves(t *testing.T) {
	l, _, subnets := newLab(t) // its VM has 10.0.0.5 and serves no echoes
	twin, err := l.VM("twin")
	check(t, err)
	check(t, twin.ServeEcho())
	check(t, l.Plug(twin, NIC{Name: "eth0", MAC: mac1, Subnet: subnets[0], Allowed: prefixes("10.0.0.5/32", "10.0.0.7/32")}))
	check(t, l.VMPrimary(twin, netip.MustParsePrefix("10.0.0.7/24"), addr("10.0.0.1")))
	check(t, twin.addAddrs("eth0", netip.MustParsePrefix("10.0.0.5/32")))
	for range 3 {
		check(t, l.SetOwner(mac0, []netip.Addr{addr("10.0.0.5")}))
		if l.Outside().probe(t.Context(), pollTimeout, netip.Addr{}, addr("10.0.0.5")) == nil {
			t.Error("the address is reached on the host that the fabric does not send it to")
		}
		check(t, l.SetOwner(mac1, []netip.Addr{addr("10.0.0.5"), addr("10.0.0.7")}))
		check(t, l.Outside().Probe(t.Context(), netip.Addr{}, addr("10.0.0.5")))
	}
	check(t, l.SetOwner(mac0, nil)) // it owned nothing any more
	check(t, l.Outside().Probe(t.Context(), netip.Addr{}, addr("10.0.0.5")))
	wantSpoofs(t, l)
}

// An address of one subnet on a NIC in another is found from everywhere, its own subnet included.
func TestOwnerOfAnAddressOfAnotherSubnet(t *testing.T) {
	l, vm, subnets := newLab(t)
	stray := addr("10.0.1.77")
	check(t, vm.addAddrs("eth0", netip.PrefixFrom(stray, 32)))
	check(t, vm.ServeEcho())
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.1.77/32")))
	check(t, l.SetOwner(mac0, []netip.Addr{addr("10.0.0.5"), stray}))
	for _, peer := range []*Host{l.Outside(), subnets[0].Neighbour, subnets[1].Neighbour} {
		check(t, peer.Probe(t.Context(), netip.Addr{}, stray))
	}
	check(t, l.SetOwner(mac0, []netip.Addr{addr("10.0.0.5")}))
	if subnets[1].Neighbour.probe(t.Context(), pollTimeout, netip.Addr{}, stray) == nil {
		t.Error("an address that nobody has any more is reached from its subnet")
	}
	wantSpoofs(t, l)
}
