package netcfg_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"enid/metadata"
	"enid/netcfg"
	"enid/test/kernel"
)

// advertised is main's default by a router's word, on a NIC.
func advertised(link int) netcfg.Route {
	return netcfg.Route{Table: netcfg.MainTable, Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Link: link, Proto: 9, Metric: 1024}
}

// byRA is a world whose primary has its IPv6 default from a router advertisement.
func byRA() *world {
	w := newWorld()
	w.Routes = slices.DeleteFunc(w.Routes, func(r netcfg.Route) bool { return r.Dst.Bits() == 0 && r.Dst.Addr().Is6() })
	w.Routes = append(w.Routes, advertised(eth0))
	return w
}

func TestPrimaryKeepsAdvertisements(t *testing.T) {
	both, four := eni(0, subnetP, true, 5), eni(0, subnetP, false, 5)
	for name, tt := range map[string]struct {
		primary netcfg.ENI
		found   string
		static  bool // the IPv6 default is somebody's own
		want    string
	}{
		"by the kernel":         {both, "1", false, "2"},
		"static":                {both, "1", true, "2"},
		"off":                   {both, "0", false, "0"},
		"somebody was first":    {both, "2", false, "2"},
		"unknown to the cloud":  {four, "1", false, "2"},
		"IPv4 alone":            {four, "1", true, "1"},
		"a value of no meaning": {both, "7", false, "7"},
	} {
		t.Run(name, func(t *testing.T) {
			w := byRA()
			if tt.static {
				w = newWorld()
			}
			w.set(eth0, netcfg.AcceptRA, tt.found)
			w.converge(t, []netcfg.ENI{tt.primary}, true)
			if got := w.get(eth0, netcfg.AcceptRA); got != tt.want {
				t.Errorf("accept_ra is %s, want %s", got, tt.want)
			}
			before := len(w.Routes)
			w.converge(t, nil, true) // as cleanup does
			if got := w.get(eth0, netcfg.AcceptRA); got != tt.found || len(w.Routes) != before {
				t.Errorf("put back: accept_ra is %s, want %s", got, tt.found)
			}
		})
	}
}

// TestPrimaryLostAdvertisements: only where the host forwards, and nothing else leads out, is the router to be asked.
func TestPrimaryLostAdvertisements(t *testing.T) {
	for name, tt := range map[string]struct {
		forwards, static, kept bool
		accept                 string
		want                   bool
	}{
		"lost":           {forwards: true, accept: "1", want: true},
		"there":          {forwards: true, accept: "1", kept: true},
		"static":         {forwards: true, accept: "1", static: true},
		"not forwarding": {accept: "1"},
		"off":            {forwards: true, accept: "0"},
	} {
		w := newWorld()
		if !tt.static {
			w = byRA()
		}
		if !tt.kept {
			w.Routes = slices.DeleteFunc(w.Routes, func(r netcfg.Route) bool { return r == advertised(eth0) })
		}
		w.set(eth0, netcfg.AcceptRA, tt.accept)
		w.Forwards = map[netcfg.Family]bool{netcfg.V6: tt.forwards}
		target := w.converge(t, []netcfg.ENI{eni(0, subnetP, true, 5)}, true)
		if got := target.ENIs[0].LostRA; got != tt.want {
			t.Errorf("%s: lost is %v", name, got)
		}
	}
}

// TestSecondaryIsPurged: the kernel's default by a secondary ENI goes, after the setting that keeps it from coming
// back; a network manager's stays, and is told.
func TestSecondaryIsPurged(t *testing.T) {
	for _, found := range []string{"1", "2", "0"} {
		w := byRA()
		w.plug(1)
		w.set(eth0+1, netcfg.LinkUp, "1")
		w.set(eth0+1, netcfg.AcceptRA, found)
		w.Routes = append(w.Routes, advertised(eth0+1))
		w.Forwards = map[netcfg.Family]bool{netcfg.V6: true}
		enis := []netcfg.ENI{eni(0, subnetP, true, 5), eni(1, subnetA, true, 5)}
		ops, _ := w.plan(enis, true)
		accept, purge := -1, -1
		for i, op := range ops {
			if strings.Contains(op.String(), "eth1.accept_ra=0") {
				accept = i
			}
			if op.String() == "ip -6 route del default via fe80::1 dev eth1 onlink metric 1024 proto 9" {
				purge = i
			}
			if r := w.Apply(context.Background(), ops[i:i+1])[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
			w.checkNobodyStraysFrom(t, op.String())
		}
		target := w.converge(t, enis, true)
		told := slices.ContainsFunc(target.ENIs[1].Problems, func(p metadata.Problem) bool { return p.Reason == "foreign-default" })
		kept := slices.Contains(w.Routes, advertised(eth0+1))
		if found == "0" && (!told || !kept || purge >= 0) || found != "0" && (told || kept || accept < 0 || purge < accept) {
			t.Errorf("accept_ra %s: told %v, kept %v, operations %d, then %d", found, told, kept, accept, purge)
		}
		if !slices.Contains(w.Routes, advertised(eth0)) || target.ENIs[1].Phase != netcfg.Ready {
			t.Errorf("the primary's is gone, or the phase is %s", target.ENIs[1].Phase)
		}
		// It comes back while enid does not look: what was found before tells whose it is.
		if found != "0" {
			w.Routes = append(w.Routes, advertised(eth0+1))
			w.converge(t, enis, true)
			if slices.Contains(w.Routes, advertised(eth0+1)) {
				t.Error("it is not removed the second time")
			}
		}
	}
}

// checkNobodyStraysFrom: no packet of a secondary ENI's address leaves by another NIC once its rules stand.
func (w *world) checkNobodyStraysFrom(t *testing.T, when string) {
	t.Helper()
	for _, a := range w.Addrs {
		if src := a.Prefix.Addr(); src.Is6() && a.Link != eth0 {
			if way := w.Lookup(packet(src, six(outside))); way.Link != 0 && way.Link != a.Link {
				t.Errorf("after %s: a packet from %s leaves by NIC %d", when, src, way.Link)
			}
		}
	}
}

// TestPrimaryGatewayByAdvertisement: the way to the other ENIs' subnets is the router that main's default names.
func TestPrimaryGatewayByAdvertisement(t *testing.T) {
	w := byRA()
	w.plug(1)
	primary := eni(0, subnetP, true, 5)
	primary.Gateways = metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr("10.0.0.1")}, "test")
	w.converge(t, []netcfg.ENI{primary, eni(1, subnetA, true, 5)}, true)
	way := w.Lookup(kernel.Packet{Src: six(netip.MustParseAddr("10.0.0.5")), Dst: six(netip.MustParseAddr("10.0.1.77"))})
	if way.Link != eth0 || way.Via != netip.MustParseAddr("fe80::1") {
		t.Errorf("the way is %+v", way)
	}
}

// TestMarkedAddresses: what the kernel says beside an address makes none of ours missing or too many; one that it
// made itself is never the ENI's; one that it does not use is told.
func TestMarkedAddresses(t *testing.T) {
	w := newWorld()
	w.plug(1)
	w.plug(2)
	enis := []netcfg.ENI{eni(0, subnetP, true, 5), eni(1, subnetA, true, 5), eni(2, subnetA, true, 6)}
	w.converge(t, enis, true)
	a6 := netcfg.Addr{Link: eth0 + 1, Prefix: netip.PrefixFrom(six(netip.MustParseAddr("10.0.1.5")), 64)}
	slaac := netcfg.Addr{Link: eth0 + 2, Prefix: netip.PrefixFrom(netip.AddrFrom16(within(sixNet(subnetA), 0x52)), 64)}
	temporary := netcfg.Addr{Link: eth0 + 2, Prefix: netip.PrefixFrom(netip.AddrFrom16(within(sixNet(subnetA), 0x53)), 64)}
	w.Addrs = append(w.Addrs, slaac, temporary)
	w.Marks = map[netcfg.Addr]netcfg.Mark{a6: netcfg.Duplicate, slaac: netcfg.Autoconfigured, temporary: netcfg.Temporary}
	before := slices.Clone(w.Addrs)
	target := w.converge(t, enis, true)
	if !slices.Equal(before, w.Addrs) {
		t.Errorf("the addresses are %v, were %v", w.Addrs, before)
	}
	for i, o := range target.ENIs {
		told := slices.ContainsFunc(o.Problems, func(p metadata.Problem) bool { return p.Reason == "address-duplicate" })
		if told != (i == 1) || slices.Contains(o.Addrs, slaac.Prefix.Addr()) || slices.Contains(o.Addrs, temporary.Prefix.Addr()) {
			t.Errorf("ENI %d: %+v", i, o)
		}
	}
	for _, a := range []netcfg.Addr{slaac, temporary} { // they share the subnet with an ENI of a lower slot
		if way := w.Lookup(packet(a.Prefix.Addr(), six(outside))); way.Link != a.Link {
			t.Errorf("a packet from %s leaves by NIC %d", a.Prefix, way.Link)
		}
	}
}

// within is an address of an IPv6 prefix.
func within(p netip.Prefix, last byte) [16]byte {
	b := p.Addr().As16()
	b[8], b[15] = 0xff, last
	return b
}

// TestAutoconfiguredIsNotThePrimarys: where nobody says which IPv6 address the primary has, it is not the one that the
// kernel made up.
func TestAutoconfiguredIsNotThePrimarys(t *testing.T) {
	w := newWorld()
	six5 := netcfg.Addr{Link: eth0, Prefix: netip.PrefixFrom(six(netip.MustParseAddr("10.0.0.5")), 64)}
	primary := eni(0, subnetP, false, 5)
	primary.Addresses = metadata.HasAtLeast(primary.Addresses.Value, "test")
	for mark, want := range map[netcfg.Mark]int{0: 2, netcfg.Autoconfigured: 1} {
		w.Marks = map[netcfg.Addr]netcfg.Mark{six5: mark}
		if target := w.converge(t, []netcfg.ENI{primary}, true); len(target.ENIs[0].Addrs) != want {
			t.Errorf("mark %d: the addresses are %v", mark, target.ENIs[0].Addrs)
		}
	}
}
