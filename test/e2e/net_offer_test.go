package e2e

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"enid/agent"
	"enid/metadata"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// bareRig is a VM on JD Cloud of whose ENIs the metadata says what the cloud itself says, and no document more:
// neither subnet nor gateway. Its API is not asked.
func bareRig(t *testing.T) *rig.Rig {
	t.Helper()
	r := newRig(t, rig.Options{Dialect: cloud.JDCloud})
	must(t, r.Cloud.AutoCustom(r.Instance, false))
	config := string(must1[[]byte](t)(os.ReadFile(r.ConfigFile())))
	must(t, r.WriteConfig(strings.Replace(config, "metadata:\n", "metadata:\n  openapi: off\n", 1)))
	return r
}

// offers is what a subnet's DHCP server knows: the primary address of each ENI.
func offers(r *rig.Rig) func(metadata.MAC) (netip.Addr, bool) {
	return func(mac metadata.MAC) (netip.Addr, bool) {
		for _, e := range r.Cloud.Describe(r.Instance) {
			if e.MAC == mac {
				return e.Addresses[0], true
			}
		}
		return netip.Addr{}, false
	}
}

// statusOf waits for a status of one ENI.
func statusOf(t *testing.T, r *rig.Rig, mac metadata.MAC, ok func(agent.ENIStatus) bool) {
	t.Helper()
	await(t, r, func(s *agent.Status) bool {
		return slices.ContainsFunc(s.ENIs, func(e agent.ENIStatus) bool { return e.MAC == mac && ok(e) })
	})
}

// TestOfferOnTheWire: an ENI in another subnet than the primary's is configured by its network's DHCP offer,
// beside one in the primary's own, where nobody answers. No lease is taken, or the end of the rig fails.
func TestOfferOnTheWire(t *testing.T) {
	t.Parallel()
	r := bareRig(t)
	server := must1[*lab.DHCPServer](t)(r.Lab.ServeDHCP(r.Subnet("subnet-b"), lab.DHCPOptions{Offers: offers(r), MTU: 1400}))
	d := start(t, r)
	e, own := attach(t, r, "subnet-b", 1), attach(t, r, "subnet-a", 1)
	settle(t, r)
	everyAddress(t, r)
	by := "dhcp offer of 10.0.1.2 on " + r.NIC(e.MAC)
	statusOf(t, r, e.MAC, func(s agent.ENIStatus) bool {
		return s.Phase == agent.PhaseConfigured && s.Origins["subnets"] == by && s.Origins["gateway"] == by
	})
	inPhase(t, r, own.MAC, agent.PhaseConfigured)
	if out := sh(t, r, "ip -o link show %s", r.NIC(e.MAC)); !strings.Contains(out, "mtu 1400") {
		t.Errorf("the MTU is not the offer's: %s", out)
	}
	if n := server.Asked(e.MAC); n < 1 || n > 6 { // two rounds of three, on a machine that has better things to do
		t.Errorf("the network was asked %d times", n)
	}

	// A new start finds a server that is silent, and everything stays.
	before := kernel(t, r)
	server.Set(lab.DHCPOptions{Offers: func(metadata.MAC) (netip.Addr, bool) { return netip.Addr{}, false }})
	asked := server.Asked(e.MAC)
	stop(t, d)
	start(t, r)
	eventually(t, "nobody asks the network again", func() bool { return server.Asked(e.MAC) > asked })
	same(t, r, before, "after a start without an offer")

	must(t, r.Cloud.Detach(r.Instance, e.ID))
	settle(t, r)
	everyAddress(t, r)
}

// TestForeignOfferOnTheWire: an address that is not the ENI's is told and used for nothing, and the right one of
// another server counts.
func TestForeignOfferOnTheWire(t *testing.T) {
	t.Parallel()
	r := bareRig(t)
	rogue := lab.DHCPOptions{Server: netip.MustParseAddr("10.0.1.66"), Offers: func(metadata.MAC) (netip.Addr, bool) {
		return netip.MustParseAddr("10.0.1.77"), true
	}}
	must1[*lab.DHCPServer](t)(r.Lab.ServeDHCP(r.Subnet("subnet-b"), rogue))
	start(t, r)
	e := attach(t, r, "subnet-b", 1)
	statusOf(t, r, e.MAC, func(s agent.ENIStatus) bool {
		return s.Phase == netcfg.Incomplete && slices.ContainsFunc(s.Problems, func(p metadata.Problem) bool {
			return p.Reason == "dhcp-offer-ignored" && strings.Contains(p.Text, "10.0.1.66 offers 10.0.1.77")
		})
	})
	if out := sh(t, r, "ip -o -4 addr show %s; ip rule show protocol 225 | grep %s || true", r.NIC(e.MAC), e.Addresses[0]); out != "" {
		t.Errorf("the NIC has %s", out)
	}
	must1[*lab.DHCPServer](t)(r.Lab.ServeDHCP(r.Subnet("subnet-b"), lab.DHCPOptions{Offers: offers(r)}))
	settle(t, r)
	everyAddress(t, r)
}

// TestApplyByOffer: a boot script gets the ENI as well, and cleanup puts everything back.
func TestApplyByOffer(t *testing.T) {
	t.Parallel()
	r := bareRig(t)
	must1[*lab.DHCPServer](t)(r.Lab.ServeDHCP(r.Subnet("subnet-b"), lab.DHCPOptions{Offers: offers(r)}))
	attach(t, r, "subnet-b", 1)
	before := kernel(t, r)
	if _, errs, code := r.Run(patient(t), "apply"); code != 0 {
		t.Fatalf("enid apply: exit code %d: %s", code, errs)
	}
	if _, err := r.Await(patient(t), r.Addresses()...); err != nil {
		t.Fatal(err)
	}
	everyAddress(t, r)
	if out, errs, code := r.Run(patient(t), "plan"); code != 0 || strings.TrimSpace(out) != "# nothing to do" {
		t.Errorf("then there is to do: %s%s", out, errs)
	}
	if _, errs, code := r.Run(patient(t), "cleanup"); code != 0 {
		t.Errorf("enid cleanup: exit code %d: %s", code, errs)
	}
	same(t, r, before, "after cleanup")
}

// TestAddressByOffer: on OpenStack, where the metadata leaves an ENI's address to DHCP, it is the offer's; and no lease
// is taken. A restart, in which the network is silent, keeps it.
func TestAddressByOffer(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.OpenStack})
	r.Cloud.SetOpenStackStyle(cloud.OpenStackStyle{DHCP: true})
	server := must1[*lab.DHCPServer](t)(r.Lab.ServeDHCP(r.Subnet("subnet-b"), lab.DHCPOptions{Offers: offers(r), MTU: 1400}))
	d := start(t, r)
	e := attach(t, r, "subnet-b", 1)
	settle(t, r)
	everyAddress(t, r)
	by := "dhcp offer of 10.0.1.2 on " + r.NIC(e.MAC)
	statusOf(t, r, e.MAC, func(s agent.ENIStatus) bool {
		return s.Phase == agent.PhaseConfigured && s.Origins["addresses"] == by && s.Origins["gateway"] == by
	})

	before := kernel(t, r)
	server.Set(lab.DHCPOptions{Offers: func(metadata.MAC) (netip.Addr, bool) { return netip.Addr{}, false }})
	asked := server.Asked(e.MAC)
	stop(t, d)
	start(t, r)
	eventually(t, "nobody asks the network again", func() bool { return server.Asked(e.MAC) > asked })
	same(t, r, before, "after a start without an offer")

	must(t, r.Cloud.Detach(r.Instance, e.ID))
	settle(t, r)
	everyAddress(t, r)
}
