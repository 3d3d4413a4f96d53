package netcfg

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestCarried: only the marks of unreachable rules are asked for, in both families.
func TestCarried(t *testing.T) {
	h := newHost(t)
	n := DefaultNumbers
	tombstone := func(f Family, s Slot) Rule {
		return Rule{Family: f, Priority: n.Priority + markSelectors, Mark: n.MarkOf(s), Mask: n.markMask(), Unreachable: true, Proto: testProto}
	}
	s := h.scope()
	s.Numbers = n
	if got := h.see(s).Host.Carried; got != nil {
		t.Errorf("without rules: %v", got)
	}
	h.apply(ops(Add, tombstone(V4, 1), tombstone(V6, 1), tombstone(V4, 2), tombstone(V6, 3),
		Rule{Family: V4, Priority: n.Priority + markSelectors, Mark: n.MarkOf(4), Mask: n.markMask(), Table: 20004, Proto: testProto})...)
	sees := func(want map[Slot]bool) {
		t.Helper()
		if diff := gocmp.Diff(want, h.see(s).Host.Carried); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	sees(map[Slot]bool{1: false, 2: false, 3: false})
	for i := range 300 { // more than one datagram of answers
		h.connection("10.0.0.1", 1+i, n.MarkOf(1)|0x8000)
	}
	h.connection("10.0.0.1", 4000, n.MarkOf(4))
	h.connection("10.0.0.1", 4001, 0)
	h.connection("2001:db8::1", 4002, n.MarkOf(3))
	sees(map[Slot]bool{1: true, 2: false, 3: true})
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, &netlink.ConntrackFilter{})
	h.must(err)
}

// TestWithoutPermission: what cannot be asked for is carried, and chains are read in each pass.
func TestWithoutPermission(t *testing.T) {
	h := newChainHost(t, backendNFT)
	h.apply(ops(Add, Rule{Family: V4, Priority: 20004, Mark: 0x2000000, Mask: 0x7f00ff00, Unreachable: true, Proto: testProto})...)
	w := h.watch()
	h.see(h.chainScope())
	w.wait() // the second socket hears now
	h.settled(w)
	var none [2]unix.CapUserData
	h.must(unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]))
	other := h.open()
	defer other.Close()
	for range 2 {
		o, err := other.Observe(t.Context(), h.chainScope())
		h.must(err)
		if !o.Host.Carried[1] || h.processes() == nil {
			t.Errorf("carried %v", o.Host.Carried)
		}
	}
	if !connectionMarked(0x2000000, 0x7f000000) {
		t.Error("unknown counts as none")
	}
}

// connection makes an entry of the connection table with a mark.
func (h *host) connection(src string, port int, mark uint32) {
	h.Helper()
	a := ip(src)
	family := netlink.InetFamily(netlinkFamily(FamilyOf(a)))
	tuple := func(from, to int) netlink.IPTuple {
		return netlink.IPTuple{SrcIP: a.AsSlice(), DstIP: a.Next().AsSlice(), SrcPort: uint16(from), DstPort: uint16(to), Protocol: unix.IPPROTO_UDP}
	}
	forward, reverse := tuple(port, 53), tuple(53, port)
	reverse.SrcIP, reverse.DstIP = forward.DstIP, forward.SrcIP
	h.must(netlink.ConntrackCreate(netlink.ConntrackTable, family, &netlink.ConntrackFlow{FamilyType: uint8(family), Forward: forward, Reverse: reverse, Mark: mark, TimeOut: 100}))
}
