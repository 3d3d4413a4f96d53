package netcfg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watchGroups are the multicast groups whose changes may concern us.
var watchGroups = []int{
	unix.RTNLGRP_LINK,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

// watchBuffer holds some ten thousand events, so that a burst overruns it only
// where the filter had to be done without.
const watchBuffer = 4 << 20

// interest says which route changes concern us.
type interest struct {
	protos, tables, nics []int
}

func (i interest) equal(j interest) bool {
	return slices.Equal(i.protos, j.protos) && slices.Equal(i.tables, j.tables) && slices.Equal(i.nics, j.nics)
}

// watcher is an event socket and what it has seen.
type watcher struct {
	file *os.File

	mu       sync.Mutex
	interest interest
	running  bool
	dirty    bool // main changed through a NIC of interest since it was last read
}

// newWatcher opens the socket in the network namespace of the calling thread.
// It hears nothing yet.
func newWatcher() (*watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for events: %w", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "netlink events")}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		w.close()
		return nil, fmt.Errorf("bind the netlink socket for events: %w", err)
	}
	// With CAP_NET_ADMIN beyond the host's limit, else up to it.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer)
	}
	return w, nil
}

func (w *watcher) close() { _ = w.file.Close() }

// Watch calls poke whenever a link, an address, a rule, or a route that concerns
// us changed: one of our protocol, one through a NIC of the last observed Scope, or
// one that went out of a table of ours. An event says only "look again"; poke must not
// block. Our own writes are events too. After an overrun of the socket poke
// is called in any case. Watch returns nil when ctx ends.
func (k *Kernel) Watch(ctx context.Context, poke func()) error { return k.watch.run(ctx, poke) }

func (w *watcher) run(ctx context.Context, poke func()) error {
	if err := w.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("watch the kernel: %w", err)
	}
	if err := w.join(unix.NETLINK_ADD_MEMBERSHIP); err != nil {
		return fmt.Errorf("watch the kernel: %w", err)
	}
	w.set(true)
	defer func() {
		w.set(false)
		_ = w.join(unix.NETLINK_DROP_MEMBERSHIP) // fails only where Close was first
	}()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = w.file.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-stopped
		}
	}()
	poke() // for what happened before
	return w.receive(ctx, poke)
}

// set starts or ends the time in which the watcher can vouch for main.
func (w *watcher) set(running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running, w.dirty = running, true
}

// join enters or leaves the groups.
func (w *watcher) join(option int) error {
	return w.control(func(fd int) error {
		for _, group := range watchGroups {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, group); err != nil {
				return fmt.Errorf("netlink group %d: %w", group, err)
			}
		}
		return nil
	})
}

func (w *watcher) control(f func(fd int) error) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

func (w *watcher) receive(ctx context.Context, poke func()) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var failure error
		err := raw.Read(func(fd uintptr) bool {
			n, failure = retryEINTR(func() (int, error) { return unix.Read(int(fd), buf) })
			return !errors.Is(failure, unix.EAGAIN)
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("watch the kernel: %w", err)
		case errors.Is(failure, unix.ENOBUFS):
			w.mainChanged() // events are lost, maybe of main
			poke()
		case failure != nil:
			return fmt.Errorf("watch the kernel: %w", failure)
		case w.notice(buf[:n]):
			poke()
		}
	}
}

// notice reports whether a datagram of events has one that concerns us.
func (w *watcher) notice(b []byte) (relevant bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m, err := range messages(b) {
		if err != nil { // cannot be judged
			w.dirty = true
			return true
		}
		concerns, main := w.interest.judge(m)
		relevant = relevant || concerns
		w.dirty = w.dirty || main
	}
	return relevant
}

// judge says whether an event concerns us, and whether main's routes through
// our NICs may have changed: IPv4 routes that go with a link or with their source
// address go without an event of their own.
func (i interest) judge(m message) (concerns, main bool) {
	switch m.typ {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, ok := parseRoute(m.body)
		concerns = ok && i.concerns(m.typ, r.Route)
		return concerns, concerns && r.Table == MainTable
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l, ok := parseLink(m.body)
		return true, !ok || slices.Contains(i.nics, l.Index)
	default:
		return true, m.typ == unix.RTM_DELADDR
	}
}

// concerns says in Go what the socket's filter says to the kernel.
func (i interest) concerns(typ uint16, r Route) bool {
	return slices.Contains(i.protos, r.Proto) || slices.Contains(i.nics, r.Link) ||
		typ == unix.RTM_DELROUTE && slices.Contains(i.tables, r.Table)
}

// narrow changes what concerns us. A change of NICs makes the reader of main read
// again; the filter is there before it does.
func (w *watcher) narrow(i interest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.interest.equal(i) {
		return
	}
	w.interest = i
	// Without the filter there are more wake-ups, and the same pokes.
	_ = w.control(i.attach)
}

// mainUnchanged reports whether main is as it was when this was last asked, and
// starts anew.
func (w *watcher) mainUnchanged() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	dirty := w.dirty
	w.dirty = false
	return w.running && !dirty
}

// mainChanged makes main be read again.
func (w *watcher) mainChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true
}
