package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a network namespace with loopback up: a VM, a neighbour, the host outside
// or the fabric itself. It ends with its Lab.
type Host struct {
	Name string
	// Addrs are the addresses that the lab gave it, IPv4 first: the ends of
	// probes. A VM has none here, its addresses are the business of who runs in it.
	Addrs []netip.Addr

	ns *os.File
	nl *netlink.Handle

	mu         sync.Mutex
	started    []*os.Process
	echo       *echoServer
	containers int // behind its ContainerBridge
}

// newHost makes a host, with these sysctls set before it has any NIC but lo.
func newHost(name string, sysctls ...string) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	h := &Host{Name: name, ns: ns}
	h.nl, err = netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err == nil {
		err = loopbackUpWith(h.nl)
	}
	if err == nil {
		err = h.Do(func() error { return setSysctls(sysctls...) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host %s: %w", name, err), h.close())
	}
	return h, nil
}

// Addr is the host's first address of the family of like, the zero Addr where it has none.
func (h *Host) Addr(like netip.Addr) netip.Addr {
	for _, a := range h.Addrs {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// Netlink is a route netlink handle in the host, for any goroutine, until the lab is closed.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Do runs f on a thread of its own in the host's namespace and returns f's error. What f
// opens stays in the namespace when f is done; goroutines that f starts run outside.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter host %s: %w", h.Name, err)
		}
		return f()
	})
}

// Start starts cmd in the host, with a /sys that shows the host's NICs. The caller
// waits for it; Lab.Close kills what still runs, as does the end of this
// process. Do not set Pdeathsig: the thread that starts cmd ends at once.
func (h *Host) Start(cmd *exec.Cmd) error {
	err := h.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("make a mount namespace: %w", err)
		}
		_ = mountSysfs() // as in furnish
		return cmd.Start()
	})
	if err != nil {
		return fmt.Errorf("start %s in host %s: %w", cmd.Path, h.Name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started = append(h.started, cmd.Process)
	return nil
}

// Run runs a program in the host and returns what it printed, errors included.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	return h.runInput(ctx, "", name, args...)
}

func (h *Host) runInput(ctx context.Context, input, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	if err := h.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	h.forget(cmd.Process)
	if err != nil {
		return out.String(), fmt.Errorf("%s in host %s: %w: %s", strings.Join(cmd.Args, " "), h.Name, err, out.String())
	}
	return out.String(), nil
}

func (h *Host) forget(p *os.Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.started {
		if h.started[i] == p {
			h.started = append(h.started[:i], h.started[i+1:]...)
			return
		}
	}
}

// Listen is net.Listen in the host.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// Dial connects from the host to a literal address and port, for example with
// network "tcp" or "udp", from src where it is valid.
func (h *Host) Dial(ctx context.Context, network string, src netip.Addr, dst netip.AddrPort) (conn net.Conn, err error) {
	d := net.Dialer{LocalAddr: localAddr(network, src)}
	err = h.Do(func() error {
		conn, err = d.DialContext(ctx, network, dst.String())
		return err
	})
	return conn, err
}

func localAddr(network string, src netip.Addr) net.Addr {
	switch from := netip.AddrPortFrom(src, 0); {
	case !src.IsValid():
		return nil
	case network == "udp":
		return net.UDPAddrFromAddrPort(from)
	default:
		return net.TCPAddrFromAddrPort(from)
	}
}

// close ends the host's processes and lets go of its namespace.
func (h *Host) close() error {
	var errs []error
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.started {
		if p.Kill() == nil {
			// Seen as dead, but left to whoever started it to collect.
			_ = unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		}
	}
	h.started = nil
	if h.echo != nil {
		errs = append(errs, h.echo.close())
		h.echo = nil
	}
	if h.nl != nil {
		h.nl.Close()
	}
	return errors.Join(append(errs, h.ns.Close())...)
}
