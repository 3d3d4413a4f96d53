package netcfg

import (
	"os"
	"slices"
	"strings"
	"testing"
)

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
