package netcfg

import (
	"fmt"
	"testing"
)

// fleet is what a host with 7 ENIs of 21 addresses each has: JD Cloud's limit, one ENI a subnet.
func fleet(h *host) (all State) {
	add := func(r Rule) {
		r.Family, r.Proto = V4, testProto
		all.Rules = append(all.Rules, r)
	}
	add(Rule{Priority: 32768, Unreachable: true})
	for slot := 1; slot <= 7; slot++ {
		name := fmt.Sprintf("eth%d", slot)
		nic := h.plug(name, byte(slot)).Index
		table, block := 20000+slot, 33000+10*slot
		subnet := pfx(fmt.Sprintf("10.0.%d.0/24", slot))
		for k, v := range map[Knob]string{LinkGroup: "225", LinkMTU: "1450", ARPIgnore: "1", ARPAnnounce: "2", AcceptRA: "0", LinkUp: "1"} {
			all.Settings = append(all.Settings, Setting{nic, k, v})
		}
		all.Routes = append(all.Routes,
			Route{Table: table, Dst: subnet, Link: nic, Proto: testProto},
			Route{Table: table, Dst: pfx("0.0.0.0/0"), Via: subnet.Addr().Next(), Link: nic, Proto: testProto})
		add(Rule{Priority: block + 2, Unreachable: true})
		add(Rule{Priority: block + 1, Table: table})
		add(Rule{Priority: block, Table: MainTable, SuppressPrefix: 1, SuppressGroup: 225})
		add(Rule{Priority: 20100, From: subnet, IIF: "lo", Goto: block})
		add(Rule{Priority: 20300, OIF: name, Goto: block})
		all.Addrs = append(all.Addrs, Addr{nic, pfx(fmt.Sprintf("10.0.%d.4/24", slot))})
		for i := range 20 {
			all.Addrs = append(all.Addrs, Addr{nic, pfx(fmt.Sprintf("10.0.%d.%d/32", slot, 5+i))})
		}
	}
	return all
}

func fleetTables() (tables []int) {
	for slot := range 8 {
		tables = append(tables, 20000+slot)
	}
	return append(tables, 20900)
}

// BenchmarkApply is the cost of writing a whole host from nothing, and of taking it down again.
func BenchmarkApply(b *testing.B) {
	h := newHost(b)
	all := fleet(h)
	add, del := all.addOps(), all.delOps()
	b.ReportAllocs()
	for b.Loop() {
		h.apply(add...)
		b.StopTimer()
		h.apply(del...)
		b.StartTimer()
	}
	b.ReportMetric(float64(len(add)), "objects/op")
}

// BenchmarkObserve is the kernel's part of a pass that finds nothing to do.
func BenchmarkObserve(b *testing.B) {
	for _, routes := range []int{0, 200_000} {
		b.Run(fmt.Sprintf("foreign=%d", routes), func(b *testing.B) {
			h := newHost(b)
			h.apply(fleet(h).addOps()...)
			other := h.plugUp("eth9", 9)
			delete(h.macs, other.MAC)
			if routes > 0 {
				h.flood(other.Index, routes)
			}
			h.watch().quiet()
			h.see(h.scope(fleetTables()...))
			reads := h.mainReads
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Observe(b.Context(), h.scope(fleetTables()...)); err != nil {
					b.Fatal(err)
				}
			}
			if h.mainReads != reads {
				b.Errorf("main was read %d times more", h.mainReads-reads)
			}
		})
	}
}

// BenchmarkObserveFull is the slow resync.
func BenchmarkObserveFull(b *testing.B) {
	h := newHost(b)
	h.apply(fleet(h).addOps()...)
	other := h.plugUp("eth9", 9)
	delete(h.macs, other.MAC)
	h.flood(other.Index, 200_000)
	s := h.scope(fleetTables()...)
	s.Full = true
	for b.Loop() {
		if _, err := h.Observe(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
