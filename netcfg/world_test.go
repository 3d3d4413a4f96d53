package netcfg_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"enid/metadata"
	"enid/netcfg"
	"enid/test/kernel"
)

// world is a host in memory with a primary ENI, a container bridge and foreign objects at
// the very numbers of ours.
type world struct {
	*kernel.Kernel
	slots      netcfg.Slots
	returnPath netcfg.Switch
	policies   []netcfg.Policy
}

const (
	eth0, docker0 = 2, 100
	proto         = 225
)

var (
	subnetP = netip.MustParsePrefix("10.0.0.0/24") // the primary's
	subnetA = netip.MustParsePrefix("10.0.1.0/24")
	subnetB = netip.MustParsePrefix("10.0.2.0/24")
	outside = netip.MustParseAddr("198.51.100.7")
	podIP   = netip.MustParseAddr("172.17.0.2")
)

// six is the IPv6 counterpart of an IPv4 subnet or address of this world.
func six(a netip.Addr) netip.Addr {
	b := a.As4()
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d:%d::%x", b[0], b[2], b[3]))
}

func sixNet(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(six(p.Addr()), 64) }

func mac(i int) metadata.MAC { return metadata.MAC{2, 0, 0, 0, 0, byte(i)} }

func newWorld() *world {
	k := kernel.New(proto)
	k.Plug(netcfg.Link{Index: eth0, Name: "eth0", MAC: mac(0), Up: true, MTU: 1500})
	k.Plug(netcfg.Link{Index: docker0, Name: "docker0", MAC: mac(100), Kind: "bridge", Up: true})
	for _, f := range []func(netip.Addr) netip.Addr{func(a netip.Addr) netip.Addr { return a }, six} {
		bits, zero := 24, "0.0.0.0/0"
		if f(subnetP.Addr()).Is6() {
			bits, zero = 64, "::/0"
		}
		gw := f(subnetP.Addr().Next())
		k.Addrs = append(k.Addrs, netcfg.Addr{Link: eth0, Prefix: netip.PrefixFrom(f(netip.MustParseAddr("10.0.0.5")), bits)})
		k.Routes = append(k.Routes,
			netcfg.Route{Table: netcfg.MainTable, Dst: netip.MustParsePrefix(zero), Via: gw, Link: eth0, Proto: 16, Metric: 100},
			netcfg.Route{Table: netcfg.MainTable, Dst: netip.PrefixFrom(f(subnetP.Addr()), bits), Link: eth0, Proto: 2},
			netcfg.Route{Table: netcfg.MainTable, Dst: netip.PrefixFrom(f(netip.MustParseAddr("172.17.0.0")), bits), Link: docker0, Proto: 2},
			netcfg.Route{Table: 20001, Dst: netip.MustParsePrefix("203.0.113.0/24"), Link: docker0, Proto: 4})
	}
	k.InsertRule(netcfg.Rule{Family: netcfg.V4, Priority: 20100, From: netip.MustParsePrefix("203.0.113.0/24"), Table: 7, Proto: 4})
	k.InsertRule(netcfg.Rule{Family: netcfg.V4, Priority: 33011, From: netip.MustParsePrefix("203.0.113.0/24"), Table: 20001, Proto: 3})
	return &world{Kernel: k, slots: netcfg.Slots{}}
}

// foreign is everything that is not enid's, for comparing before and after.
func (w *world) foreign() netcfg.State {
	var s netcfg.State
	o, _ := w.Observe(context.Background(), netcfg.Scope{MACs: allMACs()})
	for _, a := range w.Addrs {
		if !slices.Contains(o.Own.Addrs, a) {
			s.Addrs = append(s.Addrs, a)
		}
	}
	for _, r := range w.Routes {
		if r.Proto != proto {
			s.Routes = append(s.Routes, r)
		}
	}
	for _, r := range w.Rules {
		if r.Proto != proto {
			s.Rules = append(s.Rules, r)
		}
	}
	return s
}

func allMACs() map[metadata.MAC]bool {
	m := map[metadata.MAC]bool{}
	for i := range 10 {
		m[mac(i)] = true
	}
	return m
}

// plan looks at the world and plans for these ENIs.
func (w *world) plan(enis []netcfg.ENI, settled bool) ([]netcfg.Op, netcfg.Target) {
	n := netcfg.DefaultNumbers
	seen, _ := w.Observe(context.Background(), netcfg.Scope{MACs: allMACs(), Protos: []int{proto}, Chains: true, Numbers: n})
	w.slots, _ = w.slots.Assign(enis, settled, seen, n)
	target := netcfg.Desired(netcfg.Input{Numbers: n, ENIs: enis, Slots: w.slots, Settled: settled, ReturnPath: w.returnPath, Policies: w.policies, Seen: seen})
	return netcfg.Plan(seen.Own, target), target
}

// converge applies plans until there is nothing to do, which must be the second time.
func (w *world) converge(t interface{ Fatalf(string, ...any) }, enis []netcfg.ENI, settled bool) netcfg.Target {
	ops, _ := w.plan(enis, settled)
	for _, r := range w.Apply(context.Background(), ops) {
		if r.Err != nil {
			t.Fatalf("%s: %v", r.Op, r.Err)
		}
	}
	rest, target := w.plan(enis, settled)
	if len(rest) > 0 {
		t.Fatalf("after a pass there is more to do:\n%s", list(rest))
	}
	return target
}

func list(ops []netcfg.Op) string {
	s := ""
	for _, op := range ops {
		s += op.String() + "\n"
	}
	return s
}

// eni is a whole, known ENI with addresses in a subnet, of both families if dual.
func eni(i int, subnet netip.Prefix, dual bool, hosts ...int) netcfg.ENI {
	var addrs []netip.Addr
	subnets, gateways := []netip.Prefix{subnet}, []netip.Addr{subnet.Addr().Next()}
	for _, h := range hosts {
		b := subnet.Addr().As4()
		b[3] = byte(h)
		addrs = append(addrs, netip.AddrFrom4(b))
	}
	if dual {
		for _, a := range addrs[:len(hosts)] {
			addrs = append(addrs, six(a))
		}
		subnets = append(subnets, sixNet(subnet))
		gateways = append(gateways, six(subnet.Addr().Next()))
	}
	return netcfg.ENI{Interface: metadata.Interface{
		MAC: mac(i), ID: metadata.Is(fmt.Sprintf("port-%d", i), "test"), Primary: metadata.Is(i == 0, "test"),
		Subnets: metadata.Is(subnets, "test"), Gateways: metadata.Is(gateways, "test"),
		Addresses: metadata.Is(addrs, "test"), Prefixes: metadata.IsNone[[]netip.Prefix]("test"),
	}}
}

func (w *world) plug(i int) {
	if !slices.ContainsFunc(w.Links, func(l netcfg.Link) bool { return l.MAC == mac(i) }) {
		w.Plug(netcfg.Link{Index: eth0 + i, Name: fmt.Sprintf("eth%d", i), MAC: mac(i)})
	}
}

// destinations of both families that a packet may go to.
func destinations() []netip.Addr {
	var d []netip.Addr
	for _, s := range []netip.Prefix{subnetP, subnetA, subnetB} {
		b := s.Addr().As4()
		b[3] = 77
		d = append(d, netip.AddrFrom4(b))
	}
	d = append(d, outside, podIP)
	for _, a := range d[:len(d):len(d)] {
		d = append(d, six(a))
	}
	return d
}

// ownersOf maps each address that the ENIs have to its NIC.
func ownersOf(enis []netcfg.ENI) map[netip.Addr]int {
	owners := map[netip.Addr]int{}
	for _, e := range enis {
		for _, a := range e.Addresses.Value {
			owners[a] = eth0 + int(e.MAC[5])
		}
	}
	return owners
}

// checkNobodyStrays is the heart of the routing contract, at one instant: a packet from an address that is
// on a NIC leaves by that NIC, by the container bridge, or not at all; and the host's
// own and others' forwarded traffic follows main.
func (w *world) checkNobodyStrays(t interface{ Fatalf(string, ...any) }, when string) {
	bare := w.bare()
	for _, dst := range destinations() {
		pod := dst == podIP || dst == six(podIP)
		for _, a := range w.Addrs {
			if src := a.Prefix.Addr(); netcfg.FamilyOf(src) == netcfg.FamilyOf(dst) {
				way := w.Lookup(kernel.Packet{Src: src, Dst: dst})
				if way.Link != 0 && way.Link != a.Link && (!pod || way.Link != docker0) {
					t.Fatalf("%s: a packet from %s (on NIC %d) to %s leaves by NIC %d", when, src, a.Link, dst, way.Link)
				}
			}
		}
		for _, p := range []kernel.Packet{{Dst: dst}, {Dst: dst, Src: podIP, IIF: "docker0"}, {Dst: dst, Src: six(podIP), IIF: "docker0"}} {
			if p.Src.IsValid() && netcfg.FamilyOf(p.Src) != netcfg.FamilyOf(dst) {
				continue
			}
			if got, want := w.Lookup(p), bare.Lookup(p); got != want {
				t.Fatalf("%s: the host's own packet %+v goes %+v, without enid %+v", when, p, got, want)
			}
		}
	}
}

// bare is this host without our rules.
func (w *world) bare() *kernel.Kernel {
	return &kernel.Kernel{Links: w.Links, Routes: w.Routes, Settings: w.Settings, Proto: proto,
		Rules: keepRules(w.Rules, func(r netcfg.Rule) bool { return r.Proto != proto })}
}

func keepRules(rules []netcfg.Rule, f func(netcfg.Rule) bool) []netcfg.Rule {
	var kept []netcfg.Rule
	for _, r := range rules {
		if f(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// drawENIs draws a set of attached ENIs: the primary and up to four others, sharing subnets
// with each other and with the primary in all ways.
func drawENIs(t *rapid.T, label string) []netcfg.ENI {
	dual := rapid.Bool().Draw(t, label+" dual")
	hosts := []int{5}
	if rapid.Bool().Draw(t, label+" primary secondary address") {
		hosts = append(hosts, 6)
	}
	enis := []netcfg.ENI{eni(0, subnetP, dual, hosts...)}
	for i := 1; i <= 4; i++ {
		name := fmt.Sprintf("%s eni %d", label, i)
		subnet := rapid.SampledFrom([]netip.Prefix{{}, subnetA, subnetA, subnetB, subnetP}).Draw(t, name)
		if !subnet.IsValid() {
			continue
		}
		n := rapid.IntRange(1, 3).Draw(t, name+" addresses")
		var hs []int
		for j := range n {
			hs = append(hs, 10*i+j)
		}
		enis = append(enis, eni(i, subnet, dual, hs...))
	}
	return enis
}

func TestWorldIsSane(t *testing.T) {
	w := newWorld()
	if way := w.Lookup(kernel.Packet{Src: netip.MustParseAddr("10.0.1.5"), Dst: outside}); way.Link != eth0 {
		t.Fatalf("without rules an ENI's address leaves by the primary, got %+v", way)
	}
}

func packet(src, dst netip.Addr) kernel.Packet { return kernel.Packet{Src: src, Dst: dst} }

// set and get are what somebody at a terminal does to a NIC.
func (w *world) set(nic int, knob netcfg.Knob, value string) {
	for i, s := range w.Settings {
		if s.Link == nic && s.Knob == knob {
			w.Settings[i].Value = value
		}
	}
	for i, l := range w.Links {
		if n, err := strconv.ParseUint(value, 10, 32); l.Index == nic && knob == netcfg.LinkGroup && err == nil {
			w.Links[i].Group = uint32(n)
		}
	}
}

func (w *world) get(nic int, knob netcfg.Knob) string {
	for _, s := range w.Settings {
		if s.Link == nic && s.Knob == knob {
			return s.Value
		}
	}
	return ""
}
