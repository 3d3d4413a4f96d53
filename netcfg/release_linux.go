package netcfg

import (
	"slices"

	"golang.org/x/sys/unix"
)

// inUse reports whether others use a NIC that enid brought up: a bridge or bond of which it has
// become a port, an address, or a route, which would go if it were set down. What was ours
// on it is gone by the time that this is asked.
func (b *batch) inUse(nic Link) (bool, error) {
	if nic.Master != 0 {
		return true, nil
	}
	addrs, err := b.conn.addrs()
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(addrs, func(a presentAddr) bool { return a.Link == nic.Index && !a.passing }) {
		return true, nil
	}
	for _, f := range []Family{V4, V6} {
		routes, err := b.conn.allRoutes(routeFilter{family: f, oif: nic.Index})
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(routes, b.foreign) {
			return true, nil
		}
	}
	return false, nil
}

// foreign: neither ours nor what the kernel makes by itself of addresses and advertisements.
func (b *batch) foreign(r foundRoute) bool {
	return !b.record.protocols[r.Proto] && r.Proto != unix.RTPROT_KERNEL && r.Proto != unix.RTPROT_RA
}
