package netcfg_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/netcfg"
	"enid/test/kernel"
)

var pods = netip.MustParsePrefix("172.17.0.0/16")

func policyTo(i int) netcfg.Policy {
	return netcfg.Policy{Name: "test", ENI: "port-1", MAC: mac(i), From: []netip.Prefix{pods}}
}

// routerWith is a converged router with a primary and two ENIs in subnets of their own.
func routerWith(t *testing.T, policies ...netcfg.Policy) (*world, netcfg.Target) {
	t.Helper()
	w := router()
	w.policies = policies
	w.plug(1)
	w.plug(2)
	return w, w.converge(t, threeENIs(), true)
}

func threeENIs() []netcfg.ENI {
	return []netcfg.ENI{eni(0, subnetP, true, 5, 6), eni(1, subnetA, true, 5, 6), eni(2, subnetB, true, 5)}
}

// TestPolicyWays: which NIC each packet takes with one policy, 0 for none.
func TestPolicyWays(t *testing.T) {
	const eth1 = eth0 + 1
	fromPod := kernel.Packet{Src: podIP, Dst: outside, IIF: "docker0"}
	local := kernel.Packet{Dst: outside, UID: 1000}
	with := func(p kernel.Packet, change func(*kernel.Packet)) kernel.Packet { change(&p); return p }
	span := []netcfg.Span{{First: 1000, End: 2000}}
	type way struct {
		packet kernel.Packet
		want   int
	}
	tests := map[string]struct {
		policy netcfg.Policy
		ways   []way
	}{
		"source prefix": {policyTo(1), []way{
			{fromPod, eth1},
			{with(fromPod, func(p *kernel.Packet) { p.Src = netip.MustParseAddr("172.18.0.2") }), eth0},
			{with(fromPod, func(p *kernel.Packet) { p.Dst = netip.MustParseAddr("10.0.0.77") }), eth1}, // through its gateway
			{with(fromPod, func(p *kernel.Packet) { p.Dst = netip.MustParseAddr("172.17.0.3") }), docker0},
			{with(fromPod, func(p *kernel.Packet) { p.Dst = netip.MustParseAddr("169.254.169.254") }), eth0},
			{with(fromPod, func(p *kernel.Packet) { p.Src, p.Dst = six(podIP), six(outside) }), eth0},
			{with(fromPod, func(p *kernel.Packet) { p.Mark = netcfg.DefaultNumbers.MarkOf(2) }), eth0 + 2}, // a reply
			{with(fromPod, func(p *kernel.Packet) { p.Mark = netcfg.DefaultNumbers.MarkOf(0) }), eth0},
			{local, eth0},
		}},
		"incoming NIC": {netcfg.Policy{Name: "n", MAC: mac(1), IIF: "docker0"}, []way{
			{fromPod, eth1},
			{with(fromPod, func(p *kernel.Packet) { p.Src, p.Dst = six(podIP), six(outside) }), eth1},
			{local, eth0},
		}},
		"users": {netcfg.Policy{Name: "u", MAC: mac(1), UIDs: span}, []way{
			{local, eth1},
			{with(local, func(p *kernel.Packet) { p.UID = 999 }), eth0},
			{with(local, func(p *kernel.Packet) { p.UID = 2000 }), eth0},
			{with(local, func(p *kernel.Packet) { p.Src = netip.MustParseAddr("10.0.0.6") }), eth0}, // the primary's own
			{with(local, func(p *kernel.Packet) { p.Src = netip.MustParseAddr("10.0.2.5") }), eth0 + 2},
			{with(local, func(p *kernel.Packet) { p.Dst = netip.MustParseAddr("169.254.169.254") }), eth0},
			{with(local, func(p *kernel.Packet) { p.Dst = netip.MustParseAddr("fe80::1") }), eth0},
			{fromPod, eth0},
		}},
		"root": {netcfg.Policy{Name: "r", MAC: mac(1), UIDs: []netcfg.Span{{First: 0, End: 1}}}, []way{
			{with(local, func(p *kernel.Packet) { p.UID = 0 }), eth1},
			{fromPod, eth0},
		}},
		"destination, protocol and ports": {netcfg.Policy{Name: "d", MAC: mac(1), To: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
			IPProto: 6, Ports: []netcfg.Span{{First: 80, End: 81}, {First: 8000, End: 8101}}}, []way{
			{with(fromPod, func(p *kernel.Packet) { p.IPProto, p.Port = 6, 80 }), eth1},
			{with(local, func(p *kernel.Packet) { p.IPProto, p.Port = 6, 8100 }), eth1},
			{with(fromPod, func(p *kernel.Packet) { p.IPProto, p.Port = 17, 80 }), eth0},
			{with(fromPod, func(p *kernel.Packet) { p.IPProto, p.Port = 6, 8101 }), eth0},
		}},
		"mark": {netcfg.Policy{Name: "m", MAC: mac(1), Mark: 0x10, Mask: 0xf0}, []way{
			{with(fromPod, func(p *kernel.Packet) { p.Mark = 0x12 }), eth1},
			{with(fromPod, func(p *kernel.Packet) { p.Mark = 0x20 }), eth0},
		}},
		"the primary":          {policyTo(0), []way{{fromPod, eth0}}},
		"absent":               {policyTo(3), []way{{fromPod, 0}, {with(fromPod, func(p *kernel.Packet) { p.Dst = netip.MustParseAddr("172.17.0.3") }), docker0}, {local, eth0}}},
		"absent, follows main": {netcfg.Policy{Name: "a", MAC: mac(3), From: []netip.Prefix{pods}, FollowMain: true}, []way{{fromPod, eth0}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, _ := routerWith(t, tt.policy)
			for _, x := range tt.ways {
				if got := w.Lookup(x.packet); got.Link != x.want {
					t.Errorf("%+v leaves by NIC %d, want %d", x.packet, got.Link, x.want)
				}
			}
		})
	}
}

// Rules that belong to no ENI in particular are remembered nowhere, and do not look as if
// something were forgotten: that would cost every pass a full look.
func TestNothingForgotten(t *testing.T) {
	w, _ := routerWith(t, policyTo(1), policyTo(9))
	seen, err := w.Observe(t.Context(), netcfg.Scope{MACs: allMACs(), Protos: []int{proto}, Numbers: netcfg.DefaultNumbers})
	if err != nil || w.slots.Forgot(seen, netcfg.DefaultNumbers) {
		t.Errorf("a converged router looks as if its slots were forgotten (%v)", err)
	}
	if !(netcfg.Slots{}).Forgot(seen, netcfg.DefaultNumbers) {
		t.Error("slots that are gone are not missed")
	}
	other := netcfg.DefaultNumbers
	other.Priority = 10000
	if !w.slots.Forgot(seen, other) {
		t.Error("rules of other numbers are not noticed")
	}
}

// Whatever a policy says, an address of an ENI leaves by its own.
func TestPolicyNeverStrays(t *testing.T) {
	for _, p := range []netcfg.Policy{
		{Name: "all", MAC: mac(1), IPProto: 6},
		{Name: "all", MAC: mac(1), To: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
		{Name: "all", MAC: mac(3), UIDs: []netcfg.Span{{First: 0, End: 1}}},
	} {
		w, _ := routerWith(t, p)
		for _, dst := range destinations() {
			for _, a := range w.Addrs {
				src := a.Prefix.Addr()
				if netcfg.FamilyOf(src) != netcfg.FamilyOf(dst) {
					continue
				}
				way := w.Lookup(kernel.Packet{Src: src, Dst: dst, IPProto: 6})
				if way.Link != 0 && way.Link != a.Link && way.Link != docker0 {
					t.Errorf("with %+v a packet from %s (NIC %d) to %s leaves by NIC %d", p, src, a.Link, dst, way.Link)
				}
			}
		}
	}
}

func TestPolicyOutcome(t *testing.T) {
	snat := func(addrs ...string) netcfg.Policy {
		p := policyTo(1)
		for _, a := range addrs {
			p.SNAT = append(p.SNAT, netip.MustParseAddr(a))
		}
		return p
	}
	masquerade, masqueradeMain, absent := policyTo(1), policyTo(3), policyTo(3)
	masquerade.Masquerade, masqueradeMain.Masquerade, masqueradeMain.FollowMain = true, true, true
	both := netcfg.Policy{Name: "test", MAC: mac(1), IIF: "docker0", SNAT: []netip.Addr{netip.MustParseAddr("10.0.1.6")}}
	for name, tt := range map[string]struct {
		policy netcfg.Policy
		state  netcfg.PolicyState
		reason []string
		chains int // of the four translating ones
	}{
		"plain":            {policyTo(1), netcfg.PolicyInForce, nil, 0},
		"its address":      {snat("10.0.1.6"), netcfg.PolicyInForce, nil, 2},
		"primary address":  {masquerade, netcfg.PolicyInForce, nil, 2},
		"another's":        {snat("10.0.2.5"), netcfg.PolicyBlocked, []string{"policy-snat-not-owned"}, 0},
		"absent":           {absent, netcfg.PolicyBlocked, []string{"policy-eni-absent"}, 0},
		"absent, main":     {masqueradeMain, netcfg.PolicyMain, []string{"policy-eni-absent"}, 0},
		"one family alone": {both, netcfg.PolicyPartly, []string{"policy-snat-none"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w, target := routerWith(t, tt.policy)
			got := target.Policies[0]
			var reasons []string
			for _, p := range got.Problems {
				reasons = append(reasons, p.Reason)
			}
			chains := 0
			for _, c := range w.Chains {
				if c.Hook == netcfg.MarkForwarded || c.Hook == netcfg.TranslateOut {
					chains++
				}
			}
			if got.State != tt.state || !slices.Equal(reasons, tt.reason) || chains != tt.chains {
				t.Errorf("got %+v with %d chains, want %s %v with %d", got, chains, tt.state, tt.reason, tt.chains)
			}
		})
	}
}

// While the metadata is down, a daemon that starts leaves every policy as it is, whatever it
// calls its ENI; when it is settled that the ENI is gone, the traffic is refused.
func TestPolicyHeld(t *testing.T) {
	p := policyTo(1)
	p.Masquerade = true
	w, _ := routerWith(t, p)
	unknown := p
	unknown.MAC = mac(9)
	w.policies = []netcfg.Policy{unknown}
	if ops, _ := w.plan(nil, false); len(ops) > 0 {
		t.Errorf("in doubt something is changed:\n%s", list(ops))
	}
	w.policies = []netcfg.Policy{p}
	w.Unplug(eth0 + 1)
	ops, _ := w.plan(threeENIs()[:1], true)
	w.Apply(t.Context(), ops) // then it shows that no connection carries the marks any more
	target := w.converge(t, threeENIs()[:1], true)
	if got := target.Policies[0].State; got != netcfg.PolicyBlocked {
		t.Errorf("state %s, want blocked", got)
	}
	w.policies = nil
	w.converge(t, threeENIs()[:1], true)
	for _, r := range w.Rules {
		if r.Proto == proto && r.Priority >= 20309 && r.Priority < 20400 {
			t.Errorf("a rule of the policy is left: %+v", r)
		}
	}
	if len(w.Chains) > 0 {
		t.Errorf("chains are left: %+v", w.Chains)
	}
}

// TestPolicyChains shows the lines that give a policy's packets their source.
func TestPolicyChains(t *testing.T) {
	w, _ := routerWith(t, policyTo(1), netcfg.Policy{
		Name: "web", MAC: mac(2), From: []netip.Prefix{pods}, To: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, IIF: "docker0", Mark: 0x10, Mask: 0xff,
		IPProto: 6, Ports: []netcfg.Span{{First: 80, End: 81}, {First: 8000, End: 8101}}, Masquerade: true,
	})
	got := map[netcfg.Hook]string{}
	for _, c := range w.Chains {
		if c.Hook == netcfg.MarkForwarded || c.Hook == netcfg.TranslateOut {
			got[c.Hook] = c.Rules
		}
	}
	want := map[netcfg.Hook]string{
		netcfg.MarkForwarded: "-s 172.17.0.0/16 -d 10.9.0.0/16 -i docker0 -o eth2 -p tcp -m tcp --dport 80 -m mark --mark 0x10/0xff -j MARK --set-xmark 0x2000000/0x7f000000\n" +
			"-s 172.17.0.0/16 -d 10.9.0.0/16 -i docker0 -o eth2 -p tcp -m tcp --dport 8000:8100 -m mark --mark 0x10/0xff -j MARK --set-xmark 0x2000000/0x7f000000",
		netcfg.TranslateOut: "-o eth2 -m mark --mark 0x2000000/0x7f000000 -j SNAT --to-source 10.0.2.5",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
