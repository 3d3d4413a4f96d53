package lab

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

func TestPlugUnplug(t *testing.T) {
	l, vm, subnets := newLab(t)
	nic := NIC{Name: "eth1", MAC: mac1, Subnet: subnets[1], Allowed: prefixes("10.0.1.5/32"), MTU: 1400}
	check(t, l.Plug(vm, nic))
	link, err := vm.Netlink().LinkByName("eth1")
	check(t, err)
	a := link.Attrs()
	if a.HardwareAddr.String() != mac1.String() || a.MTU != 1400 || a.Flags&1 != 0 {
		t.Errorf("got MAC %s, MTU %d, flags %s; want %s, 1400, down", a.HardwareAddr, a.MTU, a.Flags, mac1)
	}
	addrs, err := vm.Netlink().AddrList(link, netlink.FAMILY_ALL)
	if err != nil || len(addrs) != 0 {
		t.Errorf("a new NIC has addresses %v (%v)", addrs, err)
	}
	if err := l.Plug(vm, NIC{Name: "eth2", MAC: mac1, Subnet: subnets[0]}); err == nil {
		t.Error("a MAC is plugged in twice")
	}
	if err := l.Plug(vm, NIC{Name: "eth1", MAC: mac2, Subnet: subnets[0]}); err == nil {
		t.Error("a name is given twice")
	}

	// By any name and in any namespace.
	check(t, vm.Netlink().LinkSetName(link, "renamed"))
	other, err := l.VM("other")
	check(t, err)
	check(t, vm.Netlink().LinkSetNsFd(link, int(other.ns.Fd())))
	check(t, l.Unplug(mac1))
	for _, h := range []*Host{vm, other} {
		links, err := h.Netlink().LinkList()
		check(t, err)
		for _, link := range links {
			if link.Attrs().HardwareAddr.String() == mac1.String() {
				t.Errorf("%s still has %s", h.Name, link.Attrs().Name)
			}
		}
	}
	if err := errors.Join(l.SetAllowed(mac1, nil), l.SetCarrier(mac1, true)); err == nil {
		t.Error("an unplugged NIC takes orders")
	}
	if err := l.Unplug(mac1); err == nil {
		t.Error("a NIC is unplugged twice")
	}
	check(t, l.Plug(vm, nic))
	wantSpoofs(t, l)
}

// A failed Plug leaves nothing in the fabric that would be in the way of the next.
func TestPlugAfterFailure(t *testing.T) {
	l, vm, subnets := newLab(t)
	before := l.ruleset(t)
	if err := l.Plug(vm, NIC{Name: "eth0", MAC: mac1, Subnet: subnets[1]}); err == nil {
		t.Fatal("a name is given twice")
	}
	if diff := cmp.Diff(before, l.ruleset(t)); diff != "" {
		t.Errorf("the fabric's rules have changed (-before +after):\n%s", diff)
	}
	check(t, l.Plug(vm, NIC{Name: "eth1", MAC: mac1, Subnet: subnets[1]}))
}

func (l *Lab) ruleset(t *testing.T) string {
	t.Helper()
	out, err := l.fabric.Run(t.Context(), "nft", "--stateless", "list", "ruleset")
	check(t, err)
	return out
}

func TestSetAllowed(t *testing.T) {
	l, vm, subnets := newLab(t)
	six := addr("10.0.0.6")
	check(t, vm.addAddrs("eth0", netip.MustParsePrefix("10.0.0.6/32")))
	check(t, vm.ServeEcho())
	if vm.probe(t.Context(), pollTimeout, six, subnets[0].Neighbour.Addrs[0]) == nil || l.Reachable(t.Context(), vm, six) {
		t.Error("an address that is not allowed gets through")
	}
	spoofs, err := l.Spoofed()
	check(t, err)
	if !slices.ContainsFunc(spoofs, func(s Spoof) bool { return s.Src == six && s.MAC == mac0 }) {
		t.Errorf("no evidence against %s: %v", six, spoofs)
	}
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.6/32", "2001:db8::5/128")))
	check(t, l.ResetSpoofed())
	await(t, func() bool { return l.Reachable(t.Context(), vm, six) })
	wantSpoofs(t, l)
	check(t, l.SetAllowed(mac0, nil))
	if l.Reachable(t.Context(), vm, six) {
		t.Error("an address that is no longer allowed gets through")
	}
}

// An address that moves to another NIC is reached there at once, without waiting for ARP
// entries to grow old.
func TestAddressMoves(t *testing.T) {
	l, vm, subnets := newLab(t)
	twin, err := l.VM("twin")
	check(t, err)
	check(t, twin.ServeEcho())
	check(t, vm.ServeEcho())
	check(t, l.Plug(twin, NIC{Name: "eth0", MAC: mac1, Subnet: subnets[0], Allowed: prefixes("10.0.0.7/32")}))
	check(t, l.VMPrimary(twin, netip.MustParsePrefix("10.0.0.7/24"), addr("10.0.0.1")))
	for _, peer := range l.peers() {
		check(t, peer.Probe(t.Context(), netip.Addr{}, addr("10.0.0.5")))
	}
	check(t, l.SetAllowed(mac0, nil))
	check(t, l.SetAllowed(mac1, prefixes("10.0.0.5/32", "10.0.0.7/32")))
	check(t, twin.addAddrs("eth0", netip.MustParsePrefix("10.0.0.5/32")))
	for _, peer := range l.peers() {
		check(t, peer.Probe(t.Context(), netip.Addr{}, addr("10.0.0.5")))
	}
}

func TestDelegatedPrefix(t *testing.T) {
	l, vm, subnets := newLab(t)
	check(t, vm.addAddrs("lo", prefixes("10.0.0.35/32", "2001:db8::5:0:0:9/128")...))
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.32/28", "2001:db8::5/128", "2001:db8:0:0:5::/80")))
	for _, peer := range []*Host{l.Outside(), subnets[0].Neighbour, subnets[1].Neighbour} {
		check(t, peer.Ping(t.Context(), netip.Addr{}, addr("10.0.0.35")))
		check(t, peer.Ping(t.Context(), netip.Addr{}, addr("2001:db8::5:0:0:9")))
	}
	wantSpoofs(t, l)
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32")))
	routes, err := subnets[0].Neighbour.Netlink().RouteList(nil, netlink.FAMILY_V4)
	check(t, err)
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == "10.0.0.32/28" {
			t.Errorf("the neighbour still has the route %s", r)
		}
	}
}

// With the kernel's own defaults every NIC of a host answers for all its addresses: two NICs in
// one subnet are the case in which that can be seen, and cured.
func TestARPOwner(t *testing.T) {
	l, vm, subnets := newLab(t)
	check(t, l.Plug(vm, NIC{Name: "eth1", MAC: mac1, Subnet: subnets[0], Allowed: prefixes("10.0.0.6/32")}))
	check(t, vm.addAddrs("eth1", prefixes("10.0.0.6/32")...))
	// In the fabric both ports are let through, so that it is the VM that is measured.
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.6/32")))
	check(t, l.SetAllowed(mac1, prefixes("10.0.0.5/32", "10.0.0.6/32")))
	await(t, func() bool { return vm.carrier("eth1") })

	five, six, none := addr("10.0.0.5"), addr("10.0.0.6"), addr("10.0.0.7")
	expect := func(want map[netip.Addr][]metadata.MAC) {
		t.Helper()
		var got map[netip.Addr][]metadata.MAC
		await(t, func() bool {
			var err error
			got, err = l.ARPOwner(t.Context(), subnets[0], five, six, none)
			check(t, err)
			return cmp.Equal(want, got)
		})
	}
	expect(map[netip.Addr][]metadata.MAC{five: {mac0, mac1}, six: {mac0, mac1}})
	check(t, vm.Do(func() error { return setSysctls("ipv4/conf/eth0/arp_ignore=1", "ipv4/conf/eth1/arp_ignore=1") }))
	expect(map[netip.Addr][]metadata.MAC{five: {mac0}, six: {mac1}})
}

func (h *Host) carrier(nic string) bool {
	link, err := h.nl.LinkByName(nic)
	return err == nil && link.Attrs().OperState == netlink.OperUp
}
