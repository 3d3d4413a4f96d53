package netcfg

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// foreignProto is a routing daemon's.
const foreignProto = 186

// flood gives main n routes to addresses from 16.0.0.0 on.
func (h *host) flood(nic int, n int) {
	h.Helper()
	c, err := openConn()
	h.must(err)
	defer c.close()
	one := request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		Route{Table: MainTable, Dst: pfx("16.0.0.0/32"), Link: nic, Proto: foreignProto}.encode()).Serialize()
	const dst = unix.SizeofNlMsghdr + unix.SizeofRtMsg + 8 + unix.SizeofRtAttr // behind the table
	var batch []byte
	for i := range n {
		one[dst+1], one[dst+2], one[dst+3] = byte(i>>16), byte(i>>8), byte(i)
		batch = append(batch, one...)
		if len(batch) > 1<<16 || i == n-1 {
			_, err := unix.Write(c.fd, batch)
			h.must(err)
			batch = batch[:0]
		}
	}
}

// watching runs Watch until the test ends; pokes counts, and poked tells of the last.
type watching struct {
	*host
	pokes atomic.Int64
	poked chan struct{}
	hold  atomic.Pointer[chan struct{}] // poke waits for it to be closed
}

func (h *host) watch() *watching {
	h.Helper()
	w := &watching{host: h, poked: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(h.Context())
	ended := make(chan error)
	go func() { ended <- h.Watch(ctx, w.poke) }()
	h.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.Error(err)
		}
	})
	w.wait()
	return w
}

func (w *watching) poke() {
	w.pokes.Add(1)
	select {
	case w.poked <- struct{}{}:
	default:
	}
	if hold := w.hold.Load(); hold != nil {
		<-*hold
	}
}

func (w *watching) wait() { <-w.poked }

func TestWatchPokes(t *testing.T) {
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) }) // after the watcher's own clean-up
	h := newHost(t)
	in, out := h.plugUp("eth1", 1), h.plugUp("eth2", 2)
	delete(h.macs, out.MAC)
	h.see(h.scope(20001))
	w := h.watch()
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"rule", func() error {
			return h.conn.setRule(Add, Rule{Family: V4, Priority: 5, Table: 7, Proto: foreignProto})
		}},
		{"IPv6 rule", func() error {
			return h.conn.setRule(Add, Rule{Family: V6, Priority: 5, Table: 7, Proto: foreignProto})
		}},
		{"route through the NIC", func() error {
			return h.conn.setRoute(Add, Route{Table: MainTable, Dst: pfx("10.9.0.0/16"), Link: in.Index, Proto: foreignProto})
		}},
		{"IPv6 route of ours", func() error {
			return h.conn.setRoute(Add, Route{Table: 4711, Dst: pfx("2001:db8:7::/48"), Link: out.Index, Proto: testProto})
		}},
		{"address", func() error { return h.conn.setAddr(Add, Addr{out.Index, pfx("192.0.2.1/32")}) }},
		{"IPv6 address", func() error { return h.conn.setAddr(Add, Addr{in.Index, pfx("2001:db8::1/128")}) }},
		{"link", func() error { return h.conn.setLink(Setting{out.Index, LinkMTU, "1400"}) }},
		{"new link", func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth3"}, PeerName: "eth3x"})
		}},
	} {
		before := w.pokes.Load()
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		for w.pokes.Load() == before {
			w.wait()
		}
	}
}

// quiet waits until the watcher has nothing more to say.
func (w *watching) quiet() {
	for {
		before := w.pokes.Load()
		w.host.must(w.host.conn.setRule(Add, Rule{Family: V4, Priority: int(100 + before), Table: 7, Proto: foreignProto}))
		for w.pokes.Load() == before {
			w.wait()
		}
		if w.pokes.Load() == before+1 {
			return
		}
	}
}

// TestWatchFlood: a routing daemon's routes through another NIC are not heard of.
func TestWatchFlood(t *testing.T) {
	h := newHost(t)
	h.see(h.scope(20001))
	w := h.watch()
	w.quiet()
	before := w.pokes.Load()
	h.flood(1, 20_000) // lo has no events of its own
	h.must(h.conn.setRule(Add, Rule{Family: V4, Priority: 5, Table: 7, Proto: foreignProto}))
	for w.pokes.Load() == before {
		w.wait()
	}
	if got := w.pokes.Load() - before; got != 1 {
		t.Errorf("%d pokes, want the rule's alone", got)
	}
}

// TestWatchTwice: an ended watch can be begun again, a closed Kernel ends it.
func TestWatchTwice(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newHost(t)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := h.Watch(ctx, cancel); err != nil {
			t.Error(err)
		}
	}
	if err := h.Watch(t.Context(), h.Close); err == nil {
		t.Error("no error after Close")
	}
}

// TestOverrun: events that were lost may have been about main.
func TestOverrun(t *testing.T) {
	h := newHost(t)
	w := h.watch()
	h.see(h.scope())
	w.quiet()
	h.must(h.Kernel.watch.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	}))
	if !h.Kernel.watch.mainUnchanged() {
		t.Fatal("main changed before")
	}
	hold := make(chan struct{})
	w.hold.Store(&hold)
	before := w.pokes.Load()
	for i := range 100 {
		h.must(h.conn.setRule(Add, Rule{Family: V4, Priority: 1000 + i, Table: 7, Proto: foreignProto}))
	}
	close(hold)
	for w.pokes.Load() < before+2 {
		w.wait()
	}
	w.quiet()
	if h.Kernel.watch.mainUnchanged() {
		t.Error("main is thought unchanged after lost events")
	}
}

// TestFilter: what the kernel itself keeps from the socket. Events are in the socket when the
// change returns.
func TestFilter(t *testing.T) {
	h := newHost(t)
	in, out := h.plugUp("eth1", 1), h.plugUp("eth2", 2)
	h.must(h.conn.setAddr(Add, Addr{in.Index, pfx("192.0.2.1/32")}))
	many := make([]int, MaxSlots)
	for i := range many {
		many[i] = 20000 + i
	}
	w, err := newWatcher()
	h.must(err)
	defer w.close()
	w.narrow(interest{protos: []int{7, testProto}, nics: append([]int{1000, 1001}, in.Index), tables: many})
	h.must(w.join(unix.NETLINK_ADD_MEMBERSHIP, watchGroups))
	route := func(table, link, proto int) Route {
		return Route{Table: table, Dst: pfx("10.9.0.0/16"), Link: link, Proto: proto}
	}
	six := Route{Table: 7, Dst: pfx("2001:db8::/32"), Link: out.Index, Proto: foreignProto, Metric: 1024}
	for _, c := range []struct {
		name  string
		do    func() error
		heard bool
	}{
		{"through another NIC", func() error { return h.conn.setRoute(Add, route(MainTable, out.Index, foreignProto)) }, false},
		{"it goes", func() error { return h.conn.setRoute(Del, route(MainTable, out.Index, foreignProto)) }, false},
		{"IPv6 through another NIC", func() error { return h.conn.setRoute(Add, six) }, false},
		{"unreachable", func() error { return h.conn.setRoute(Add, route(MainTable, 0, foreignProto)) }, false},
		{"through the NIC", func() error { return h.conn.setRoute(Add, route(7, in.Index, foreignProto)) }, true},
		{"of ours", func() error { return h.conn.setRoute(Add, route(9, out.Index, testProto)) }, true},
		{"put in a table of ours", func() error { return h.conn.setRoute(Add, route(20126, out.Index, foreignProto)) }, false},
		{"gone from a table of ours", func() error { return h.conn.setRoute(Del, route(20126, out.Index, foreignProto)) }, true},
		{"rule", func() error { return h.conn.setRule(Add, Rule{Family: V4, Priority: 5, Table: 7, Proto: foreignProto}) }, true},
		{"link", func() error { return h.conn.setLink(Setting{out.Index, LinkMTU, "1400"}) }, true},
	} {
		w.drain(t)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if heard := w.drain(t); heard != c.heard {
			t.Errorf("%s: heard %v, want %v", c.name, heard, c.heard)
		}
	}
	w.narrow(interest{tables: make([]int, 4000)})
	h.must(h.conn.setRoute(Del, route(7, in.Index, foreignProto)))
	if !w.drain(t) {
		t.Error("too much for a filter: not everything is heard")
	}
}

// drain reports whether events were waiting, but for the kernel's own routes and IPv6 addresses,
// which come when it has found no duplicate.
func (w *watcher) drain(t *testing.T) (some bool) {
	err := w.control(func(fd int) error {
		buf := make([]byte, 1<<16)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil {
				return err
			}
			for m, err := range messages(buf[:n]) {
				if err != nil {
					return err
				}
				r, _ := parseRoute(m.body)
				isRoute := m.typ == unix.RTM_NEWROUTE || m.typ == unix.RTM_DELROUTE
				isAddr := m.typ == unix.RTM_NEWADDR || m.typ == unix.RTM_DELADDR
				some = some || !isAddr && (!isRoute || r.Proto != unix.RTPROT_KERNEL)
			}
		}
	})
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return some
}
