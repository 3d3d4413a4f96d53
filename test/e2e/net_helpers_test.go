package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/agent"
	"enid/metadata"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// start starts the daemon and waits until it has converged.
func start(t *testing.T, r *rig.Rig) *rig.Daemon {
	t.Helper()
	d := must1[*rig.Daemon](t)(r.Start())
	settle(t, r)
	return d
}

// settle waits until every address that the cloud says is reached from outside, and the daemon says
// that nothing is missing.
func settle(t *testing.T, r *rig.Rig) {
	t.Helper()
	ctx := patient(t)
	if _, err := r.Await(ctx, r.Addresses()...); err != nil {
		t.Fatal(err)
	}
	converged(t, r)
}

// converged waits until the daemon knows the same ENIs and addresses as the cloud, and has them.
func converged(t *testing.T, r *rig.Rig) {
	t.Helper()
	want := map[metadata.MAC][]netip.Addr{}
	for _, e := range r.Cloud.Describe(r.Instance) {
		want[e.MAC] = slices.SortedFunc(slices.Values(e.Addresses), netip.Addr.Compare)
	}
	await(t, r, func(s *agent.Status) bool {
		return s.Converged && s.Metadata.OK && maps.EqualFunc(present(s), want, slices.Equal[[]netip.Addr])
	})
}

// present are the addresses that the daemon says are on each ENI's NIC, or delivered to it.
func present(s *agent.Status) map[metadata.MAC][]netip.Addr {
	has := map[metadata.MAC][]netip.Addr{}
	for _, e := range s.ENIs {
		for _, a := range e.Addresses {
			if a.Present {
				has[e.MAC] = append(has[e.MAC], a.Address)
			}
		}
		for _, p := range e.Local {
			if p.IsSingleIP() {
				has[e.MAC] = append(has[e.MAC], p.Addr())
			}
		}
		slices.SortFunc(has[e.MAC], netip.Addr.Compare)
	}
	return has
}

// await waits for a status.
func await(t *testing.T, r *rig.Rig, ok func(*agent.Status) bool) {
	t.Helper()
	if _, err := r.AwaitStatus(patient(t), ok); err != nil {
		t.Fatal(err)
	}
}

// inPhase waits until an ENI is in a phase.
func inPhase(t *testing.T, r *rig.Rig, mac metadata.MAC, phase netcfg.Phase) {
	t.Helper()
	await(t, r, func(s *agent.Status) bool {
		return slices.ContainsFunc(s.ENIs, func(e agent.ENIStatus) bool { return e.MAC == mac && e.Phase == phase })
	})
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if _, err := lab.Await(patient(t), ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// everyAddress fails the test unless every address reaches and is reached from every neighbour
// and from outside, leaves by the NIC that owns it, and is answered for by that NIC alone.
func everyAddress(t *testing.T, r *rig.Rig) {
	t.Helper()
	for _, cell := range lab.Failed(must1[[]lab.ProbeResult](t)(r.Lab.Matrix(patient(t), r.VM, r.Addresses()))) {
		t.Errorf("not reached: %s", cell)
	}
	for _, e := range r.Cloud.Describe(r.Instance) {
		leaves(t, r, e)
		answers(t, r, e)
	}
	noSpoofs(t, r)
}

// leaves checks the NIC by which an ENI's addresses leave.
func leaves(t *testing.T, r *rig.Rig, e cloud.ENI) {
	t.Helper()
	nic := r.NIC(e.MAC)
	for _, a := range e.Addresses {
		for _, to := range peers(r, a) {
			if by, err := r.VM.Egress(a, to); err != nil || by != nic {
				t.Errorf("%s to %s leaves by %q, want %s (%v)", a, to, by, nic, err)
			}
		}
	}
}

// peers are the addresses of a's family of all neighbours and of the host outside.
func peers(r *rig.Rig, a netip.Addr) []netip.Addr {
	all := []netip.Addr{r.Lab.Outside().Addr(a)}
	for _, name := range rig.SubnetNames {
		all = append(all, r.Subnet(name).Neighbour.Addr(a))
	}
	return all
}

// answers checks who answers ARP requests for an ENI's addresses, where anybody asks by ARP.
func answers(t *testing.T, r *rig.Rig, e cloud.ENI) {
	t.Helper()
	if r.Lab.NoCommonLink {
		return
	}
	ipv4 := slices.DeleteFunc(slices.Clone(e.Addresses), netip.Addr.Is6)
	owners, err := r.Lab.ARPOwner(patient(t), r.Subnet(e.SubnetID), ipv4...)
	must(t, err)
	for _, a := range ipv4 {
		if !slices.Equal(owners[a], []metadata.MAC{e.MAC}) {
			t.Errorf("ARP requests for %s are answered by %v, want %s alone", a, owners[a], e.MAC)
		}
	}
}

// dump prints everything that enid could change in the VM.
const dump = `
ip -o link | sed -E 's/ qdisc [a-z]+//; s/ qlen [0-9]+//' # the kernel's affair, set when a NIC is first up
ip -o addr
ip rule
ip -6 rule
(ip route show table all; ip -6 route show table all) | sed -E 's/ expires [0-9]+sec//' # of what a router has advertised
cd /proc/sys/net
grep -H . ipv4/conf/eth*/arp_ignore ipv4/conf/eth*/arp_announce ipv4/conf/eth*/rp_filter ipv6/conf/eth*/accept_ra
`

// kernel is the VM's configuration, one object a line. It waits until no IPv6 address is tentative.
func kernel(t *testing.T, r *rig.Rig) []string {
	t.Helper()
	var out string
	eventually(t, "IPv6 addresses stay tentative", func() bool {
		var err error
		out, err = r.VM.Run(t.Context(), "sh", "-c", dump)
		return err == nil && !strings.Contains(out, "tentative")
	})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines) // the kernel lists routes of equal rank in the order of their coming
	return lines
}

// same fails the test where the VM's configuration is another.
func same(t *testing.T, r *rig.Rig, before []string, when string) {
	t.Helper()
	if diff := cmp.Diff(before, kernel(t, r)); diff != "" {
		t.Errorf("the kernel has changed %s (-before +after):\n%s", when, diff)
	}
}

// sh runs a command line in the VM.
func sh(t *testing.T, r *rig.Rig, line string, args ...any) string {
	t.Helper()
	return must1[string](t)(r.VM.Run(patient(t), "sh", "-c", fmt.Sprintf(line, args...)))
}

// stop ends the daemon as the service manager does.
func stop(t *testing.T, d *rig.Daemon) {
	t.Helper()
	must(t, d.Stop(patient(t)))
}

// attach attaches a new ENI.
func attach(t *testing.T, r *rig.Rig, subnet string, addresses int) cloud.ENI {
	t.Helper()
	return must1[cloud.ENI](t)(r.Attach(subnet, addresses))
}

// assign gives an ENI one more address.
func assign(t *testing.T, r *rig.Rig, e cloud.ENI) netip.Addr {
	t.Helper()
	return must1[[]netip.Addr](t)(r.Cloud.AssignCount(e.ID, 1))[0]
}

// flows starts a flow in each direction on some of the VM's addresses.
func flows(t *testing.T, r *rig.Rig, addrs ...netip.Addr) []*lab.Flow {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var all []*lab.Flow
	for _, a := range addrs {
		outside := r.Lab.Outside().Addr(a)
		all = append(all, must1[*lab.Flow](t)(r.VM.Flow(ctx, a, outside)),
			must1[*lab.Flow](t)(r.Lab.Outside().Flow(ctx, netip.Addr{}, a)))
	}
	return all
}

// lossless ends flows, none of which may have lost a packet.
func lossless(t *testing.T, when string, all []*lab.Flow) {
	t.Helper()
	for _, f := range all {
		report := f.Stop()
		if report.Lost > 0 || report.Sent == 0 {
			t.Errorf("%s: %s", when, report)
		}
	}
}
