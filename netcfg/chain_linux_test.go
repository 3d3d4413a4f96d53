package netcfg

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestChains: what is written is read, by a fresh process too, so that a restart writes nothing; and
// what is removed leaves others' rules as they were.
func TestChains(t *testing.T) {
	sameOnBoth(t, func(t *testing.T, h *chainHost, iptables string) {
		h.others(iptables)
		before := h.everything(iptables)
		all := designed()
		h.apply(ops(Add, objects(all...)...)...)
		h.wants(all...)
		if got := h.rules(iptables, "mangle"); !slices.Contains(got, "-A PREROUTING -j ENID-PREROUTING-0") || !slices.Contains(h.reread().clone().backends(), h.firewall.host.Backend) {
			t.Errorf("not called, or not recorded:\n%s", strings.Join(got, "\n"))
		}
		for _, next := range []Chain{marking("eth0", "eth2"), marking("eth0", "eth1", "eth2"), marking("eth7"), marking()} {
			h.apply(ops(Replace, next)...)
			all[0] = next
			h.wants(all...)
		}
		h.apply(ops(Del, objects(all...)...)...)
		h.wants()
		if diff := gocmp.Diff(before, h.everything(iptables)); diff != "" {
			t.Errorf("others' rules (-before +after):\n%s", diff)
		}
		h.apply(ops(Del, objects(all...)...)...) // gone already
	})
}

func (r record) backends() (b []string) {
	for backend := range r.chains {
		b = append(b, backend)
	}
	return b
}

// TestChainInPlace: one line more or less is one change.
func TestChainInPlace(t *testing.T) {
	h := newChainHost(t, backendNFT)
	h.apply(ops(Add, marking("eth0", "eth1"))...)
	for _, next := range []Chain{marking("eth0", "eth1", "eth2"), marking("eth0", "eth1")} {
		h.limit(1)
		h.apply(ops(Replace, next)...)
		h.limit(-1)
		h.wants(next)
	}
}

// TestChainPrintedOtherwise: a text that iptables prints in another form is known again.
func TestChainPrintedOtherwise(t *testing.T) {
	sameOnBoth(t, func(t *testing.T, h *chainHost, _ string) {
		odd := Chain{Family: V4, Hook: MarkForwarded}.with([]string{"-o eth1 -s 10.0.0.1 -p tcp -j MARK --or-mark 0x1000000"})
		h.apply(ops(Add, odd)...)
		o, err := h.Observe(t.Context(), h.chainScope())
		h.must(err)
		if diff := gocmp.Diff([]Chain{odd}, o.Own.Chains); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// wholeOnes fails unless what is called at a hook is one of the whole chains, or nothing where
// that may be.
func (h *chainHost) wholeOnes(iptables string, n int, nothing bool, whole ...Chain) {
	h.Helper()
	set := parseRuleset(h.run(iptables+"-save", ""))
	called := 0
	for _, g := range set.generationsOf(whole[0].Hook) {
		called += g.calls
		got := strings.Join(g.rules, "\n")
		if g.calls > 0 && !slices.ContainsFunc(whole, func(c Chain) bool { return c.Rules == got }) {
			h.Errorf("killed after %d changes: half a chain is called:\n%s", n, got)
		}
	}
	if called == 0 && !nothing {
		h.Errorf("killed after %d changes: no chain is called", n)
	}
}

// TestChainKilled stops before every single change; what is called is always whole, and a fresh
// process brings it to the end.
func TestChainKilled(t *testing.T) {
	sameOnBoth(t, func(t *testing.T, h *chainHost, iptables string) {
		h.without6()
		h.others(iptables)
		bare := h.everything(iptables)
		first, second := marking("eth0"), marking("eth1", "eth2")
		h.killed(iptables, nil, ops(Add, first), []Chain{first})
		h.killed(iptables, []Chain{first}, ops(Replace, second), []Chain{second})
		h.killed(iptables, []Chain{second}, ops(Del, second), nil)
		if diff := gocmp.Diff(bare, h.everything(iptables)); diff != "" {
			t.Errorf("others' rules (-before +after):\n%s", diff)
		}
	})
}

// killed goes from one state to another and is killed before every single change.
func (h *chainHost) killed(iptables string, from []Chain, change []Op, to []Chain) {
	h.Helper()
	before := h.run(iptables+"-save", "")
	for n := 0; ; n++ {
		h.limit(n)
		err := h.Apply(h.Context(), change)[0].Err
		h.limit(-1)
		h.wholeOnes(iptables, n, len(from) == 0 || len(to) == 0, slices.Concat(from, to)...)
		h.to(to)
		if h.Failed() {
			h.Fatalf("%s, killed after %d changes", change[0], n)
		}
		if err == nil {
			if n < 3 {
				h.Errorf("%s: only %d changes", change[0], n)
			}
			return
		}
		command := exec.Command(h.real[iptables] + "-restore")
		command.Stdin = strings.NewReader(before)
		h.must(command.Run())
		h.firewall.gens, h.firewall.fresh = nil, false
	}
}

// plan is what the planner makes of chains.
func (h *chainHost) plan(k *Kernel, want []Chain) []Op {
	h.Helper()
	o, err := k.Observe(h.Context(), h.chainScope())
	h.must(err)
	return Plan(State{Chains: o.Own.Chains}, Target{State: State{Chains: want}})
}

// to goes to chains, as a fresh process does in one pass; another one finds nothing to do.
func (h *chainHost) to(want []Chain) {
	h.Helper()
	first, second := h.open(), h.open()
	defer first.Close()
	defer second.Close()
	for _, r := range first.Apply(h.Context(), h.plan(first, want)) {
		h.must(r.Err)
	}
	if left := h.plan(second, want); len(left) > 0 {
		h.Errorf("there is more to do:\n%s", commands(left))
	}
	if diff := gocmp.Diff(want, second.firewall.chains, equate); diff != "" {
		h.Errorf("chains of ours (-want +got):\n%s", diff)
	}
	h.firewall.gens, h.firewall.fresh = nil, false // it does not know of the other process
}

// TestChainBroken: what somebody else does to a chain is seen and repaired.
func TestChainBroken(t *testing.T) {
	sameOnBoth(t, func(t *testing.T, h *chainHost, iptables string) {
		h.without6()
		whole := marking("eth0", "eth1")
		for _, c := range []struct{ name, do string }{
			{"the hook is flushed", "-t mangle -F PREROUTING"}, {"the table is flushed", "-t mangle -F"},
			{"called twice", "-t mangle -I PREROUTING -j ENID-PREROUTING-0"}, {"a rule goes", "-t mangle -D ENID-PREROUTING-0 1"},
			{"another generation beside it", "-t mangle -N ENID-PREROUTING-1"}, {"another rule", "-t mangle -A ENID-PREROUTING-0 -j ACCEPT"},
		} {
			h.to(nil)
			h.to([]Chain{whole})
			h.run(iptables, c.do)
			if left := h.plan(h.Kernel, []Chain{whole}); len(left) == 0 {
				t.Errorf("%s: nothing to do", c.name)
			}
			h.to([]Chain{whole})
		}
		h.run(iptables, "-t mangle -F")
		h.run(iptables, "-t mangle -X")
		h.wants()
	})
}

// TestForeignJump: another's rule that leads into a chain of ours stays and is no reason to try for ever.
func TestForeignJump(t *testing.T) {
	sameOnBoth(t, func(t *testing.T, h *chainHost, iptables string) {
		foreign := "-A PREROUTING -i eth9 -j ENID-PREROUTING-0"
		h.to([]Chain{marking("eth0")})
		h.run(iptables, "-t mangle "+foreign)
		for _, next := range [][]Chain{{marking("eth1", "eth2")}, {marking("eth0")}, {marking("eth3", "eth4")}, nil, {marking("eth0")}} {
			h.to(next)
			if !slices.Contains(h.rules(iptables, "mangle"), foreign) {
				t.Fatalf("the rule is gone:\n%s", strings.Join(h.rules(iptables, "mangle"), "\n"))
			}
		}
	})
}

// TestChainFails: neither side waits for the other.
func TestChainFails(t *testing.T) {
	h := newChainHost(t, backendNFT)
	bad := Rule{Family: V4, Priority: 5, Goto: 3, Proto: testProto} // it cannot go back
	good := Rule{Family: V4, Priority: 6, Table: 7, Proto: testProto}
	h.limit(0)
	r := h.Apply(t.Context(), ops(Add, marking("eth0"), good))
	h.limit(-1)
	if r[0].Err == nil || r[1].Err != nil {
		t.Errorf("%+v", r)
	}
	if r = h.Apply(t.Context(), ops(Add, bad, marking("eth0"))); r[0].Err == nil || r[1].Err != nil {
		t.Errorf("%+v", r)
	}
}
