package netcfg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
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

// reread is the record that is in the file.
func (h *host) reread() record {
	h.Helper()
	f := h.file
	r, err := f.load()
	h.must(err)
	return r
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

// TestWriteAhead stops a change after every single operation, as a kill would, and starts again:
// all that was done is known to be ours, and no more.
func TestWriteAhead(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	all := everything(nic.Index)
	add := all.addOps()
	for n := range len(add) + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// The second look at the context is at the next operation.
		results := h.Apply(&ctxAfter{ctx, n, cancel}, add)
		killed := h.open() // knows what the file says, no more
		o, err := killed.Observe(t.Context(), h.scope(20001, 20900))
		h.must(err)
		var want State
		for i, r := range results {
			if r.Skipped != (i >= n) || (r.Err != nil) != r.Skipped {
				t.Fatalf("stopped after %d: operation %d: %+v", n, i, r)
			}
			if !r.Skipped {
				want.add(r.Op.Object)
			}
		}
		if diff := gocmp.Diff(sortedState(want), sortedState(o.Own), equate); diff != "" {
			t.Fatalf("stopped after %d, ours (-want +got):\n%s", n, diff)
		}
		killed.Close()
		h.apply(all.delOps()...)
	}
}

func (s *State) add(o Object) {
	switch o := o.(type) {
	case Addr:
		s.Addrs = append(s.Addrs, o)
	case Route:
		s.Routes = append(s.Routes, o)
	case Rule:
		s.Rules = append(s.Rules, o)
	case Setting:
		s.Settings = append(s.Settings, o)
	}
}

// TestAhead: the file says what is going to be ours before the first operation.
func TestAhead(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	all := everything(nic.Index)
	var ahead record
	h.applyWith(&ctxAfter{t.Context(), 0, func() { ahead = h.reread() }}, all.addOps())
	if len(ahead.addrs) != len(all.Addrs) || len(ahead.knobs) != len(all.Settings) || !ahead.protocols[testProto] {
		t.Errorf("recorded ahead: %+v", ahead)
	}
}

func (h *host) applyWith(ctx context.Context, ops []Op) {
	h.Helper()
	for _, r := range h.Apply(ctx, ops) {
		h.must(r.Err)
	}
}

// TestTakenAway: an address of ours that somebody removes and another puts back is the other's.
func TestTakenAway(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	a := Addr{nic.Index, pfx("10.0.1.5/24")}
	h.apply(ops(Add, a)...)
	h.must(h.conn.setAddr(Del, a))
	if o := h.see(h.scope()); len(o.Own.Addrs) != 0 {
		t.Fatalf("ours: %v", o.Own.Addrs)
	}
	if len(h.reread().addrs) == 0 {
		t.Error("to observe wrote to the record")
	}
	h.Apply(t.Context(), nil)
	if r := h.reread(); len(r.addrs) != 0 {
		t.Errorf("still recorded: %v", r.addrs)
	}
	h.must(h.conn.setAddr(Add, a))
	o := h.see(h.scope())
	if len(o.Own.Addrs) != 0 || !slices.Contains(o.Host.Addrs, a) {
		t.Errorf("ours: %v, theirs: %v", o.Own.Addrs, o.Host.Addrs)
	}
}

func TestSettings(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	mtu := func(v string) Setting { return Setting{nic.Index, LinkMTU, v} }
	present := func(want string) {
		t.Helper()
		if got := h.link("eth1").MTU; fmt.Sprint(got) != want {
			t.Errorf("MTU %d, want %s", got, want)
		}
	}
	restore := func() Result { return h.Apply(t.Context(), ops(Restore, mtu("")))[0] }

	h.apply(ops(Set, mtu("1500"))...) // so already: nothing to put back
	h.wantOwn(h.scope(), State{})
	h.apply(ops(Set, mtu("1400"), mtu("1300"))...)
	h.wantOwn(h.scope(), State{Settings: []Setting{mtu("1300")}})
	if r := restore(); r.Err != nil || r.Op.String() != "ip link set dev eth1 mtu 1500" {
		t.Errorf("put back: %+v", r)
	}
	present("1500")

	h.apply(ops(Set, mtu("1400"))...)
	h.must(h.conn.setLink(mtu("1450")))
	h.wantOwn(h.scope(), State{Settings: []Setting{mtu("1450")}})
	h.must(restore().Err) // another has changed it since: theirs
	present("1450")
	h.wantOwn(h.scope(), State{})

	h.must(h.conn.setLink(mtu("1500")))
	h.apply(ops(Set, mtu("1400"))...)
	h.must(h.conn.setLink(mtu("1450")))
	h.apply(ops(Set, mtu("1400"))...)
	h.must(restore().Err)
	present("1450") // what would be there without us

	h.must(netlink.LinkSetName(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: nic.Index}}, "renamed"))
	arp := Setting{nic.Index, ARPIgnore, "1"}
	h.apply(ops(Set, arp)...)
	h.wantOwn(h.scope(), State{Settings: []Setting{arp}})

	if r := h.Apply(t.Context(), ops(Set, Setting{4711, ARPIgnore, "1"}))[0]; !errors.Is(r.Err, unix.ENODEV) {
		t.Errorf("a setting of no NIC: %v", r.Err)
	}
}

// TestMissingKnob: below 1280 bytes the kernel takes IPv6 off the NIC, with its settings.
func TestMissingKnob(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	h.must(h.conn.setLink(Setting{nic.Index, LinkMTU, "1000"}))
	h.apply(ops(Set, Setting{nic.Index, AcceptRA, "0"})...)
	o := h.see(h.scope())
	if len(o.Own.Settings) != 0 || slices.ContainsFunc(o.Host.Settings, func(s Setting) bool { return s.Knob == AcceptRA }) {
		t.Errorf("settings: ours %v, all %v", o.Own.Settings, o.Host.Settings)
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

// TestRecordNotWritable: without a record nothing is changed.
func TestRecordNotWritable(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	h.file.path = filepath.Join(h.dir, "file", "record.json")
	h.must(os.WriteFile(filepath.Join(h.dir, "file"), nil, 0o600))
	all := everything(nic.Index)
	for _, r := range h.Apply(t.Context(), all.addOps()) {
		if r.Err == nil || !strings.Contains(r.Err.Error(), "runtime_dir") {
			t.Errorf("%s: %v", r.Op, r.Err)
		}
	}
	if h.RecordProblem() == nil {
		t.Error("no problem is reported")
	}
	h.wantOwn(h.scope(20001, 20900), State{})
}

func TestRecordOfOthers(t *testing.T) {
	for _, c := range []struct {
		name, from, to, want string
		aside                bool
	}{
		{name: "boot", from: `"boot": "`, to: `"boot": "x`, want: "another boot"},
		{name: "namespace", from: `"namespace": "`, to: `"namespace": "x`, want: "another network namespace"},
		{name: "version", from: `"version": 1`, to: `"version": 99`, want: "version 99"},
		{name: "cut off", from: "}\n", to: "", want: "damaged", aside: true},
		{name: "unknown setting", from: "arp_ignore", to: "arp_ignorance", want: "damaged", aside: true},
		{name: "bad address", from: "10.0.1.5/24", to: "10.0.1.5/240", want: "damaged", aside: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			nic := h.plug("eth1", 1)
			all := everything(nic.Index)
			h.apply(all.addOps()...)
			content, err := os.ReadFile(h.file.path)
			h.must(err)
			if !strings.Contains(string(content), c.from) {
				t.Fatalf("no %q in %s", c.from, content)
			}
			h.must(os.WriteFile(h.file.path, []byte(strings.ReplaceAll(string(content), c.from, c.to)), 0o600))

			k := h.open()
			defer k.Close()
			if err := k.RecordProblem(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("problem: %v", err)
			}
			o, err := k.Observe(t.Context(), h.scope(20001, 20900))
			h.must(err)
			if len(o.Own.Addrs)+len(o.Own.Settings) != 0 || len(o.Own.Rules) != len(all.Rules) {
				t.Errorf("ours: %+v", o.Own)
			}
			if _, err := os.Stat(k.file.aside()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("to observe moved the record: %v", err)
			}
			k.Apply(t.Context(), nil)
			if err := k.RecordProblem(); err != nil {
				t.Errorf("after a write: %v", err)
			}
			if _, err := os.Stat(k.file.aside()); (err == nil) != c.aside {
				t.Errorf("the damaged record: %v", err)
			}
			info, err := os.Stat(k.file.path)
			h.must(err)
			if info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
		})
	}
}
