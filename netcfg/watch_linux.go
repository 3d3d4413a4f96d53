package netcfg

import (
	"context"
	"fmt"
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
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
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
	eventSocket
	own       uint32 // port id of the socket by which we change things
	opponents opponents

	mu       sync.Mutex
	interest interest
	running  bool
	dirty    bool // main changed through a NIC of interest since it was last read
}

// newWatcher opens the socket in the network namespace of the calling thread.
// It hears nothing yet.
func newWatcher() (*watcher, error) {
	socket, err := openEvents(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &watcher{eventSocket: socket}, nil
}

// Watch calls poke whenever a link, an address, a rule, or a route that concerns
// us changed: one of our protocol, one through a NIC of the last observed Scope, or
// one that went out of a table of ours. An event says only "look again"; poke must not
// block. Our own writes are events too. After an overrun of the socket poke
// is called in any case. Once chains have been looked at, changes of iptables in nf_tables are heard of
// too; then poke may be called from two goroutines. Watch returns nil when ctx ends.
func (k *Kernel) Watch(ctx context.Context, poke func()) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.firewall.events.run(ctx, poke)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	return k.watch.run(ctx, poke)
}

func (w *watcher) run(ctx context.Context, poke func()) error {
	err := w.listen(ctx, watchGroups, w.set, func(b []byte) bool {
		if b == nil { // events are lost, maybe of main
			w.mainChanged()
			return true
		}
		return w.notice(b)
	}, poke)
	if err != nil {
		return fmt.Errorf("watch the kernel: %w", err)
	}
	return nil
}

// set starts or ends the time in which the watcher can vouch for main.
func (w *watcher) set(running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running, w.dirty = running, true
}

// notice reports whether a datagram of events has one that concerns us.
func (w *watcher) notice(b []byte) (relevant bool) {
	relevant, by := w.read(b)
	for _, port := range by {
		w.opponents.note(port, time.Now())
	}
	return relevant
}

// read judges the events of a datagram. by are the ports of others who removed something of
// ours, one for each object.
func (w *watcher) read(b []byte) (relevant bool, by []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m, err := range messages(b) {
		if err != nil { // cannot be judged
			w.dirty = true
			return true, by
		}
		concerns, main := w.interest.judge(m)
		relevant = relevant || concerns
		w.dirty = w.dirty || main
		if m.port != w.own && w.interest.removes(m) {
			by = append(by, m.port)
		}
	}
	return relevant, by
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
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return i.concernsSetting(m.body), false
	default:
		return true, m.typ == unix.RTM_DELADDR
	}
}

// concernsSetting is about an event of the settings that the kernel tells of, such as forwarding: of a NIC of
// ours or of all NICs (NETCONFA_IFINDEX_ALL).
func (i interest) concernsSetting(body []byte) bool {
	const attrIfindex, all = 1, -1 // NETCONFA_IFINDEX, behind struct netconfmsg
	for typ, v := range attributes(body[min(4, len(body)):]) {
		if typ == attrIfindex {
			nic := int(int32(u32(v)))
			return nic == all || slices.Contains(i.nics, nic)
		}
	}
	return true // cannot be judged
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
