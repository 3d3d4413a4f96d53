package netcfg

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMainIsNotReadAgain: with a watcher, main is read only when it may have changed.
func TestMainIsNotReadAgain(t *testing.T) {
	h := newHost(t)
	in, out := h.plugUp("eth1", 1), h.plugUp("eth2", 2)
	delete(h.macs, out.MAC)
	h.must(h.conn.setAddr(Add, Addr{in.Index, pfx("192.0.2.1/32")}))
	h.flood(out.Index, 200_000)
	scope := h.scope(20001)
	reads := func(what string, s Scope, want bool, routes ...Route) {
		t.Helper()
		before := h.mainReads
		o, err := h.Observe(t.Context(), s)
		h.must(err)
		if got := h.mainReads > before; got != want {
			t.Errorf("%s: main was read: %v, want %v", what, got, want)
		}
		if diff := cmp.Diff(routes, slices.Concat(o.Host.Routes, o.Own.Routes), equate); diff != "" {
			t.Errorf("%s: routes (-want +got):\n%s", what, diff)
		}
	}
	reads("no watcher", scope, true)
	reads("no watcher still", scope, true)

	w := h.watch()
	reads("watcher began", scope, true)
	w.quiet()
	reads("nothing happened", scope, false)
	h.flood(out.Index, 100)
	w.quiet()
	reads("routes through another NIC", scope, false)
	full := scope
	full.Full = true
	reads("full", full, true)

	foreign := Route{Table: MainTable, Dst: pfx("10.9.0.0/16"), Link: in.Index, Proto: foreignProto}
	h.must(h.conn.setRoute(Add, foreign))
	w.quiet()
	reads("route through the NIC", scope, true, foreign)
	reads("and now", scope, false, foreign)

	own := Route{Table: MainTable, Dst: pfx("10.0.1.0/24"), Link: in.Index, Proto: testProto}
	h.apply(ops(Add, own)...)
	reads("a route of ours", scope, true, foreign, own) // its event may be still on its way
	w.quiet()
	reads("a full sweep", full, true, foreign, own)
	reads("and now", scope, false, foreign, own)

	h.must(h.conn.setLink(Setting{in.Index, LinkUp, "0"})) // takes the routes without an event of theirs
	h.settle(in.Name, false)
	w.quiet()
	reads("link down", scope, true)
	w.quiet()
	reads("and now", scope, false)

	third := h.plugUp("eth3", 3)
	more := Route{Table: MainTable, Dst: pfx("10.9.0.0/16"), Link: third.Index, Proto: foreignProto}
	h.must(h.conn.setRoute(Add, more))
	reads("another NIC in scope", scope, true, more)
}
