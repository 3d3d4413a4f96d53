package netcfg_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"enid/netcfg"
	"enid/test/kernel"
)

// router is a world that forwards, with the iptables of today.
func router() *world {
	w := newWorld()
	w.returnPath = netcfg.Auto
	w.Forwards = map[netcfg.Family]bool{netcfg.V4: true, netcfg.V6: true}
	w.Firewall = netcfg.Firewall{Backend: "nf_tables"}
	return w
}

// markPackets are the replies of a container to somebody outside, on connections that came in
// by each slot.
func markPackets(slot netcfg.Slot) []kernel.Packet {
	mark := netcfg.DefaultNumbers.MarkOf(slot)
	return []kernel.Packet{
		{Src: podIP, Dst: outside, IIF: "docker0", Mark: mark},
		{Src: six(podIP), Dst: six(outside), IIF: "docker0", Mark: mark},
		{Src: podIP, Dst: netip.MustParseAddr("10.0.1.77"), IIF: "docker0", Mark: mark},
		{Src: podIP, Dst: netip.MustParseAddr("10.0.0.77"), IIF: "docker0", Mark: mark},
	}
}

// restores reports whether replies get their marks in a family.
func (w *world) restores(f netcfg.Family) bool {
	return slices.ContainsFunc(w.Chains, func(c netcfg.Chain) bool {
		return c.Family == f && c.Hook == netcfg.MarkIncoming && strings.Contains(c.Rules, "--restore-mark")
	})
}

// checkReplies: with the chains in place, no reply leaves by another NIC than its connection's.
func (w *world) checkReplies(t interface{ Fatalf(string, ...any) }, when string, conns map[netcfg.Slot]int, six bool) {
	for slot, nic := range conns {
		for _, p := range markPackets(slot) {
			if p.Dst.Is6() && !six {
				continue
			}
			if way := w.Lookup(p); w.restores(netcfg.FamilyOf(p.Dst)) && way.Link != 0 && way.Link != nic {
				t.Fatalf("%s: a reply %+v of a connection of NIC %d leaves by NIC %d", when, p, nic, way.Link)
			}
		}
	}
}

// TestReturnPathProperty changes a router from any set of ENIs to any other, with connections
// on all of them, and looks at every instant between.
func TestReturnPathProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := router()
		before, after := drawENIs(t, "before"), drawENIs(t, "after")
		for i := 1; i <= 4; i++ {
			w.plug(i)
		}
		w.converge(t, before, true)
		dual := len(before[0].Subnets.Value) == 2
		conns := map[netcfg.Slot]int{}
		w.Carried = map[netcfg.Slot]bool{}
		for mac, slot := range w.slots {
			conns[slot], w.Carried[slot] = eth0+int(mac[5]), true
		}
		for slot, nic := range conns {
			for _, p := range markPackets(slot)[:1] {
				if way := w.Lookup(p); w.restores(netcfg.V4) && way.Link != nic {
					t.Fatalf("a reply of NIC %d's leaves by %d", nic, way.Link)
				}
			}
		}
		ops, _ := w.plan(after, true)
		for i, op := range ops {
			if r := w.Apply(context.Background(), ops[i:i+1])[0]; r.Err != nil {
				t.Fatalf("%v", r.Err)
			}
			w.checkReplies(t, "after "+op.String(), conns, dual)
			w.checkNobodyStrays(t, "after "+op.String())
		}
		if rest, _ := w.plan(after, true); len(rest) > 0 {
			t.Fatalf("not converged:\n%s", list(rest))
		}
		w.checkReplies(t, "at the end", conns, dual)
	})
}

// TestMarkLines shows the lines that mark, and what becomes of them when NICs come whose names begin
// otherwise: at no time a line that ends the chain stands in front of one that is needed.
func TestMarkLines(t *testing.T) {
	w := router()
	w.plug(1)
	w.plug(2)
	w.converge(t, threeENIs(), true)
	lines := func() []string {
		for _, c := range w.Chains {
			if c.Family == netcfg.V4 && c.Hook == netcfg.MarkIncoming {
				return strings.Split(c.Rules, "\n")
			}
		}
		return nil
	}
	set := func(nic, mark string) string {
		return "-i " + nic + " -m conntrack --ctdir ORIGINAL -m connmark --mark 0x0/0x7f000000 -j CONNMARK --set-xmark " + mark + "/0x7f000000"
	}
	restore := "-m connmark ! --mark 0x0/0x7f000000 -m conntrack --ctdir REPLY -m mark --mark 0x0/0x7f00ff00 -j CONNMARK --restore-mark --nfmask 0x7f000000 --ctmask 0x7f000000"
	want := []string{restore, "! -i eth+ -j RETURN", set("eth0", "0x1000000"), set("eth1", "0x2000000"), set("eth2", "0x3000000")}
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Error(diff)
	}
	w.Plug(netcfg.Link{Index: eth0 + 3, Name: "ens7", MAC: mac(3)})
	ops, _ := w.plan(append(threeENIs(), eni(3, subnetA, true, 30)), true)
	for i, op := range ops {
		w.Apply(t.Context(), ops[i:i+1])
		now := lines()
		end := slices.IndexFunc(now, func(line string) bool { return strings.HasSuffix(line, "RETURN") })
		if new := slices.Index(now, set("ens7", "0x4000000")); new > end && !strings.HasPrefix(now[end], "! -i e+ ") {
			t.Errorf("after %s the chain ends before ens7's line:\n%s", op, strings.Join(now, "\n"))
		}
	}
	want = []string{restore, "! -i e+ -j RETURN", set("eth0", "0x1000000"), set("eth1", "0x2000000"), set("eth2", "0x3000000"), set("ens7", "0x4000000")}
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Error(diff)
	}
}

// A slot whose mark a connection still carries is refused, and taken, until the connection ends.
func TestTombstone(t *testing.T) {
	w := router()
	w.plug(1)
	w.plug(2)
	w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5), eni(2, subnetB, false, 5)}, true)
	w.Carried = map[netcfg.Slot]bool{1: true}
	left := []netcfg.ENI{eni(0, subnetP, false, 5), eni(2, subnetB, false, 5)}
	w.converge(t, left, true)
	p := kernel.Packet{Src: podIP, Dst: outside, IIF: "docker0", Mark: netcfg.DefaultNumbers.MarkOf(1)}
	if way := w.Lookup(p); way.Link != 0 {
		t.Errorf("a reply of a connection of the detached ENI leaves by NIC %d", way.Link)
	}
	w.plug(3)
	w.converge(t, append(left, eni(3, subnetA, false, 9)), true)
	if got := w.slots[mac(3)]; got == 1 {
		t.Error("the slot was given away while a connection carries its mark")
	}
	w.Carried = nil
	w.converge(t, append(left, eni(3, subnetA, false, 9)), true)
	for _, r := range w.Rules {
		if r.Mark == netcfg.DefaultNumbers.MarkOf(1) && r.Proto == proto {
			t.Errorf("no connection carries the mark any more, and its rule stays: %+v", r)
		}
	}
}

// An ENI that comes back is answered at once, also while the metadata is not believed yet.
func TestTombstoneOfAnENIThatComesBack(t *testing.T) {
	w := router()
	w.plug(1)
	w.plug(2)
	left := []netcfg.ENI{eni(0, subnetP, false, 5), eni(2, subnetB, false, 5)}
	w.converge(t, append(left, eni(1, subnetA, false, 5)), true)
	slot := w.slots[mac(1)]
	w.Carried = map[netcfg.Slot]bool{slot: true}
	w.converge(t, left, true)
	back := eni(1, subnetA, false, 5)
	back.Hold = true
	w.converge(t, append(left, back), true)
	p := kernel.Packet{Src: podIP, Dst: outside, IIF: "docker0", Mark: netcfg.DefaultNumbers.MarkOf(slot)}
	if way := w.Lookup(p); w.slots[mac(1)] != slot || way.Link != eth0+1 {
		t.Errorf("a reply leaves by NIC %d, want %d", way.Link, eth0+1)
	}
}

// Return path and policies off, forwarding off, or no iptables: nothing of it is there, and what was
// there goes.
func TestReturnPathOff(t *testing.T) {
	enis := []netcfg.ENI{eni(0, subnetP, true, 5), eni(1, subnetA, true, 5)}
	for name, change := range map[string]func(*world){
		"off":                func(w *world) { w.returnPath = netcfg.Off },
		"does not forward":   func(w *world) { w.Forwards = nil },
		"no iptables":        func(w *world) { w.Firewall = netcfg.Firewall{Missing: "not installed"} },
		"forwards IPv6 only": func(w *world) { w.Forwards = map[netcfg.Family]bool{netcfg.V6: true} },
	} {
		t.Run(name, func(t *testing.T) {
			w := router()
			w.plug(1)
			w.converge(t, enis, true)
			if len(w.Chains) != 4 {
				t.Fatalf("%d chains, want two in each family", len(w.Chains))
			}
			change(w)
			w.converge(t, enis, true)
			for _, c := range w.Chains {
				if c.Family == netcfg.V4 || name != "forwards IPv6 only" {
					t.Errorf("a chain is left: %+v", c)
				}
			}
			for _, r := range w.Rules {
				if r.Proto == proto && r.Mask != 0 && (r.Family == netcfg.V4 || name != "forwards IPv6 only") {
					t.Errorf("a rule is left: %+v", r)
				}
			}
		})
	}
}

// Strict reverse-path filtering becomes loose on every managed NIC, and what it was afterwards.
func TestStrictFilter(t *testing.T) {
	for name, tt := range map[string]struct{ own, all, want string }{
		"own":          {"1", "0", "2"},
		"by all":       {"0", "1", "2"},
		"off":          {"0", "0", "0"},
		"loose":        {"2", "1", "2"},
		"loose by all": {"0", "2", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			w := router()
			w.plug(1)
			w.StrictAll = tt.all
			for _, nic := range []int{eth0, eth0 + 1} {
				w.set(nic, netcfg.RPFilter, tt.own)
			}
			enis := []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5)}
			w.converge(t, enis, true)
			for _, nic := range []int{eth0, eth0 + 1} {
				if got := w.get(nic, netcfg.RPFilter); got != tt.want {
					t.Errorf("NIC %d has %s, want %s", nic, got, tt.want)
				}
			}
			w.converge(t, enis, true)
			w.returnPath = netcfg.Off
			w.converge(t, enis, true)
			if got := w.get(eth0, netcfg.RPFilter); got != tt.own {
				t.Errorf("put back: %s, want %s", got, tt.own)
			}
		})
	}
}

// A daemon that starts while the metadata is down leaves chains and marks as they are.
func TestChainsHeld(t *testing.T) {
	w := router()
	w.plug(1)
	w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5)}, true)
	before := slices.Clone(w.Chains)
	for _, slots := range []netcfg.Slots{w.slots, {}} {
		w.slots = slots
		ops, _ := w.plan(nil, false)
		if len(ops) > 0 {
			t.Errorf("with slots %v:\n%s", slots, list(ops))
		}
	}
	if diff := cmp.Diff(before, w.Chains); diff != "" {
		t.Error(diff)
	}
	w.Forwards = nil // nobody asks for marks any more, doubt or not
	ops, _ := w.plan([]netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5)}, false)
	w.Apply(t.Context(), ops)
	if len(w.Chains) > 0 {
		t.Errorf("without forwarding the chains stay: %+v", w.Chains)
	}
}
