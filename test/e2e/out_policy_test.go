package e2e

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// policed is a VM whose daemon runs with two ENIs in one subnet, eth1 and eth2, and whose host
// outside tells everybody their address.
func policed(t *testing.T) (hostVM, []cloud.ENI) {
	t.Helper()
	v := newHostVM(t, rig.Options{IPv6: true, PrimarySecondary: 1, Config: "policies: []\n"}, lab.NFT)
	teller := must1[io.Closer](t)(v.Lab.Outside().TellSource())
	t.Cleanup(func() { teller.Close() })
	start(t, v.Rig)
	enis := []cloud.ENI{attach(t, v.Rig, "subnet-b", 2), attach(t, v.Rig, "subnet-b", 2)}
	settle(t, v.Rig)
	return v, enis
}

// TestPolicies: chosen traffic leaves by the chosen ENI, with the address that is asked for.
func TestPolicies(t *testing.T) {
	t.Parallel()
	v, enis := policed(t)
	one := func(a netip.Addr) []netip.Addr { return []netip.Addr{a} }
	config := "policies: []"
	for i, c := range []struct {
		name, policies string
		container, vm  func(is4 bool) []netip.Addr // as what they may be seen from outside
	}{
		{"container network, primary address", `
  - {name: p, eni: {name: eth2}, from: [172.17.0.0/16, "fd00:17::/64"], snat: primary}`,
			func(is4 bool) []netip.Addr { return one(firsts(enis[1])[is4]) },
			func(is4 bool) []netip.Addr { return one(firsts(v.Primary)[is4]) }},
		{"container network, named addresses", fmt.Sprintf(`
  - {name: p, eni: {name: eth1}, from: [172.17.0.0/16, "fd00:17::/64"], snat: [%q, %q]}`, last(enis[0], true), last(enis[0], false)),
			func(is4 bool) []netip.Addr { return one(last(enis[0], is4)) },
			func(is4 bool) []netip.Addr { return one(firsts(v.Primary)[is4]) }},
		{"incoming interface", fmt.Sprintf(`
  - {name: p, eni: {id: %s}, iif: docker0, snat: primary}`, enis[1].ID),
			func(is4 bool) []netip.Addr { return one(firsts(enis[1])[is4]) },
			func(is4 bool) []netip.Addr { return one(firsts(v.Primary)[is4]) }},
		{"primary, named address", fmt.Sprintf(`
  - {name: p, eni: {mac: %q}, from: [172.17.0.0/16], snat: %s}
  - {name: q, eni: {name: eth2}, iif: docker0, to: ["2001:db8:ffff::/48"], protocol: tcp, ports: [9], snat: primary}`, v.Primary.MAC, v.Primary.Addresses[1]),
			func(is4 bool) []netip.Addr {
				if is4 {
					return one(v.Primary.Addresses[1])
				}
				return one(firsts(enis[1])[false])
			},
			func(is4 bool) []netip.Addr { return one(firsts(v.Primary)[is4]) }},
		{"users", somebodyElse(t) + `
  - {name: p, eni: {name: eth1}, uids: [0], to: [198.51.100.0/24, "2001:db8:ffff::/48"]}`,
			func(is4 bool) []netip.Addr { return one(firsts(v.Primary)[is4]) },
			func(is4 bool) []netip.Addr { return keepFamily(enis[0].Addresses, is4) }},
	} {
		name := fmt.Sprintf("p%d", i) // so that a status tells that it is of this configuration
		next := "policies:" + strings.ReplaceAll(c.policies, "name: p,", "name: "+name+",")
		edit(t, v.Rig, config, next)
		config = next
		policyState(t, v.Rig, name, netcfg.PolicyInForce)
		for _, is4 := range []bool{true, false} {
			v.seenAs(t, v.container, c.container(is4)...)
			v.seenAs(t, v.VM, c.vm(is4)...)
		}
		for _, s := range v.Addresses() { // an ENI's own addresses are never asked
			if got, err := v.VM.SeenBy(patient(t), s, v.Lab.Outside().Addr(s)); got != s {
				t.Errorf("%s is seen from outside as %s (%v)", s, got, err)
			}
		}
		v.publishedEverywhere(t, v.Addresses()...)
		if t.Failed() {
			t.Fatalf("with policies of %s", c.name)
		}
	}
	everyAddress(t, v.Rig)
}

// TestPolicyOfAnAbsentENI: its traffic is refused or follows main, as the policy says, until the ENI comes.
func TestPolicyOfAnAbsentENI(t *testing.T) {
	t.Parallel()
	v, _ := policed(t)
	e := must1[cloud.ENI](t)(v.Create("subnet-c", 1))
	config := "policies: []"
	for _, c := range []struct {
		when  string
		state netcfg.PolicyState
	}{{"block", netcfg.PolicyBlocked}, {"main", netcfg.PolicyMain}} {
		next := fmt.Sprintf("policies:\n  - {name: p, eni: {id: %s}, from: [172.17.0.0/16, \"fd00:17::/64\"], snat: primary, when_absent: %s}", e.ID, c.when)
		edit(t, v.Rig, config, next)
		config = next
		policyState(t, v.Rig, "p", c.state)
		v.absent(t, c.state)
		e = must1[cloud.ENI](t)(v.Reattach(e))
		settle(t, v.Rig)
		policyState(t, v.Rig, "p", netcfg.PolicyInForce)
		for _, a := range e.Addresses {
			v.seenAs(t, v.container, a)
		}
		v.publishedEverywhere(t, e.Addresses...)
		must(t, v.Cloud.Detach(v.Instance, e.ID))
		settle(t, v.Rig)
		policyState(t, v.Rig, "p", c.state)
		v.absent(t, c.state)
		v.publishedEverywhere(t, v.Addresses()...)
	}
}

// absent probes the ways of a container while the ENI of its policy is not there.
func (v hostVM) absent(t *testing.T, state netcfg.PolicyState) {
	t.Helper()
	for _, a := range firsts(v.Primary) {
		switch out, err := v.container.SeenBy(patient(t), netip.Addr{}, v.Lab.Outside().Addr(a)); {
		case state == netcfg.PolicyMain:
			v.seenAs(t, v.container, a)
		case err == nil:
			t.Errorf("the container is seen from outside as %s, although its ENI is absent", out)
		}
		if err := v.container.Probe(patient(t), netip.Addr{}, a); err != nil {
			t.Errorf("what stays on this host is refused: %v", err)
		}
	}
	noSpoofs(t, v.Rig)
}

// keepFamily are the addresses of one family.
func keepFamily(addrs []netip.Addr, is4 bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a.Is4() != is4 })
}

// somebodyElse is a policy about users other than the test's own, where there are any: an ordinary
// user's laboratory knows of no other, and its kernel refuses to speak of them.
func somebodyElse(t *testing.T) string {
	t.Helper()
	var first, outer, count uint64
	_, err := fmt.Sscan(string(must1[[]byte](t)(os.ReadFile("/proc/self/uid_map"))), &first, &outer, &count)
	must(t, err)
	if count == 1 {
		return ""
	}
	return "\n  - {name: q, eni: {name: eth2}, uids: [1-60000]}"
}
