package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// The VM of the requirement: a primary ENI with two addresses, two ENIs that share a subnet and
// one in another, five addresses each. Everything is reached from everywhere, through all that
// happens to such a VM.
func TestEveryAddressFromEverywhere(t *testing.T) {
	for _, c := range []struct {
		name    string
		options rig.Options
	}{
		{"ec2", rig.Options{Dialect: cloud.EC2}},
		{"ec2 with IPv6", rig.Options{Dialect: cloud.EC2, IPv6: true}},
		{"jdcloud with IPv6", rig.Options{Dialect: cloud.JDCloud, IPv6: true}},
		{"file with IPv6", rig.Options{Dialect: cloud.File, IPv6: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.PrimarySecondary = 1
			lifeOf(t, newRig(t, c.options))
		})
	}
}

func lifeOf(t *testing.T, r *rig.Rig) {
	d := start(t, r)
	everyAddress(t, r)

	first := attach(t, r, "subnet-b", 5)
	second := attach(t, r, "subnet-b", 5)
	third := attach(t, r, "subnet-c", 5)
	settle(t, r)
	everyAddress(t, r)

	d = restarts(t, r, d, []netip.Addr{first.Addresses[1], third.Addresses[len(third.Addresses)-1], r.Primary.Addresses[1]})
	changes(t, r, first, second, third.Addresses[1], r.Primary.Addresses[1])
	detaches(t, r, second, third)

	stop(t, d)
	if _, stderr, code := r.Run(patient(t), "cleanup"); code != 0 {
		t.Fatalf("cleanup: exit code %d: %s", code, stderr)
	}
	nothingOfOurs(t, r)
}

// restarts stops and kills the daemon under traffic, of which no packet may get lost.
func restarts(t *testing.T, r *rig.Rig, d *rig.Daemon, addrs []netip.Addr) *rig.Daemon {
	t.Helper()
	before := kernel(t, r)
	traffic := flows(t, r, addrs...)
	stop(t, d)
	same(t, r, before, "on stop")
	d = start(t, r)
	lossless(t, "restart", traffic)
	same(t, r, before, "on restart")
	wroteNothing(t, r)

	traffic = flows(t, r, addrs...)
	d.Kill()
	d = start(t, r)
	lossless(t, "kill -9 and start", traffic)
	same(t, r, before, "on kill -9 and start")
	wroteNothing(t, r)
	noSpoofs(t, r)
	return d
}

// wroteNothing fails the test where the daemon that runs has written to the kernel: not even
// the same again, for a moment.
func wroteNothing(t *testing.T, r *rig.Rig) {
	t.Helper()
	if s := must1[*agent.Status](t)(r.Status(patient(t))); !s.LastChange.IsZero() {
		t.Error("a restart wrote to the kernel")
	}
}

// changes assigns and releases addresses, and moves one to another ENI. Other ENIs lose nothing. (The
// laboratory itself forgets whose the addresses of a changed ENI are.)
func changes(t *testing.T, r *rig.Rig, first, second cloud.ENI, bystanders ...netip.Addr) {
	t.Helper()
	traffic := flows(t, r, bystanders...)
	added := assign(t, r, first)
	must(t, r.Cloud.Release(second.ID, second.Addresses[1]))
	settle(t, r)
	everyAddress(t, r)
	must(t, r.Cloud.Assign(second.ID, added))
	lossless(t, "address changes", traffic)
	settle(t, r)
	everyAddress(t, r)
}

// detaches takes one ENI of a shared subnet and then the one that is alone in its own.
func detaches(t *testing.T, r *rig.Rig, all ...cloud.ENI) {
	t.Helper()
	for _, e := range all {
		must(t, r.Cloud.Detach(r.Instance, e.ID))
		settle(t, r)
		gone(t, r, e)
		everyAddress(t, r)
	}
}

// gone waits until the VM has nothing left that names one of a detached ENI's addresses, its subnet alone excepted.
func gone(t *testing.T, r *rig.Rig, e cloud.ENI) {
	t.Helper()
	eventually(t, "something of "+e.ID+" is left", func() bool {
		out, err := r.VM.Run(t.Context(), "sh", "-c", dump)
		return err == nil && !slices.ContainsFunc(e.Addresses, func(a netip.Addr) bool { return strings.Contains(out, a.String()+" ") })
	})
}

// nothingOfOurs fails the test where a rule, a route or a setting of enid's is left.
func nothingOfOurs(t *testing.T, r *rig.Rig) {
	t.Helper()
	for _, line := range kernel(t, r) {
		if strings.Contains(line, "proto 225") || strings.Contains(line, "group 225") || strings.Contains(line, "arp_announce:2") {
			t.Errorf("left behind: %s", line)
		}
	}
}
