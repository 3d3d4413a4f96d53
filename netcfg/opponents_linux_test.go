package netcfg

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const deleterEnv = "NETCFG_TEST_DELETER"

// TestDeleter is no test by itself: it is a process that lives on and, for each line it reads, deletes
// every rule of ours, by its first or by its second netlink socket.
func TestDeleter(t *testing.T) {
	which := os.Getenv(deleterEnv)
	if which == "" {
		return
	}
	first, err := openConn()
	if err != nil {
		t.Fatal(err)
	}
	second, err := openConn()
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*conn{"first": first, "second": second}[which]
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		rules, _, err := by.rules(V4, func(proto int) bool { return proto == testProto })
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if err := by.setRule(Del, r); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("done")
	}
}

// deleter is a running TestDeleter.
type deleter struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func (h *host) deleter(which string) *deleter {
	h.Helper()
	d := &deleter{Cmd: exec.Command("/proc/self/exe", "-test.run=^TestDeleter$")}
	d.Env = append(os.Environ(), deleterEnv+"="+which)
	d.Stderr = os.Stderr
	var err error
	d.in, err = d.StdinPipe()
	h.must(err)
	out, err := d.StdoutPipe()
	h.must(err)
	d.out = bufio.NewScanner(out)
	h.must(d.Start())
	h.Cleanup(func() {
		_ = d.in.Close()
		for d.out.Scan() {
		}
		if err := d.Wait(); err != nil {
			h.Error(err)
		}
	})
	return d
}

// deletes makes it delete once.
func (d *deleter) deletes(h *host) {
	h.Helper()
	_, err := fmt.Fprintln(d.in)
	h.must(err)
	if !d.out.Scan() || d.out.Text() != "done" {
		h.Fatalf("the deleter says %q", d.out.Text())
	}
}

// wantOpponents waits until as many removals are counted, and checks by whom.
func (w *watching) wantOpponents(want ...Opponent) {
	w.Helper()
	total := func(all []Opponent) (n int) {
		for _, o := range all {
			n += o.Removed
		}
		return n
	}
	got := w.Opponents(time.Time{})
	for total(got) < total(want) {
		w.wait()
		got = w.Opponents(time.Time{})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("opponents (-want +got):\n%s", diff)
	}
}

// ourRules are n rules of ours.
func ourRules(n int) (rules []Object) {
	for i := range n {
		rules = append(rules, Rule{Family: V4, Priority: 20100 + i, Table: 20001, Proto: testProto})
	}
	return rules
}

// TestOpponentLives: a process that lives on is named with its process id, whatever we do ourselves.
func TestOpponentLives(t *testing.T) {
	h := newHost(t)
	h.see(h.scope(20001))
	w := h.watch()
	d := h.deleter("first")
	for range 3 {
		h.apply(ops(Add, ourRules(4)...)...)
		h.apply(ops(Del, ourRules(1)...)...) // ours does not count
		d.deletes(h)
	}
	w.wantOpponents(Opponent{Name: "exe", PID: d.Process.Pid, Processes: 1, Removed: 9})
}

// TestOpponentSecondSocket: the second socket of a process has a port of chance, so the process is not known.
func TestOpponentSecondSocket(t *testing.T) {
	h := newHost(t)
	h.see(h.scope(20001))
	w := h.watch()
	h.apply(ops(Add, ourRules(2)...)...)
	h.deleter("second").deletes(h)
	for len(w.Opponents(time.Time{})) == 0 {
		w.wait()
	}
	if o := w.Opponents(time.Time{})[0]; o.Name != "" || o.PID>>22 == 0 {
		t.Errorf("got %+v, want a port that is no process id, and no name", o)
	}
}

// TestOpponentsShortLived: a loop of ip(8) is many processes, of one name or of none.
func TestOpponentsShortLived(t *testing.T) {
	h := newHost(t)
	h.see(h.scope(20001))
	w := h.watch()
	const times = 5
	for range times {
		h.apply(ops(Add, ourRules(1)...)...)
		if out, err := exec.Command("ip", "rule", "del", "priority", "20100").CombinedOutput(); err != nil {
			t.Fatalf("ip: %v: %s", err, out)
		}
	}
	removed, processes := 0, 0
	for removed < times {
		removed, processes = 0, 0
		for _, o := range w.Opponents(time.Time{}) {
			if o.Name != "" && o.Name != "ip" {
				t.Fatalf("got %+v", o)
			}
			removed += o.Removed
			processes += o.Processes
		}
		if removed < times {
			w.wait()
		}
	}
	if processes != times {
		t.Errorf("%d processes, want %d", processes, times)
	}
}

// TestRemovals: which events tell that something of ours went, and whom the kernel names.
func TestRemovals(t *testing.T) {
	h := newHost(t)
	nic, other := h.plugUp("eth1", 1), h.plugUp("eth2", 2)
	delete(h.macs, other.MAC)
	h.see(h.scope(20001))
	foe, err := openConn()
	h.must(err)
	defer foe.close()
	rule := Rule{Family: V6, Priority: 20100, Table: 20001, Proto: testProto}
	theirRule := rule
	theirRule.Proto = foreignProto
	route := Route{Table: 20001, Dst: pfx("10.7.0.0/16"), Link: nic.Index, Proto: testProto}
	route6 := Route{Table: 20001, Dst: pfx("2001:db8:7::/48"), Link: nic.Index, Proto: testProto, Metric: 1024}
	theirs := Route{Table: MainTable, Dst: pfx("10.8.0.0/16"), Link: nic.Index, Proto: foreignProto}
	addr, addr6, elsewhere := Addr{nic.Index, pfx("10.0.1.5/32")}, Addr{nic.Index, pfx("2001:db8:1::5/128")}, Addr{other.Index, pfx("10.0.2.5/32")}
	kernel := uint32(0)
	for _, c := range []struct {
		name     string
		add, del func() error
		ports    []uint32 // who is named
	}{
		{"rule", func() error { return foe.setRule(Add, rule) }, func() error { return foe.setRule(Del, rule) }, []uint32{foe.port()}},
		{"foreign rule", func() error { return foe.setRule(Add, theirRule) }, func() error { return foe.setRule(Del, theirRule) }, nil},
		{"route", func() error { return foe.setRoute(Add, route) }, func() error { return foe.setRoute(Del, route) }, []uint32{foe.port()}},
		{"IPv6 route", func() error { return foe.setRoute(Add, route6) }, func() error { return foe.setRoute(Del, route6) }, []uint32{foe.port()}},
		{"foreign route", func() error { return foe.setRoute(Add, theirs) }, func() error { return foe.setRoute(Del, theirs) }, nil},
		{"address", func() error { return foe.setAddr(Add, addr) }, func() error { return foe.setAddr(Del, addr) }, []uint32{foe.port()}},
		{"IPv6 address", func() error { return foe.setAddr(Add, addr6) }, func() error { return foe.setAddr(Del, addr6) }, []uint32{kernel}},
		{"address of another NIC", func() error { return foe.setAddr(Add, elsewhere) }, func() error { return foe.setAddr(Del, elsewhere) }, nil},
		{"by us", func() error { return h.conn.setRule(Add, rule) }, func() error { return h.conn.setRule(Del, rule) }, nil},
	} {
		w, err := newWatcher()
		h.must(err)
		w.own = h.conn.port()
		w.narrow(h.Kernel.watch.interest)
		h.must(w.join(unix.NETLINK_ADD_MEMBERSHIP, watchGroups))
		if err := c.add(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := c.del(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.ports, w.removers(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		w.close()
	}
}

// removers are the ports in the events that wait.
func (w *watcher) removers(t *testing.T) (ports []uint32) {
	t.Helper()
	_ = w.control(func(fd int) error {
		buf := make([]byte, 1<<16)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil {
				return err
			}
			_, by := w.read(buf[:n])
			ports = append(ports, by...)
		}
	})
	return ports
}

// TestOpponentsAreForgotten: who was quiet for long is counted anew, and names do not pile up.
func TestOpponentsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o opponents
		self := uint32(os.Getpid())
		_, name := owner(self)
		note := func(port uint32, times int) {
			for range times {
				o.note(port, time.Now())
			}
		}
		want := func(when string, want ...Opponent) {
			if diff := cmp.Diff(want, o.since(time.Now().Add(-forgetAfter))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		note(self, 3)
		note(0, 5)
		note(self, 1)
		us := Opponent{Name: name, PID: int(self), Processes: 1, Removed: 4}
		want("at once", Opponent{Name: KernelItself, Processes: 1, Removed: 5}, us)
		<-time.After(forgetAfter + 1)
		want("a minute later")
		note(self, 1)
		us.Removed = 1
		want("again", us)
		note(1, 1) // init is taken for somebody in a container
		note(libnlBits, 1)
		want("without a name", Opponent{PID: libnlBits, Processes: 2, Removed: 2}, us)
	})
	var o opponents
	for i := range 3 * mostOpponents {
		o.name = strings.Repeat("x", i)
		o.meet(i, time.Unix(int64(i), 0))
	}
	if len(o.seen) != mostOpponents || o.seen[mostOpponents-1].PID != 3*mostOpponents-1 {
		t.Errorf("%d are remembered", len(o.seen))
	}
}

// TestOwnerByLibnl: libnl puts other numbers above the process id.
func TestOwnerByLibnl(t *testing.T) {
	if pid, name := owner(uint32(os.Getpid()) | 5<<22); pid != os.Getpid() || name == "" {
		t.Errorf("got %d, %q", pid, name)
	}
}
