package netcfg_test

import (
	"net/netip"
	"slices"
	"testing"

	"enid/metadata"
	"enid/netcfg"
)

// TestUpWithoutSubnet: the NIC of an ENI of which only the address is known comes up, so that its network can be
// asked by DHCP, and gets nothing else that could send a packet. It is ours to set down again, and stays as it is
// when the subnet is known.
func TestUpWithoutSubnet(t *testing.T) {
	w := newWorld()
	w.plug(1)
	blank := eni(1, subnetA, true, 5)
	blank.Subnets, blank.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
	primary := eni(0, subnetP, true, 5)
	target := w.converge(t, []netcfg.ENI{primary, blank}, true)
	if o := target.ENIs[1]; o.Phase != netcfg.Incomplete || !o.Link.Up || w.get(eth0+1, netcfg.LinkUp) != "1" {
		t.Errorf("the ENI is %+v, its NIC's link %s", o, w.get(eth0+1, netcfg.LinkUp))
	}
	if w.get(eth0+1, netcfg.AcceptRA) != "0" {
		t.Error("its NIC takes router advertisements")
	}
	on := func(a netcfg.Addr) bool { return a.Link == eth0+1 }
	by := func(r netcfg.Route) bool { return r.Link == eth0+1 }
	if slices.ContainsFunc(w.Addrs, on) || slices.ContainsFunc(w.Routes, by) {
		t.Error("its NIC has addresses or routes")
	}
	w.checkNobodyStrays(t, "incomplete")

	w.converge(t, []netcfg.ENI{primary, eni(1, subnetA, true, 5)}, true)
	w.checkNobodyStrays(t, "complete")
	w.converge(t, []netcfg.ENI{primary, blank}, true)
	w.converge(t, []netcfg.ENI{primary}, true)
	if up := w.get(eth0+1, netcfg.LinkUp); up != "0" {
		t.Errorf("after the ENI has gone its NIC's link is %s", up)
	}
}

// TestSetDownWithoutSubnet: one whom somebody set down since stays down, as any other.
func TestSetDownWithoutSubnet(t *testing.T) {
	w := newWorld()
	w.plug(1)
	blank := eni(1, subnetA, false, 5)
	blank.Subnets, blank.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
	enis := []netcfg.ENI{eni(0, subnetP, false, 5), blank}
	w.converge(t, enis, true)
	w.set(eth0+1, netcfg.LinkUp, "0")
	w.converge(t, enis, true)
	if up := w.get(eth0+1, netcfg.LinkUp); up != "0" {
		t.Errorf("the link is %s", up)
	}
}

// TestUpWithoutAddress: also where DHCP has to tell the address, and only there.
func TestUpWithoutAddress(t *testing.T) {
	for byDHCP, want := range map[bool]string{true: "1", false: "0"} {
		w := newWorld()
		w.plug(1)
		w.set(eth0+1, netcfg.LinkUp, "0")
		blank := eni(1, subnetA, false, 5)
		blank.ByDHCP = byDHCP
		blank.Addresses, blank.Subnets, blank.Gateways = metadata.Fact[[]netip.Addr]{}, metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
		w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), blank}, true)
		if up := w.get(eth0+1, netcfg.LinkUp); up != want {
			t.Errorf("by DHCP %t: the link is %s, want %s", byDHCP, up, want)
		}
	}
}
