package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errLeft is what onThread returns where f left its goroutine, by t.Fatal for example.
var errLeft = errors.New("lab: the function ended its goroutine instead of returning")

// onThread runs f on an OS thread of its own, which ends with it: whatever f changes in
// the thread's namespaces touches nobody else.
func onThread(f func() error) error {
	err := errLeft
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and /proc/self shows its namespaces. It
			// is held here while another thread does the work.
			defer runtime.UnlockOSThread()
			err = onThread(f)
			return
		}
		err = f()
	}()
	<-done
	return err
}

// newNamespace makes a network namespace that lives as long as the file is open.
func newNamespace() (ns *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// loopbackUp sets lo up in the namespace of the calling thread.
func loopbackUp() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	return loopbackUpWith(h)
}

func loopbackUpWith(h *netlink.Handle) error {
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = h.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// setSysctls writes "path below /proc/sys/net=value" lines, in their order, in the
// namespace of the calling thread.
func setSysctls(lines ...string) error {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
			return fmt.Errorf("set %s (the lab needs IPv4, IPv6 and a writable /proc/sys): %w", line, err)
		}
	}
	return nil
}
