package netcfg_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"enid/metadata"
	"enid/netcfg"
)

// TestPrimaryInDoubt: whatever is not known of the primary ENI, an ENI in its subnet does not
// take over what the host sends from its own address.
func TestPrimaryInDoubt(t *testing.T) {
	nobody := netcfg.ENI{Interface: metadata.Interface{MAC: mac(0)}}
	role := eni(0, subnetP, true, 5)
	role.Primary = metadata.Fact[bool]{}
	role.Addresses = metadata.Fact[[]netip.Addr]{}
	tests := map[string]struct {
		enis   []netcfg.ENI
		spoilt func(*world)
	}{
		"not listed":    {nil, func(*world) {}},
		"only its MAC":  {[]netcfg.ENI{nobody}, func(*world) {}},
		"role unknown":  {[]netcfg.ENI{role}, func(*world) {}},
		"ambiguous":     {[]netcfg.ENI{eni(0, subnetP, true, 5)}, func(w *world) { w.Plug(netcfg.Link{Index: 50, Name: "copy", MAC: mac(0), Up: true}) }},
		"has a master":  {[]netcfg.ENI{eni(0, subnetP, true, 5)}, func(w *world) { w.Links[0].Master = docker0 }},
		"under another": {nil, func(w *world) { w.Links[0].MAC = mac(9) }},
		"on its bridge": {[]netcfg.ENI{eni(0, subnetP, true, 5)}, func(w *world) {
			w.Links[0].Master = docker0
			for i := range w.Addrs {
				w.Addrs[i].Link = docker0
			}
			for i := range w.Routes {
				w.Routes[i].Link = docker0
			}
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.plug(1)
			w.plug(2)
			tt.spoilt(w)
			enis := append(tt.enis, eni(1, subnetP, true, 8, 9), eni(2, subnetP, true, 10))
			bare := w.bare()
			ops, _ := w.plan(enis, true)
			for i, op := range ops {
				if r := w.Apply(context.Background(), ops[i:i+1])[0]; r.Err != nil {
					t.Fatal(r.Err)
				}
				for _, dst := range destinations() {
					src := netip.MustParseAddr("10.0.0.5")
					if dst.Is6() {
						src = six(src)
					}
					if got, want := w.Lookup(packet(src, dst)), bare.Lookup(packet(src, dst)); got != want {
						t.Fatalf("after %s: a packet of the host's from %s to %s goes %+v, without enid %+v", op, src, dst, got, want)
					}
				}
			}
			w.converge(t, enis, true)
		})
	}
}

// TestSharerWithoutSubnet: an ENI in the same subnet of which only the address is known, as JD Cloud's
// metadata leaves it, or whose subnet is a wider one, does not cost the other its way.
func TestSharerWithoutSubnet(t *testing.T) {
	blank, wide := eni(2, subnetA, true, 7), eni(2, subnetA, true, 7)
	blank.Subnets = metadata.Fact[[]netip.Prefix]{}
	wide.Subnets = metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/15"), netip.MustParsePrefix("2001:db8:10::/47")}, "test")
	for name, other := range map[string]netcfg.ENI{"unknown": blank, "wider": wide} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.plug(1)
			w.plug(2)
			w.converge(t, []netcfg.ENI{eni(0, subnetP, true, 5), eni(1, subnetA, true, 5), other}, true)
			w.checkNobodyStrays(t, "converged")
			if way := w.Lookup(packet(netip.MustParseAddr("10.0.1.5"), outside)); way.Link != eth0+1 {
				t.Errorf("10.0.1.5 leaves by NIC %d", way.Link)
			}
		})
	}
}

// TestSubnetsPartlyKnown: an address in none of the subnets that are known keeps to its NIC.
func TestSubnetsPartlyKnown(t *testing.T) {
	w := newWorld()
	w.plug(1)
	e := eni(1, subnetA, true, 5)
	stray := netip.MustParseAddr("10.0.9.6")
	e.Addresses.Value = append(e.Addresses.Value, stray, six(stray))
	e.Subnets.State = metadata.AtLeast
	w.converge(t, []netcfg.ENI{eni(0, subnetP, true, 5), e}, true)
	w.checkNobodyStrays(t, "converged")
	if way := w.Lookup(packet(stray, outside)); way.Link != eth0+1 {
		t.Errorf("%s leaves by NIC %d", stray, way.Link)
	}
}

// TestForeignAddressInSubnet: an address that somebody put on a NIC of his own, or on another
// ENI's NIC, inside an ENI's subnet, is not led out of that ENI.
func TestForeignAddressInSubnet(t *testing.T) {
	for name, nic := range map[string]int{"bridge": docker0, "first ENI": eth0 + 1, "second ENI": eth0 + 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.plug(1)
			w.plug(2)
			for _, p := range []string{"10.0.1.200/24", "2001:db8:10:1::200/64"} {
				w.Addrs = append(w.Addrs, netcfg.Addr{Link: nic, Prefix: netip.MustParsePrefix(p)})
			}
			enis := []netcfg.ENI{eni(0, subnetP, true, 5), eni(1, subnetA, true, 5), eni(2, subnetA, true, 7)}
			bare := w.bare()
			w.converge(t, enis, true)
			for _, dst := range destinations() {
				for _, a := range w.Addrs {
					src := a.Prefix.Addr()
					if src.Is4() != dst.Is4() || !slices.Contains([]string{"10.0.1.200", "2001:db8:10:1::200"}, src.String()) {
						continue
					}
					p := packet(src, dst)
					if way := w.Lookup(p); way.Link != nic && way != bare.Lookup(p) {
						t.Errorf("from %s on NIC %d to %s: leaves by NIC %d", src, nic, dst, way.Link)
					}
				}
			}
		})
	}
}

// TestForeignGroup: an ENI whose NIC is in somebody else's link group keeps to its NIC, also where
// the NIC was given to that group later, and the group stays.
func TestForeignGroup(t *testing.T) {
	for _, later := range []bool{false, true} {
		w := newWorld()
		w.plug(1)
		enis := []netcfg.ENI{eni(0, subnetP, true, 5), eni(1, subnetA, true, 5, 6)}
		if later {
			w.converge(t, enis, true)
		}
		w.set(eth0+1, netcfg.LinkGroup, "7")
		w.converge(t, enis, true)
		w.checkNobodyStrays(t, "in a foreign group")
		for _, dst := range destinations() {
			if src := netip.MustParseAddr("10.0.1.5"); dst.Is4() && w.Lookup(packet(src, dst)).Link == 0 {
				t.Errorf("from %s to %s: no way", src, dst)
			}
		}
		w.converge(t, nil, true)
		if got := w.get(eth0+1, netcfg.LinkGroup); got != "7" {
			t.Errorf("given to group 7 later: %v: it is in group %s", later, got)
		}
	}
}

// TestNarrowedPrimary: narrowed to a secondary address, the primary still gets it.
func TestNarrowedPrimary(t *testing.T) {
	w := newWorld()
	primary := eni(0, subnetP, false, 5, 6)
	primary.Only = []netip.Prefix{netip.MustParsePrefix("10.0.0.6/32")}
	w.converge(t, []netcfg.ENI{primary}, true)
	if !slices.Contains(w.Addrs, netcfg.Addr{Link: eth0, Prefix: netip.MustParsePrefix("10.0.0.6/32")}) {
		t.Errorf("the secondary address is missing: %v", w.Addrs)
	}
}

// TestNothingToConfigure: a NIC that only the slots remember, or of whose ENI no address is known, is
// left as it is.
func TestNothingToConfigure(t *testing.T) {
	blank := netcfg.ENI{Interface: metadata.Interface{MAC: mac(1), Primary: metadata.Is(false, "test")}, Hold: true}
	for name, enis := range map[string][]netcfg.ENI{"remembered": nil, "no address known": {blank}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.plug(1)
			w.slots = netcfg.Slots{mac(1): 1}
			ops, _ := w.plan(enis, false)
			for _, op := range ops {
				if s, ok := op.Object.(netcfg.Setting); ok && s.Link == eth0+1 {
					t.Errorf("changes what nobody asked for: %s", op)
				}
			}
		})
	}
}

// TestIgnoredHasNoSlot: an ENI that is ignored has no slot once nothing of ours is on it, so that a
// restart does not take it for one of which nobody has spoken yet.
func TestIgnoredHasNoSlot(t *testing.T) {
	w := newWorld()
	w.plug(1)
	enis := []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5)}
	w.converge(t, enis, true)
	enis[1].Ignore = true
	w.converge(t, enis, true)
	if slot, ok := w.slots[mac(1)]; ok {
		t.Errorf("it has slot %d", slot)
	}
	if got := w.get(eth0+1, netcfg.LinkUp); got != "0" {
		t.Errorf("it is up: %s", got)
	}
}

// TestNoIPv6: on a NIC or a host without IPv6, IPv4 works.
func TestNoIPv6(t *testing.T) {
	w := newWorld()
	w.plug(1)
	for i := range w.Links {
		w.Links[i].NoIPv6 = true
	}
	ops, target := w.plan([]netcfg.ENI{eni(0, subnetP, true, 5, 6), eni(1, subnetA, true, 5, 6)}, true)
	added := 0
	for _, op := range ops {
		switch o := op.Object.(type) {
		case netcfg.Rule:
			if o.Family == netcfg.V6 {
				t.Errorf("%s", op)
			}
		case netcfg.Route:
			if o.Dst.Addr().Is6() {
				t.Errorf("%s", op)
			}
		case netcfg.Addr:
			added++
			if o.Prefix.Addr().Is6() {
				t.Errorf("%s", op)
			}
		}
	}
	if added != 3 {
		t.Errorf("%d IPv4 addresses are added, want 3", added)
	}
	for _, e := range target.ENIs {
		if e.Phase != netcfg.Ready || !slices.ContainsFunc(e.Problems, func(p metadata.Problem) bool { return p.Reason == "ipv6-off" }) {
			t.Errorf("%s: %s, %v", e.Link.Name, e.Phase, e.Problems)
		}
	}
}

// TestSlotsCheck: slots that two ENIs share, or that do not exist, would lead packets to another's NIC.
func TestSlotsCheck(t *testing.T) {
	for name, s := range map[string]netcfg.Slots{
		"shared": {mac(1): 3, mac(2): 3}, "negative": {mac(1): -1}, "too large": {mac(1): netcfg.MaxSlots}, "the refuse table's": {mac(1): 900},
	} {
		if s.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := (netcfg.Slots{mac(0): 0, mac(1): 1, mac(2): netcfg.MaxSlots - 1}).Check(); err != nil {
		t.Error(err)
	}
}
