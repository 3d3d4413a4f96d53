package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"enid/agent"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// published is the port at which every address of a VM leads to its container.
const published = 8080

// probers bounds the probes under way at a time.
const probers = 48

// hostVM is a VM that runs a container.
type hostVM struct {
	*rig.Rig
	container *lab.Host
	backend   lab.Backend
}

// newHostVM boots a VM with a container whose port is published, the way that Docker does it.
func newHostVM(t *testing.T, o rig.Options, b lab.Backend) hostVM {
	t.Helper()
	o.Dialect, o.DetachAfter = cloud.EC2, detachAfter
	r := newRig(t, o)
	v := hostVM{r, must1[*lab.Host](t)(r.Lab.Container(r.VM)), b}
	must(t, r.VM.Publish(patient(t), b, published, v.container))
	return v
}

// fourNICs attaches three ENIs to a VM whose daemon runs, two of them in one subnet.
func (v hostVM) fourNICs(t *testing.T) []cloud.ENI {
	t.Helper()
	enis := []cloud.ENI{attach(t, v.Rig, "subnet-b", 2), attach(t, v.Rig, "subnet-b", 2), attach(t, v.Rig, "subnet-c", 2)}
	settle(t, v.Rig)
	return enis
}

// peersOf are the neighbours and the host outside, each with its address of a's family.
func peersOf(r *rig.Rig, a netip.Addr) map[*lab.Host]netip.Addr {
	all := map[*lab.Host]netip.Addr{r.Lab.Outside(): r.Lab.Outside().Addr(a)}
	for _, name := range rig.SubnetNames {
		h := r.Subnet(name).Neighbour
		all[h] = h.Addr(a)
	}
	return all
}

// publishedEverywhere fails the test unless the container answers at every address of the VM, whoever
// asks: the neighbours, the host outside and the VM itself.
func (v hostVM) publishedEverywhere(t *testing.T, addrs ...netip.Addr) {
	t.Helper()
	ctx := patient(t)
	var g errgroup.Group
	g.SetLimit(probers)
	for _, a := range addrs {
		from := []*lab.Host{v.VM}
		for peer := range peersOf(v.Rig, a) {
			from = append(from, peer)
		}
		for _, host := range from {
			for _, network := range []string{"tcp", "udp"} {
				g.Go(func() error {
					if err := host.Exchange(ctx, network, netip.Addr{}, netip.AddrPortFrom(a, published)); err != nil {
						t.Errorf("published port: %v", err)
					}
					return nil
				})
			}
		}
	}
	_ = g.Wait()
	noSpoofs(t, v.Rig)
}

// session opens a conversation with the container, by TCP from outside.
func (v hostVM) session(t *testing.T, a netip.Addr) *lab.Session {
	t.Helper()
	s := must1[*lab.Session](t)(v.Lab.Outside().Session(patient(t), "tcp", netip.Addr{}, netip.AddrPortFrom(a, published)))
	t.Cleanup(func() { s.Close() })
	echoes(t, s)
	return s
}

// echoes fails the test unless a conversation goes on.
func echoes(t *testing.T, s *lab.Session) {
	t.Helper()
	if err := s.Echo(patient(t), 300); err != nil {
		t.Error(err)
	}
}

// firsts are an ENI's first address of each family, by whether it is IPv4.
func firsts(e cloud.ENI) map[bool]netip.Addr {
	found := map[bool]netip.Addr{}
	for _, a := range slices.Backward(e.Addresses) {
		found[a.Is4()] = a
	}
	return found
}

// last is an ENI's last address of a family.
func last(e cloud.ENI, is4 bool) (found netip.Addr) {
	for _, a := range e.Addresses {
		if a.Is4() == is4 {
			found = a
		}
	}
	return found
}

// iptables runs iptables or ip6tables in the VM, on the backend that its container uses.
func (v hostVM) iptables(t *testing.T, like netip.Addr, line string, args ...any) {
	t.Helper()
	must(t, v.VM.IPTables(patient(t), v.backend, like, fmt.Sprintf(line, args...)))
}

// saved is what iptables-save prints of one family and backend, without counters and comments.
func saved(t *testing.T, r *rig.Rig, program string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(sh(t, r, "%s-save", program)) {
		if strings.HasPrefix(line, "-A") || strings.HasPrefix(line, ":") || strings.HasPrefix(line, "*") {
			line, _, _ = strings.Cut(line, " [")
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// seenAs fails the test unless a host of the VM is seen from outside with one of these addresses.
func (v hostVM) seenAs(t *testing.T, h *lab.Host, wants ...netip.Addr) {
	t.Helper()
	got, err := h.SeenBy(patient(t), netip.Addr{}, v.Lab.Outside().Addr(wants[0]))
	if err != nil || !slices.Contains(wants, got) {
		t.Errorf("%s is seen from outside as %s, want %s (%v)", h.Name, got, wants, err)
	}
}

// policyState waits until a policy is in a state.
func policyState(t *testing.T, r *rig.Rig, name string, state netcfg.PolicyState) {
	t.Helper()
	await(t, r, func(s *agent.Status) bool {
		return s.Converged && slices.ContainsFunc(s.Policies, func(p agent.PolicyStatus) bool { return p.Name == name && p.State == state })
	})
}

// flowsTo starts flows from outside to the container at some of the VM's addresses.
func (v hostVM) flowsTo(t *testing.T, addrs ...netip.Addr) []*lab.Flow {
	t.Helper()
	var all []*lab.Flow
	for _, a := range addrs {
		ctx := context.WithoutCancel(t.Context())
		all = append(all, must1[*lab.Flow](t)(v.Lab.Outside().FlowTo(ctx, netip.Addr{}, netip.AddrPortFrom(a, published))))
	}
	return all
}
