package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// advertised is a subnet's router that tells the subnet's IPv6 hosts of itself.
func advertised(t *testing.T, r *rig.Rig, subnet string, autonomous bool) *lab.Advertiser {
	t.Helper()
	s := r.Subnet(subnet)
	ipv6 := slices.DeleteFunc(slices.Clone(s.Prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() })
	return must1[*lab.Advertiser](t)(r.Lab.Advertise(s, lab.RAOptions{Lifetime: time.Hour, Prefixes: ipv6, Autonomous: autonomous}))
}

// defaults6 are main's IPv6 default routes through a NIC.
func defaults6(t *testing.T, r *rig.Rig, nic string) string {
	t.Helper()
	return sh(t, r, "ip -6 route show default dev %s", nic)
}

// TestAdvertisedDefaultOfAnENI: a default route through a secondary ENI that the kernel took from a router advertisement
// before enid came goes, and none comes back, on a host that forwards and accepts advertisements all the same. Addresses
// that the kernel made itself stay, and are no drift.
func TestAdvertisedDefaultOfAnENI(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true})
	router := advertised(t, r, "subnet-b", true)
	e := attach(t, r, "subnet-b", 2)
	nic := r.NIC(e.MAC)
	sh(t, r, "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.%s.accept_ra=2 net.ipv6.conf.%s.use_tempaddr=2; ip link set %s up", nic, nic, nic)
	made := func() string { return sh(t, r, "ip -6 -o addr show dev %s scope global dynamic", nic) }
	eventually(t, "the kernel takes no advertisement", func() bool {
		must(t, router.Send())
		return strings.Contains(defaults6(t, r, nic), "proto ra") && strings.Contains(made(), "temporary")
	})
	before := strings.Count(made(), "\n")

	d := start(t, r)
	everyAddress(t, r)
	eventually(t, "the advertised default stays", func() bool { return defaults6(t, r, nic) == "" })
	must(t, router.Send())
	changes := must1[time.Time](t)(lastChange(t, r))
	polls(t, r)
	if left := defaults6(t, r, nic); left != "" {
		t.Errorf("there is again %s", left)
	}
	if now := must1[time.Time](t)(lastChange(t, r)); now != changes {
		t.Error("addresses that the kernel made are taken for drift")
	}
	if left := strings.Count(made(), "\n"); left != before {
		t.Errorf("of the %d addresses that the kernel had made there are %d", before, left)
	}

	stop(t, d)
	if _, stderr, code := r.Run(patient(t), "cleanup"); code != 0 {
		t.Fatalf("cleanup: exit code %d: %s", code, stderr)
	}
	if accepts := strings.TrimSpace(sh(t, r, "cat /proc/sys/net/ipv6/conf/%s/accept_ra", nic)); accepts != "2" {
		t.Errorf("after cleanup accept_ra is %s, was 2", accepts)
	}
}

func lastChange(t *testing.T, r *rig.Rig) (time.Time, error) {
	s, err := r.Status(patient(t))
	if err != nil {
		return time.Time{}, err
	}
	return s.LastChange, nil
}

// TestAdvertisedDefaultOfThePrimary: it outlives forwarding being switched on, as a container runtime does, and comes
// back where that was done before enid came.
func TestAdvertisedDefaultOfThePrimary(t *testing.T) {
	for name, forwardsFirst := range map[string]bool{"forwarding later": false, "forwarding before": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true})
			router := advertised(t, r, "subnet-a", false)
			nic := r.NIC(r.Primary.MAC)
			sh(t, r, "ip -6 route del default dev %s proto dhcp", nic)
			eventually(t, "the kernel takes no advertisement", func() bool {
				must(t, router.Send())
				return strings.Contains(defaults6(t, r, nic), "proto ra")
			})
			const forward = "sysctl -qw net.ipv6.conf.all.forwarding=1"
			if forwardsFirst {
				// The kernel asks once, when its link-local address is no longer tentative; later only enid does.
				eventually(t, "the kernel does not ask", func() bool { return router.Asked(r.Primary.MAC) > 0 })
				sh(t, r, forward)
				eventually(t, "the kernel keeps the default", func() bool { return defaults6(t, r, nic) == "" })
			}
			d := start(t, r)
			if !forwardsFirst {
				sh(t, r, forward)
			}
			attach(t, r, "subnet-b", 2)
			settle(t, r)
			eventually(t, "the default does not come back", func() bool { return strings.Contains(defaults6(t, r, nic), "proto ra") })
			polls(t, r)
			if !strings.Contains(defaults6(t, r, nic), "proto ra") {
				t.Error("the default is gone")
			}
			everyAddress(t, r)
			inPhase(t, r, r.Primary.MAC, netcfg.Phase("configured"))

			stop(t, d)
			if _, stderr, code := r.Run(patient(t), "cleanup"); code != 0 {
				t.Fatalf("cleanup: exit code %d: %s", code, stderr)
			}
			if accepts := strings.TrimSpace(sh(t, r, "cat /proc/sys/net/ipv6/conf/%s/accept_ra", nic)); accepts != "1" {
				t.Errorf("after cleanup accept_ra is %s, was 1", accepts)
			}
		})
	}
}

// TestMetadataOverIPv6: EC2's metadata is found where it answers over IPv6 alone.
func TestMetadataOverIPv6(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, At: netip.MustParseAddrPort("[fd00:ec2::254]:80")})
	start(t, r)
	e := attach(t, r, "subnet-b", 2)
	settle(t, r)
	everyAddress(t, r)
	must(t, r.Cloud.Detach(r.Instance, e.ID))
	settle(t, r)
}

// TestIPv6Alone: an ENI with IPv6 and no IPv4 is reached from everywhere, and gets no IPv4 object.
func TestIPv6Alone(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.File, IPv6: true})
	e := attach(t, r, "subnet-b", 3)
	addrs := slices.DeleteFunc(slices.Clone(e.Addresses), netip.Addr.Is4)
	document := fmt.Sprintf("interfaces:\n  - {mac: %q, primary: true, subnets: [%q, %q], gateway: [%q, %q], addresses: [%q, %q]}\n  - {mac: %q, subnets: [%q], addresses: [%q, %q, %q]}\n",
		r.Primary.MAC, r.Primary.Subnets[0], r.Primary.Subnets[1], r.Primary.Gateway, r.Primary.Subnets[1].Addr().Next(), r.Primary.Addresses[0], r.Primary.Addresses[1],
		e.MAC, e.Subnets[1], addrs[0], addrs[1], addrs[2])
	must(t, os.WriteFile(r.DocumentFile(), []byte(document), 0o644))
	must1[*rig.Daemon](t)(r.Start())
	inPhase(t, r, e.MAC, netcfg.Phase("configured"))
	if _, err := r.Await(patient(t), addrs...); err != nil {
		t.Fatal(err)
	}
	for _, cell := range lab.Failed(must1[[]lab.ProbeResult](t)(r.Lab.Matrix(patient(t), r.VM, addrs))) {
		t.Errorf("not reached: %s", cell)
	}
	nic := r.NIC(e.MAC)
	for _, a := range addrs {
		if by, err := r.VM.Egress(a, r.Lab.Outside().Addr(a)); err != nil || by != nic {
			t.Errorf("%s leaves by %q, want %s (%v)", a, by, nic, err)
		}
	}
	if v4 := sh(t, r, "ip -4 -o addr show dev %s; ip -4 route show table all dev %s", nic, nic); v4 != "" {
		t.Errorf("of IPv4 there is\n%s", v4)
	}
}
