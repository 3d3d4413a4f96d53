package e2e

import (
	"slices"
	"strings"
	"testing"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// othersHands is what others have done to a VM whose ENIs' NICs are eth1, up, and eth2, down. It is in the way
// wherever it can be: addresses of the subnet and of the ENI itself, rules at enid's priorities, routes
// in enid's tables.
const othersHands = `
ip link set eth1 up
ip addr add 10.0.1.200/32 dev eth1
ip addr add 10.0.1.4/32 dev eth1
ip addr add 2001:db8:0:1::200/128 dev eth1 nodad
ip addr add 192.0.2.77/32 dev eth0
for family in -4 -6; do
	for priority in 20108 20110 20200 20201 20300 32768 33010 33011 33012 33022; do
		ip $family rule add pref $priority iif absent0 lookup 99
	done
done
for table in 20000 20001 20002 20900; do
	ip route add 203.0.113.0/24 via 10.0.0.1 dev eth0 table $table
	ip route add blackhole 192.0.2.0/24 table $table
	ip -6 route add 2001:db8:113::/48 via 2001:db8::1 dev eth0 table $table
done
ip route add 203.0.113.128/25 via 10.0.0.1 dev eth0
ip link set eth2 group 7
echo 1 > /proc/sys/net/ipv4/conf/eth1/arp_ignore
echo 1 > /proc/sys/net/ipv4/conf/eth2/rp_filter
echo 2 > /proc/sys/net/ipv4/conf/eth2/arp_announce
`

// TestForeignStays: what others have put on the host is the same before, during and after.
func TestForeignStays(t *testing.T) {
	for _, dialect := range []cloud.Dialect{cloud.EC2, cloud.JDCloud} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rig.Options{Dialect: dialect, IPv6: true, PrimarySecondary: 1, DetachAfter: detachAfter})
			first := attach(t, r, "subnet-b", 3) // has 10.0.1.4, which is there already
			second := attach(t, r, "subnet-c", 3)
			bare := kernel(t, r)
			sh(t, r, "set -e; %s", othersHands)
			before := kernel(t, r)
			theirs := slices.DeleteFunc(slices.Clone(before), func(line string) bool {
				return slices.Contains(bare, line) || strings.Contains(line, "mtu ") || strings.Contains(line, "eth2/arp_announce")
			})

			d := start(t, r)
			keeps(t, r, theirs, "after the start")
			everyAddress(t, r)
			await(t, r, func(s *agent.Status) bool {
				return slices.ContainsFunc(s.ENIs, func(e agent.ENIStatus) bool { return e.MAC == second.MAC && has(e, "link-group-taken") })
			})
			assign(t, r, first)
			must(t, r.Cloud.Release(second.ID, second.Addresses[1]))
			settle(t, r)
			keeps(t, r, theirs, "after changes")
			third := attach(t, r, "subnet-b", 2)
			settle(t, r)
			keeps(t, r, theirs, "after attach")
			must(t, r.Cloud.Detach(r.Instance, third.ID))
			settle(t, r)
			gone(t, r, third)
			keeps(t, r, theirs, "after detach")
			d.Kill()
			d = start(t, r)
			keeps(t, r, theirs, "after kill -9 and start")
			stop(t, d)
			if _, stderr, code := r.Run(patient(t), "cleanup"); code != 0 {
				t.Fatalf("cleanup: exit code %d: %s", code, stderr)
			}
			same(t, r, before, "from before the start to after the cleanup")
		})
	}
}

func has(e agent.ENIStatus, reason string) bool {
	for _, p := range e.Problems {
		if p.Reason == reason {
			return true
		}
	}
	return false
}

// keeps fails the test where a line is missing from the VM's configuration.
func keeps(t *testing.T, r *rig.Rig, theirs []string, when string) {
	t.Helper()
	now := kernel(t, r)
	for _, line := range theirs {
		if !slices.Contains(now, line) {
			t.Errorf("%s somebody else's is missing: %s", when, line)
		}
	}
}
