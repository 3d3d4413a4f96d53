package netcfg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"enid/metadata"
)

// inside marks the process that runs the tests in namespaces of its own.
const inside = "NETCFG_TEST_INSIDE"

// TestMain runs the tests where they cannot touch the machine: the binary starts itself again
// in new network and mount namespaces, in a user namespace too where it is not root.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	os.Exit(again())
}

func again() int {
	runtime.LockOSThread() // for Pdeathsig, which follows the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "the tests of netcfg need namespaces of their own: %v\nrun them as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)\n", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

const testProto = 225

var equate = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

// host is a fresh network namespace with a Kernel that works in it.
type host struct {
	testing.TB
	*Kernel
	dir  string
	macs map[metadata.MAC]bool
}

// newHost moves the test's thread into a new namespace. The thread is never unlocked, so that
// the runtime ends it, and the namespace, with the test.
func newHost(t testing.TB) *host {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	h := &host{TB: t, dir: t.TempDir(), macs: map[metadata.MAC]bool{}}
	h.Kernel = h.open()
	t.Cleanup(h.Kernel.Close)
	h.must(h.conn.setLink(Setting{1, LinkUp, "1"})) // without lo the kernel has no local table and takes no gateway
	return h
}

// open is a Kernel on this host, as after a restart.
func (h *host) open() *Kernel {
	h.Helper()
	k, err := NewKernel(h.dir)
	if err != nil {
		h.Fatal(err)
	}
	return k
}

// plug adds a NIC, one side of a veth pair of which the other is up.
func (h *host) plug(name string, last byte) Link {
	h.Helper()
	mac := metadata.MAC{2, 0, 0, 0, 0, last}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: net.HardwareAddr(mac[:]), MTU: 1500}, PeerName: name + "x"}
	h.must(netlink.LinkAdd(veth))
	peer, err := netlink.LinkByName(name + "x")
	h.must(err)
	h.must(netlink.LinkSetUp(peer))
	h.macs[mac] = true
	return h.link(name)
}

// plugUp is plug, and sets the NIC up.
func (h *host) plugUp(name string, last byte) Link {
	h.Helper()
	l := h.plug(name, last)
	h.must(h.conn.setLink(Setting{l.Index, LinkUp, "1"}))
	h.settle(name, true)
	return h.link(name)
}

// settle waits until both sides of a NIC are operational or not, which the kernel works out, and
// tells, some time after the change. A rule written behind it waits for the kernel's lock.
func (h *host) settle(name string, up bool) {
	h.Helper()
	for _, side := range []string{name, name + "x"} {
		for {
			l, err := netlink.LinkByName(side)
			h.must(err)
			if (l.Attrs().OperState == netlink.OperUp) == up {
				break
			}
			runtime.Gosched()
		}
	}
	r := Rule{Family: V4, Priority: 1, Table: 7, Proto: 4}
	h.must(h.conn.setRule(Add, r))
	h.must(h.conn.setRule(Del, r))
}

func (h *host) link(name string) Link {
	h.Helper()
	links, err := h.conn.links()
	h.must(err)
	for _, l := range links {
		if l.Name == name {
			return l
		}
	}
	h.Fatalf("no link %s", name)
	return Link{}
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *host) scope(tables ...int) Scope {
	return Scope{MACs: h.macs, Tables: tables, Protos: []int{testProto}, Numbers: DefaultNumbers}
}

// see observes with this Kernel and, as after a restart, with a new one; they must agree.
func (h *host) see(s Scope) Observation {
	h.Helper()
	o, err := h.Observe(h.Context(), s)
	h.must(err)
	fresh := h.open()
	defer fresh.Close()
	again, err := fresh.Observe(h.Context(), s)
	h.must(err)
	if diff := cmp.Diff(o, again, equate); diff != "" {
		h.Errorf("another Kernel sees something else (-running +new):\n%s", diff)
	}
	return o
}

// apply does ops that must all succeed.
func (h *host) apply(ops ...Op) {
	h.Helper()
	for _, r := range h.Apply(h.Context(), ops) {
		h.must(r.Err)
	}
}

func ops(v Verb, objects ...Object) (ops []Op) {
	for _, o := range objects {
		ops = append(ops, Op{Verb: v, Object: o, Dev: "eth1"})
	}
	return ops
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }
