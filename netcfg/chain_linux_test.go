package netcfg

import (
	"os"
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

// TestBackend: the host's own backend is taken, and looking makes no legacy table.
func TestBackend(t *testing.T) {
	both := []string{backendNFT, backendLegacy}
	for _, c := range []struct {
		name      string
		installed []string
		used      []string
		want      string
	}{
		{"nft is plain", both, nil, backendNFT},
		{"legacy is plain", []string{backendLegacy, backendNFT}, nil, backendLegacy},
		{"legacy is used", both, []string{"iptables-legacy"}, backendLegacy},
		{"legacy is used for IPv6", both, []string{"ip6tables-legacy"}, backendLegacy},
		{"nft is used", []string{backendLegacy, backendNFT}, []string{"iptables-nft"}, backendNFT},
		{"both are used", []string{backendLegacy, backendNFT}, []string{"iptables-nft", "iptables-legacy"}, backendLegacy},
		{"only nft", []string{backendNFT}, []string{"iptables-legacy"}, backendNFT},
		{"only legacy", []string{backendLegacy}, nil, backendLegacy},
		{"none", nil, []string{"iptables-legacy"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newChainHost(t, c.installed...)
			for _, name := range c.used {
				h.run(name, "-t filter -A FORWARD -i eth9 -j ACCEPT")
			}
			f := h.see(h.chainScope()).Host.Firewall
			if f.Backend != c.want || (f.Missing == "") != (c.want != "") {
				t.Errorf("%+v, want %q", f, c.want)
			}
			names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
			h.must(err)
			if len(names) > 0 && !slices.Contains(c.used, "iptables-legacy") {
				t.Errorf("looking made legacy tables: %q", names)
			}
			if c.want == "" {
				return
			}
			h.to([]Chain{marking("eth0")})
			if got := h.reread().backends(); !slices.Equal(got, []string{c.want}) {
				t.Errorf("recorded: %v", got)
			}
		})
	}
}

// TestBackendChanges: when others' rules appear in the other backend, ours follow.
func TestBackendChanges(t *testing.T) {
	h := newChainHost(t, backendNFT, backendLegacy)
	want := []Chain{marking("eth0"), {Family: V6, Hook: MarkLocal, Rules: "-m conntrack --ctstate DNAT " + restore}}
	h.to(want)
	for _, other := range []string{"iptables-legacy", "iptables-nft"} {
		h.run(other, "-t mangle -A FORWARD -j ACCEPT")
		if other == "iptables-nft" {
			h.run("iptables-legacy", "-t mangle -F FORWARD")
		}
		h.to(want)
		for _, name := range []string{"iptables-nft", "iptables-legacy"} {
			if ours := strings.Contains(strings.Join(h.rules(name, "mangle"), " "), "ENID"); ours != (name == other) {
				t.Errorf("%s is used, ours in %s: %v", other, name, ours)
			}
		}
	}
	// Removal finds what the record says, also while nothing asks for chains.
	k := h.open()
	defer k.Close()
	o, err := k.Observe(t.Context(), h.scope())
	h.must(err)
	for _, r := range k.Apply(t.Context(), ops(Del, objects(o.Own.Chains...)...)) {
		h.must(r.Err)
	}
	h.wants()
}

// TestChainsNotAsked: whoever wants no chains runs nothing.
func TestChainsNotAsked(t *testing.T) {
	h := newChainHost(t, backendNFT)
	s := h.chainScope()
	s.Chains, s.Full = false, true
	if o := h.see(s); o.Host.Firewall != (Firewall{}) || h.processes() != nil {
		t.Errorf("%+v", o.Host.Firewall)
	}
	h.apply(ops(Add, marking("eth0"))...)
	if o := h.see(s); len(o.Own.Chains) != 1 {
		t.Error("the record does not tell that there are chains")
	}
}

// TestNoIPTables: without it everything else works, and it is said what is missing.
func TestNoIPTables(t *testing.T) {
	h := newChainHost(t)
	nic := h.plugUp("eth1", 1)
	a := Addr{nic.Index, pfx("10.0.1.6/32")}
	results := h.Apply(t.Context(), ops(Add, marking("eth1"), a))
	if results[0].Err == nil || results[0].Skipped || results[1].Err != nil {
		t.Errorf("%+v", results)
	}
	o := h.see(h.chainScope())
	if !slices.Contains(o.Own.Addrs, a) || !strings.Contains(o.Host.Firewall.Missing, "install") {
		t.Errorf("%+v", o)
	}
	h.install(backendNFT)
	h.to([]Chain{marking("eth1")})
	// What was there goes on where iptables fails.
	h.must(os.WriteFile(h.bin+"/iptables-nft-save", []byte("#!/bin/sh\necho broken >&2; exit 1\n"), 0o700))
	k := h.open()
	defer k.Close()
	o, err := k.Observe(t.Context(), h.chainScope())
	h.must(err)
	if f := o.Host.Firewall; f.Backend != backendNFT || !strings.Contains(f.Missing, "broken") {
		t.Errorf("%+v", f)
	}
}

// TestUnreadable: a backend that cannot be read is not taken, and the other one serves, unless ours
// are in that one.
func TestUnreadable(t *testing.T) {
	h := newChainHost(t, backendNFT, backendLegacy)
	h.run("iptables-legacy", "-t filter -A FORWARD -j ACCEPT")
	save := h.bin + "/iptables-legacy-save"
	working, err := os.ReadFile(save)
	h.must(err)
	replace := func(script []byte) { h.must(os.WriteFile(save, script, 0o700)) }
	is := func(o Observation, backend string, chains int, broken bool) {
		t.Helper()
		if f := o.Host.Firewall; f.Backend != backend || len(o.Own.Chains) != chains || strings.Contains(f.Missing, "broken") != broken {
			t.Errorf("%+v, want %s, %d chains, broken %v", o, backend, chains, broken)
		}
	}
	broken := []byte("#!/bin/sh\necho broken >&2; exit 1\n")
	replace(broken)
	is(h.see(h.chainScope()), backendNFT, 0, true)
	replace(working)
	is(h.see(h.chainScope()), backendLegacy, 0, false)
	h.apply(ops(Add, marking("eth0"))...)
	is(h.see(h.chainScope()), backendLegacy, 1, false)
	replace(broken)
	fresh := h.open()
	defer fresh.Close()
	for k, chains := range map[*Kernel]int{h.Kernel: 1, fresh: 0} {
		o, err := k.Observe(t.Context(), h.chainScope())
		h.must(err)
		is(o, backendLegacy, chains, true)
	}
}

// TestNoIP6Tables: IPv4 works without ip6tables.
func TestNoIP6Tables(t *testing.T) {
	h := newChainHost(t, backendNFT)
	h.without6()
	h.to([]Chain{marking("eth0")})
	six := marking("eth0")
	six.Family = V6
	if r := h.Apply(t.Context(), ops(Add, six)); r[0].Err == nil || !strings.Contains(r[0].Err.Error(), "ip6tables") {
		t.Errorf("%+v", r)
	}
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

// TestNoLegacyByRemoval: to remove what may be there makes no legacy table either.
func TestNoLegacyByRemoval(t *testing.T) {
	h := newChainHost(t, backendNFT, backendLegacy)
	h.Kernel.record.chains[backendLegacy] = true
	h.apply(ops(Add, marking("eth0"))...)
	h.apply(ops(Del, marking("eth0"))...)
	if names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names"); err != nil || len(names) > 0 {
		t.Errorf("legacy tables: %q, %v", names, err)
	}
}
