package netcfg

import (
	"testing"
)

// settled observes until the events of the past have been heard, and nothing is run any more.
func (h *chainHost) settled(w *watching) {
	h.Helper()
	for range 100 {
		w.quiet()
		_, err := h.Observe(h.Context(), h.chainScope())
		h.must(err)
		if h.processes() == nil {
			return
		}
	}
	h.Fatal("each look runs processes")
}

// TestChainEvents: what may have changed chains of ours pokes, what others do elsewhere does not, and
// without an event nothing is run.
func TestChainEvents(t *testing.T) {
	h := newChainHost(t, backendNFT)
	h.run("iptables-nft", "-t nat -N KUBE-NODEPORTS") // makes the table
	w := h.watch()
	h.see(h.chainScope())
	w.wait() // the second socket hears now
	h.apply(ops(Add, marking("eth0"))...)
	h.settled(w)
	for _, c := range []struct {
		name, iptables, args string
		concerns             bool
	}{
		{"another table", "iptables-nft", "-t filter -A FORWARD -j ACCEPT", false},
		{"another's chain", "iptables-nft", "-t nat -N KUBE-SERVICES", false},
		{"a rule in it", "iptables-nft", "-t nat -A KUBE-SERVICES -j RETURN", false},
		{"a hook", "iptables-nft", "-t mangle -A PREROUTING -j ACCEPT", true},
		{"a hook of IPv6", "ip6tables-nft", "-t nat -A POSTROUTING -j ACCEPT", true},
		{"ours", "iptables-nft", "-t mangle -F ENID-PREROUTING-0", true},
	} {
		before := w.pokes.Load()
		h.run(c.iptables, c.args)
		for c.concerns && w.pokes.Load() == before {
			w.wait()
		}
		o, err := h.Observe(t.Context(), h.chainScope())
		h.must(err)
		if ran := h.processes(); (ran != nil) != c.concerns {
			t.Errorf("%s: ran %q", c.name, ran)
		}
		if c.name == "ours" && o.Own.Chains[0].Rules != "" {
			t.Errorf("still there: %+v", o.Own.Chains)
		}
		h.settled(w)
	}
}

// TestLegacySize: legacy has no events, its size tells.
func TestLegacySize(t *testing.T) {
	h := newChainHost(t, backendLegacy)
	w := h.watch()
	h.apply(ops(Add, marking("eth0"))...)
	h.settled(w)
	h.run("iptables-legacy", "-t mangle -F ENID-PREROUTING-0")
	o, err := h.Observe(t.Context(), h.chainScope())
	h.must(err)
	if o.Own.Chains[0].Rules != "" {
		t.Errorf("still there: %+v", o.Own.Chains)
	}
	h.settled(w)
}
