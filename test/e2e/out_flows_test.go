package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// TestEveryKindOfFlow: from and to the addresses of four NICs, everything goes the way that a fabric without
// tolerance for foreign sources wants, and what concerns no ENI goes as main says.
func TestEveryKindOfFlow(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true, PrimarySecondary: 1}, lab.NFT)
	start(t, v.Rig)
	enis := append(v.fourNICs(t), v.Primary)
	everyAddress(t, v.Rig) // outside, its own subnet, the others'
	for _, e := range enis {
		v.toContainers(t, e)
		v.byMain(t, e)
	}
	v.containersFollowMain(t)
	noSpoofs(t, v.Rig)
}

// toContainers probes between an ENI's addresses and a container.
func (v hostVM) toContainers(t *testing.T, e cloud.ENI) {
	t.Helper()
	for _, a := range e.Addresses {
		to := v.container.Addr(a)
		for _, network := range []string{"tcp", "udp"} {
			if err := v.VM.Exchange(patient(t), network, a, netip.AddrPortFrom(to, lab.EchoPort)); err != nil {
				t.Error(err)
			}
			if err := v.container.Exchange(patient(t), network, netip.Addr{}, netip.AddrPortFrom(a, lab.EchoPort)); err != nil {
				t.Error(err)
			}
		}
		v.leavesBy(t, a, to, lab.ContainerBridge)
	}
}

// byMain checks what main says about places that are no ENI's subnet, or lie in one: a user's route through the ENI's
// own NIC counts for its addresses, one through another ENI's does not, and one to a container always does.
func (v hostVM) byMain(t *testing.T, e cloud.ENI) {
	t.Helper()
	nic := v.NIC(e.MAC)
	other := map[bool]string{true: "eth1", false: "eth0"}[nic == "eth0"]
	for _, a := range e.Addresses {
		gateway := v.Subnet(e.SubnetID).Neighbour.Addr(a)
		own, theirs, pod := netip.MustParsePrefix("192.168.50.0/24"), netip.MustParsePrefix("192.168.51.0/24"), netip.MustParseAddr("10.0.1.200")
		if a.Is6() {
			own, theirs, pod = netip.MustParsePrefix("2001:db8:50::/48"), netip.MustParsePrefix("2001:db8:51::/48"), netip.MustParseAddr("2001:db8:0:1::200")
		}
		routes := []string{fmt.Sprintf("%s via %s dev %s onlink", own, gateway, nic), fmt.Sprintf("%s dev %s", theirs, other),
			fmt.Sprintf("%s dev %s", pod, lab.ContainerBridge)}
		for _, route := range routes {
			sh(t, v.Rig, "ip route add %s", route)
		}
		eventually(t, fmt.Sprintf("the route to %s does not count for %s", own, a), func() bool {
			return strings.Contains(sh(t, v.Rig, "ip route get %s from %s", own.Addr().Next(), a), fmt.Sprintf("via %s dev %s", gateway, nic))
		})
		v.leavesBy(t, a, theirs.Addr().Next(), map[bool]string{true: other, false: nic}[nic == "eth0"])
		v.leavesBy(t, a, pod, lab.ContainerBridge)
		for _, route := range routes {
			sh(t, v.Rig, "ip route del %s", route)
		}
	}
}

func (v hostVM) leavesBy(t *testing.T, src, dst netip.Addr, nic string) {
	t.Helper()
	if by, err := v.VM.Egress(src, dst); err != nil || by != nic {
		t.Errorf("%s to %s leaves by %q, want %s (%v)", src, dst, by, nic, err)
	}
}

// containersFollowMain probes from a container, whose packets nobody has asked enid about.
func (v hostVM) containersFollowMain(t *testing.T) {
	t.Helper()
	for _, a := range firsts(v.Primary) {
		for _, to := range peersOf(v.Rig, a) {
			if err := v.container.Exchange(patient(t), "udp", netip.Addr{}, netip.AddrPortFrom(to, lab.EchoPort)); err != nil {
				t.Error(err)
			}
			out := sh(t, v.Rig, "ip route get %s from %s iif %s", to, v.container.Addr(a), lab.ContainerBridge)
			if !strings.Contains(out, "dev eth0 ") {
				t.Errorf("what a container sends to %s does not follow main: %s", to, out)
			}
		}
	}
}
