package netcfg_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"enid/metadata"
	"enid/netcfg"
	"enid/test/kernel"
)

// drawAny draws ENIs with everything that the metadata and the configuration can say of them, also what
// makes no sense together. A new one of a MAC may be in another subnet than before.
func drawAny(t *rapid.T, label string) []netcfg.ENI {
	enis := drawENIs(t, label)
	if rapid.IntRange(0, 5).Draw(t, label+" primary not listed") == 0 {
		enis = enis[1:]
	}
	for i := range enis {
		e, last := &enis[i], int(enis[i].MAC[5])
		flag := func(what string) bool {
			return rapid.IntRange(0, 4).Draw(t, fmt.Sprintf("%s eni %d %s", label, last, what)) == 0
		}
		e.Hold, e.Ignore, e.SubnetRoute = flag("held"), flag("ignored"), flag("subnet route")
		if flag("prefix") {
			e.Prefixes = metadata.Is([]netip.Prefix{prefixOf(last), sixNet(prefixOf(last))}, "test")
			e.Prefixes.Value[1] = netip.PrefixFrom(six(prefixOf(last).Addr()), 124)
		}
		if flag("narrowed") {
			e.Only = []netip.Prefix{netip.PrefixFrom(e.Addresses.Value[len(e.Addresses.Value)-1], 32)}
		}
		if flag("no gateway") {
			e.Gateways = metadata.Fact[[]netip.Addr]{}
		}
		if flag("no subnet") {
			e.Subnets = metadata.Fact[[]netip.Prefix]{}
		}
		if flag("role unknown") {
			e.Primary = metadata.Fact[bool]{}
		}
	}
	return enis
}

// prefixOf is the delegated prefix of an ENI, in a subnet that may be another's.
func prefixOf(last int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(96 + 16*last)}), 28)
}

// disturb is what happens to a host without enid: NICs come and go, others add and remove their own
// things, and ours. It reports whether something of ours was damaged.
func (w *world) disturb(t *rapid.T, label string) (damaged bool) {
	for i := 1; i <= 4; i++ {
		nic := eth0 + i
		theirs := netcfg.Addr{Link: nic, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 3), byte(200 + i)}), 24)}
		static := netcfg.Route{Table: netcfg.MainTable, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(i), 0}), 24), Link: nic, Proto: 4}
		switch rapid.IntRange(0, 9).Draw(t, fmt.Sprintf("%s NIC %d", label, i)) {
		case 0:
			w.Unplug(nic)
		case 1, 2, 3:
			w.plug(i)
		case 4:
			if w.plug(i); !slices.Contains(w.Addrs, theirs) {
				w.Addrs = append(w.Addrs, theirs)
			}
		case 5:
			if w.plug(i); w.get(nic, netcfg.LinkUp) == "1" && !slices.Contains(w.Routes, static) {
				w.Routes = append(w.Routes, static)
			}
		case 6:
			if w.plug(i); !slices.Contains([]string{"225"}, w.get(nic, netcfg.LinkGroup)) {
				w.set(nic, netcfg.LinkGroup, rapid.SampledFrom([]string{"0", "7"}).Draw(t, "group"))
			}
		}
	}
	if damaged = rapid.IntRange(0, 3).Draw(t, label+" damage") == 0; damaged {
		survives := func() bool { return rapid.IntRange(0, 3).Draw(t, "survives") > 0 }
		w.Rules = keepRules(w.Rules, func(r netcfg.Rule) bool { return r.Proto != proto || survives() })
		w.Routes = slices.DeleteFunc(w.Routes, func(r netcfg.Route) bool { return r.Proto == proto && !survives() })
	}
	return damaged
}

// withoutStatic leaves out IPv4 routes through ENIs' NICs: the kernel takes them away with a NIC's last
// address, whoever's they are.
func withoutStatic(s netcfg.State) netcfg.State {
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r netcfg.Route) bool { return r.Link > eth0 && r.Link < docker0 })
	return s
}

// ours are the addresses that are enid's.
func (w *world) ours() []netcfg.Addr {
	o, _ := w.Observe(context.Background(), netcfg.Scope{MACs: allMACs()})
	return o.Own.Addrs
}

// checkHost: no operation moves what the host sends unbound or forwards.
func (w *world) checkHost(t *rapid.T, when string) {
	bare := w.bare()
	for _, dst := range destinations() {
		ps := []kernel.Packet{{Dst: dst}}
		if dst.Is4() {
			ps = append(ps, kernel.Packet{Dst: dst, Src: podIP, IIF: "docker0"})
		}
		for _, p := range ps {
			if got, want := w.Lookup(p), bare.Lookup(p); got != want {
				t.Fatalf("%s: the host's own packet %+v goes %+v, without enid %+v", when, p, got, want)
			}
		}
	}
}

// checkForeign: what the host sends from an address that is not enid's goes its way, or out of the very
// NIC that the address is on.
func (w *world) checkForeign(t *rapid.T, when string) {
	bare, without, ours := w.bare(), w.bare(), w.ours() // with our subnet_route in main, and without
	without.Routes = slices.DeleteFunc(slices.Clone(w.Routes), func(r netcfg.Route) bool { return r.Proto == proto })
	for _, dst := range destinations() {
		for _, a := range w.Addrs {
			if a.Prefix.Addr().Is4() != dst.Is4() || slices.Contains(ours, a) {
				continue
			}
			p := packet(a.Prefix.Addr(), dst)
			if got := w.Lookup(p); got.Link != 0 && got.Link != a.Link && got != bare.Lookup(p) && got != without.Lookup(p) {
				t.Fatalf("%s: a packet from the foreign %s on NIC %d to %s goes %+v, without enid %+v", when, a.Prefix, a.Link, dst, got, bare.Lookup(p))
			}
		}
	}
}

// checkOurs: a packet from an address of ours leaves by its NIC, by one that is no ENI's, or not at all.
// What is about to be removed is left out: TestChangeProperty looks after that.
func (w *world) checkOurs(t *rapid.T, when string, todo []netcfg.Op) {
	going := func(a netcfg.Addr) bool {
		return slices.ContainsFunc(todo, func(op netcfg.Op) bool { return op.Verb == netcfg.Del && op.Object == netcfg.Object(a) })
	}
	for _, dst := range destinations() {
		for _, a := range w.ours() {
			if a.Prefix.Addr().Is4() != dst.Is4() || going(a) {
				continue
			}
			way := w.Lookup(packet(a.Prefix.Addr(), dst))
			if way.Link != 0 && way.Link != a.Link && w.get(way.Link, netcfg.LinkGroup) == "225" {
				t.Fatalf("%s: a packet from %s on NIC %d to %s leaves by NIC %d", when, a.Prefix, a.Link, dst, way.Link)
			}
		}
	}
}

// TestAnyChangeProperty takes a host through changes of the metadata, of the configuration, of its NICs
// and of other people's things, in any order and with crashes between, and looks after every operation.
func TestAnyChangeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, damaged := newWorld(), false
		for step := range rapid.IntRange(1, 3).Draw(t, "steps") {
			label := fmt.Sprintf("step %d", step)
			damaged = w.disturb(t, label) || damaged
			enis, settled := drawAny(t, label), rapid.Bool().Draw(t, label+" settled")
			foreign := w.foreign()
			ops, _ := w.plan(enis, settled)
			stop := len(ops)
			if rapid.IntRange(0, 3).Draw(t, label+" crash") == 0 {
				stop = rapid.IntRange(0, len(ops)).Draw(t, label+" crash after")
			}
			for i, op := range ops[:stop] {
				if r := w.Apply(context.Background(), ops[i:i+1])[0]; r.Err != nil {
					t.Fatalf("%v in\n%s", r.Err, list(ops))
				}
				w.checkHost(t, "after "+op.String())
				// A route of ours in main serves everybody, up to the moment when it is taken back.
				if !damaged && !slices.ContainsFunc(w.Routes, func(r netcfg.Route) bool { return r.Proto == proto && r.Table == netcfg.MainTable }) {
					w.checkOurs(t, "after "+op.String()+" of\n"+list(ops), ops[i:])
				}
			}
			if stop == len(ops) {
				// A NIC's last IPv4 address takes its routes with it: seen at the second look.
				again, _ := w.plan(enis, settled)
				w.Apply(context.Background(), again)
				if rest, _ := w.plan(enis, settled); len(rest) > 0 {
					t.Fatalf("after passes of\n%sand\n%sthere is more to do:\n%s", list(ops), list(again), list(rest))
				}
				when := fmt.Sprintf("converged on %+v, settled %v, by\n%s", enis, settled, list(append(ops, again...)))
				doubt := !settled || slices.ContainsFunc(enis, func(e netcfg.ENI) bool { return e.Hold })
				if !doubt { // what is held is as it was when somebody else's address came
					w.checkForeign(t, when)
				}
				if !doubt || !damaged { // what is held and was damaged cannot be known again
					w.checkOurs(t, when, nil)
				}
			}
			if diff := cmp.Diff(withoutStatic(foreign), withoutStatic(w.foreign()), compare); diff != "" {
				t.Fatalf("foreign objects changed by\n%s%s", list(ops), diff)
			}
		}
		for range 3 {
			ops, _ := w.plan(nil, true)
			w.Apply(context.Background(), ops)
		}
		seen, _ := w.Observe(context.Background(), netcfg.Scope{MACs: allMACs()})
		if diff := cmp.Diff(netcfg.State{}, seen.Own, compare); diff != "" {
			t.Fatalf("orphans:\n%s", diff)
		}
	})
}
