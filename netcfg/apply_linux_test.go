package netcfg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestThere: the faces of "already there".
func TestThere(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	theirs, ours := Addr{nic.Index, pfx("10.0.1.5/24")}, Addr{nic.Index, pfx("2001:db8:1::5/64")}
	h.must(h.conn.setAddr(Add, theirs))
	h.apply(ops(Add, theirs, ours)...)
	h.apply(ops(Add, theirs, ours)...)
	h.wantOwn(h.scope(), State{Addrs: []Addr{ours}})

	h.apply(Op{Del, 1, ours, "eth1"}, Op{Add, 1, ours, "eth1"}) // away and back in one go
	h.wantOwn(h.scope(), State{Addrs: []Addr{ours}})

	route := Route{Table: 20001, Dst: pfx("10.0.1.0/24"), Link: nic.Index, Proto: testProto}
	foreign := route
	foreign.Proto = 186
	h.must(h.conn.setRoute(Add, foreign))
	way := Route{Table: 20001, Dst: pfx("10.7.0.0/16"), Link: nic.Index, Proto: 186}
	several := &netlink.Route{Dst: netlink.NewIPNet(way.Dst.Addr().AsSlice()), Table: 20001, MultiPath: []*netlink.NexthopInfo{{LinkIndex: nic.Index}, {LinkIndex: nic.Index}}}
	several.Dst.Mask = net4.Mask
	h.must(netlink.RouteAdd(several))
	manyWays := Route{Table: 20001, Dst: pfx("10.7.0.0/24"), Link: nic.Index, Proto: testProto}
	rule := Rule{Family: V4, Priority: 20100, Table: 20001, Proto: testProto}
	h.apply(ops(Add, rule)...)

	for _, op := range slices.Concat(ops(Add, route, manyWays, rule), ops(Replace, route, manyWays)) {
		r := h.Apply(t.Context(), []Op{op})[0]
		if !errors.Is(r.Err, errForeign) || !strings.HasPrefix(r.Err.Error(), op.String()+": ") {
			t.Errorf("%s: got %v, want an error that names the command and says that somebody else has it", op, r.Err)
		}
	}
	h.must(h.conn.setRoute(Del, foreign))
	h.apply(ops(Replace, route)...)
	moved := route
	moved.Via = ip("10.0.1.1")
	h.apply(ops(Replace, moved)...)
	h.wantOwn(h.scope(20001), State{Addrs: []Addr{ours}, Routes: []Route{moved}, Rules: []Rule{rule}})
}

// TestGone: what is gone already counts as removed, the NIC included.
func TestGone(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	all := everything(nic.Index)
	h.apply(all.delOps()...)
	h.apply(all.addOps()...)
	h.must(netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: nic.Index}}))
	h.apply(all.delOps()...)
	h.wantOwn(h.scope(20001, 20900), State{})
	if r := h.reread(); len(r.addrs)+len(r.knobs) != 0 {
		t.Errorf("still recorded: %+v", r)
	}
}

// TestVanished: a NIC that goes in the middle of a change stops its own ENI's additions only.
func TestVanished(t *testing.T) {
	h := newHost(t)
	one, two := h.plugUp("eth1", 1), h.plugUp("eth2", 2)
	var all []Op
	for i := range 20 {
		for slot, nic := range []Link{one, two} {
			all = append(all, Op{Add, Slot(slot + 1), Addr{nic.Index, pfx(fmt.Sprintf("10.0.%d.%d/32", slot, i))}, nic.Name})
		}
	}
	all = slices.Insert(all, 10, Op{Del, 1, Rule{Family: V4, Priority: 5, Table: 7, Proto: testProto}, ""})
	gone := ctxAfter{h.Context(), 10, func() {
		h.must(netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: one.Index}}))
	}}
	for i, r := range h.Apply(&gone, all) {
		lost := i >= 10 && r.Op.Slot == 1 && r.Op.Verb == Add
		if (r.Err != nil) != lost || r.Skipped != (lost && i > 11) || r.Skipped && !errors.Is(r.Err, ErrSkipped) {
			t.Errorf("operation %d: %+v", i, r)
		}
	}
	h.Apply(t.Context(), nil)
	for id := range h.reread().addrs {
		if id.nic.Link == one.Index {
			t.Errorf("%v is recorded and cannot be there", id)
		}
	}
	if got := len(h.see(h.scope()).Own.Addrs); got != 20 {
		t.Errorf("%d addresses of ours on the other NIC, want 20", got)
	}
}

// ctxAfter calls then when it was asked for its error this many times: Apply asks before
// each operation.
type ctxAfter struct {
	context.Context
	n    int
	then func()
}

func (c *ctxAfter) Err() error {
	if c.n--; c.n == -1 {
		c.then()
	}
	return c.Context.Err()
}

// TestFailure: what builds on a failed operation is not tried, what removes is.
func TestFailure(t *testing.T) {
	broken := Route{Table: 20001, Dst: pfx("10.0.9.0/24"), Link: 4711, Proto: testProto}
	rule := func(priority int) Rule { return Rule{Family: V4, Priority: priority, Table: 20001, Proto: testProto} }
	for _, c := range []struct {
		name string
		slot Slot
		want string // of each operation: . done, ! failed, s skipped
	}{
		{"the ENI's", 1, "!s.."},
		{"another's", 2, "!..."},
		{"everybody's", NoSlot, "!s.s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.plug("eth1", 1)
			got := ""
			for _, r := range h.Apply(t.Context(), []Op{
				{Add, c.slot, broken, "eth9"}, {Add, 1, rule(1), ""}, {Del, 1, rule(9), ""}, {Add, 3, rule(2), ""}}) {
				switch {
				case r.Skipped:
					got += "s"
				case r.Err != nil:
					got += "!"
				default:
					got += "."
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNoPermission(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	h.dropCapabilities()
	if _, err := h.Observe(t.Context(), h.scope(20001)); err != nil {
		t.Errorf("to observe needs no privilege: %v", err)
	}
	for _, op := range slices.Concat(
		ops(Add, Addr{nic.Index, pfx("10.0.1.5/24")}, Rule{Family: V4, Priority: 9, Table: 7, Proto: testProto},
			Route{Table: 20001, Dst: pfx("10.0.0.0/8"), Link: nic.Index, Proto: testProto}),
		ops(Set, Setting{nic.Index, LinkGroup, "225"})) {
		r := h.Apply(t.Context(), []Op{op})[0]
		if !errors.Is(r.Err, unix.EPERM) || !strings.Contains(r.Err.Error(), "CAP_NET_ADMIN") || !strings.HasPrefix(r.Err.Error(), op.String()) {
			t.Errorf("%s: %v", op, r.Err)
		}
	}
	h.wantOwn(h.scope(20001), State{})
}

// dropCapabilities takes all from this thread, which ends with the test.
func (h *host) dropCapabilities() {
	h.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := [2]unix.CapUserData{}
	h.must(unix.Capset(&header, &none[0]))
}
