package netcfg

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestReleaseInUse: a NIC that enid brought up and that others have come to use stays up when enid
// lets go of it: to set it down would take their addresses and routes away, or a bridge's port.
func TestReleaseInUse(t *testing.T) {
	for _, c := range []struct {
		name string
		use  func(h *host, nic Link)
		up   bool
	}{
		{"by nobody", func(*host, Link) {}, false},
		{"IPv4 address", func(h *host, nic Link) { h.must(h.conn.setAddr(Add, Addr{nic.Index, pfx("192.0.2.9/32")})) }, true},
		{"IPv6 address", func(h *host, nic Link) { h.must(h.conn.setAddr(Add, Addr{nic.Index, pfx("2001:db8:9::9/128")})) }, true},
		{"route", func(h *host, nic Link) {
			h.must(h.conn.setRoute(Add, Route{Table: 77, Dst: pfx("2001:db8:7::/64"), Link: nic.Index, Metric: 1024, Proto: 4}))
		}, true},
		{"bridge", func(h *host, nic Link) {
			br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
			h.must(netlink.LinkAdd(br))
			h.must(netlink.LinkSetMasterByIndex(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: nic.Index}}, h.link("br0").Index))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			nic := h.plug("eth1", 1)
			up := Setting{nic.Index, LinkUp, "1"}
			h.apply(Op{Set, 1, up, "eth1"}, Op{Add, 1, Addr{nic.Index, pfx("10.0.1.5/24")}, "eth1"})
			h.settle("eth1", true)
			c.use(h, nic)
			h.apply(Op{Del, 1, Addr{nic.Index, pfx("10.0.1.5/24")}, "eth1"}, Op{Restore, 1, up, "eth1"})
			if got := h.link("eth1").Up; got != c.up {
				t.Errorf("up: %v, want %v", got, c.up)
			}
			h.wantOwn(h.scope(), State{})
		})
	}
}

// TestReleaseLeavesNeighbours: an address that somebody put beside ours, in the same subnet, is a
// secondary one of the kernel's and would go with ours.
func TestReleaseLeavesNeighbours(t *testing.T) {
	h, _ := crashHost(t)
	eth2 := h.link("eth2")
	job := crashJob{ENIs: []crashENI{crashed(0, 0, "", 5), crashed(2, 1, "", 5, 6)}}
	slots, _ := h.finish(job, nil, func(string) {})
	theirs := Addr{eth2.Index, pfx("10.0.1.200/24")}
	h.must(h.conn.setAddr(Add, theirs))
	h.finish(crashJob{}, slots, func(string) {})
	addrs, err := h.conn.addrs()
	h.must(err)
	if !slices.ContainsFunc(addrs, func(a presentAddr) bool { return a.Addr == theirs }) {
		t.Errorf("the foreign address went with ours: %v", addrs)
	}
}

// TestIPv6Off: where IPv6 is switched off, everywhere or on one NIC, IPv4 works.
func TestIPv6Off(t *testing.T) {
	h, _ := crashHost(t)
	h.must(writeSysctl("eth2", Setting{Knob: "ipv6/conf/*/disable_ipv6", Value: "1"}))
	job := crashJob{ENIs: []crashENI{crashed(0, 0, "", 5), crashed(1, 1, "", 5, 6), crashed(2, 2, "", 5, 6)}}
	_, target := h.finish(job, nil, func(string) {})
	if n := len(target.State.Addrs); n != 6 {
		t.Errorf("%d addresses of ours, want 4 on the NIC with IPv6 and 2 on the one without:\n%v", n, target.State.Addrs)
	}
}

// TestMTURefused: an MTU that the driver does not take costs the MTU, not the addresses.
func TestMTURefused(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	results := h.Apply(t.Context(), []Op{{Set, 1, Setting{nic.Index, LinkMTU, "4000000"}, "eth1"}, {Add, 1, Addr{nic.Index, pfx("10.0.1.5/24")}, "eth1"}})
	if results[0].Err == nil || results[1].Err != nil {
		t.Errorf("the MTU: %v, the address: %v", results[0].Err, results[1].Err)
	}
}
