package netcfg

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeFilter says which routes to dump; zero fields do not filter. Kernels
// before 4.20 send all of them, so the answers are compared too.
type routeFilter struct {
	family Family
	table  int
	proto  int
	oif    int
}

// foundRoute is a route as the kernel shows it. It is plain if its Route says
// all of it that matters to us; not so with several next hops, a gateway of the
// other family, encapsulation, or a type such as blackhole.
type foundRoute struct {
	Route
	plain bool
}

// routes dumps the plain routes that the filter takes.
func (c *conn) routes(f routeFilter) ([]Route, error) {
	found, err := c.allRoutes(f)
	var plain []Route
	for _, r := range found {
		if r.plain {
			plain = append(plain, r.Route)
		}
	}
	return plain, err
}

// allRoutes dumps what the filter takes, plain or not. A table, a NIC or a family
// that the kernel does not have holds none.
func (c *conn) allRoutes(f routeFilter) ([]foundRoute, error) {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(f.family), Protocol: uint8(f.proto)}}
	parts := []nl.NetlinkRequestData{msg}
	if f.table != 0 {
		parts = append(parts, attrU32(unix.RTA_TABLE, uint32(f.table)))
	}
	if f.oif != 0 {
		parts = append(parts, attrU32(unix.RTA_OIF, uint32(f.oif)))
	}
	parse := func(b []byte) (foundRoute, bool) {
		r, ok := parseRoute(b)
		return r, ok && f.takes(r.Route)
	}
	routes, err := dump(c, unix.RTM_GETROUTE, parse, parts...)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || f.family == V6 && familyMissing(err) {
		return nil, nil
	}
	return routes, err
}

func (f routeFilter) takes(r Route) bool {
	return FamilyOf(r.Dst.Addr()) == f.family &&
		(f.table == 0 || f.table == r.Table) &&
		(f.proto == 0 || f.proto == r.Proto) &&
		(f.oif == 0 || f.oif == r.Link)
}

// familyMissing: a kernel without IPv6, or one started with ipv6.disable=1.
func familyMissing(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

// parseRoute reads an RTM_NEWROUTE. Routes of one type of service or source
// prefix and the cache's clones stand beside all others: not ok. A preferred source
// and metrics such as an MTU are left out: they are no part of what is copied.
func parseRoute(b []byte) (foundRoute, bool) {
	if len(b) < unix.SizeofRtMsg {
		return foundRoute{}, false
	}
	srcLen, tos, kind, flags := b[2], b[3], b[7], u32(b[8:])
	r := foundRoute{Route: Route{Table: int(b[4]), Proto: int(b[5])}, plain: true}
	dst, known := zeroAddr(b[0])
	if !known || srcLen != 0 || tos != 0 || flags&unix.RTM_F_CLONED != 0 {
		return foundRoute{}, false
	}
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_GATEWAY:
			r.Via, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			r.Link = int(u32(v))
		case unix.RTA_PRIORITY:
			r.Metric = int(u32(v))
		case unix.RTA_TABLE:
			r.Table = int(u32(v))
		case unix.RTA_MULTIPATH, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_NEWDST:
			r.plain = false
		}
	}
	r.Dst = netip.PrefixFrom(dst, int(b[1])).Masked()
	switch kind {
	case unix.RTN_UNREACHABLE:
		r.Link = 0 // IPv6 says lo
		r.plain = r.plain && !r.Via.IsValid()
	case unix.RTN_LOCAL:
		r.plain = r.plain && r.Local() && r.Link != 0
	default:
		r.plain = r.plain && kind == unix.RTN_UNICAST && !r.Local() && r.Link != 0
	}
	return r, r.Dst.IsValid()
}

// zeroAddr is the address of a default route, which the kernel leaves out.
func zeroAddr(family byte) (netip.Addr, bool) {
	switch family {
	case unix.AF_INET:
		return netip.IPv4Unspecified(), true
	case unix.AF_INET6:
		return netip.IPv6Unspecified(), true
	}
	return netip.Addr{}, false
}

// setRoute adds a route, puts it in the place of another of the same
// destination and metric, or deletes it.
func (c *conn) setRoute(v Verb, r Route) error {
	switch v {
	case Del:
		return c.do(unix.RTM_DELROUTE, 0, r.encode()...)
	case Replace:
		return c.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, r.encode()...)
	default:
		return c.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, r.encode()...)
	}
}

func (r Route) encode() []nl.NetlinkRequestData {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family:   netlinkFamily(FamilyOf(r.Dst.Addr())),
		Dst_len:  uint8(r.Dst.Bits()),
		Protocol: uint8(r.Proto),
		Scope:    unix.RT_SCOPE_UNIVERSE,
		Type:     unix.RTN_UNICAST,
	}}
	parts := []nl.NetlinkRequestData{msg, attrU32(unix.RTA_TABLE, uint32(r.Table))}
	if r.Dst.Bits() != 0 {
		parts = append(parts, nl.NewRtAttr(unix.RTA_DST, r.Dst.Addr().AsSlice()))
	}
	if r.Metric != 0 {
		parts = append(parts, attrU32(unix.RTA_PRIORITY, uint32(r.Metric)))
	}
	if r.Unreachable() {
		msg.Type = unix.RTN_UNREACHABLE
		return parts
	}
	if r.Via.IsValid() {
		msg.Flags = unix.RTNH_F_ONLINK
		parts = append(parts, nl.NewRtAttr(unix.RTA_GATEWAY, r.Via.AsSlice()))
	} else if r.Dst.Addr().Is4() {
		msg.Scope = unix.RT_SCOPE_LINK
	}
	if r.Local() {
		msg.Type = unix.RTN_LOCAL
		if r.Dst.Addr().Is4() {
			msg.Scope = unix.RT_SCOPE_HOST
		}
	}
	return append(parts, attrU32(unix.RTA_OIF, uint32(r.Link)))
}

// inPlace lists the routes that stand where r would: same table, destination and
// metric, whoever put them there, in the kernel's order.
func (c *conn) inPlace(r Route) ([]foundRoute, error) {
	all, err := c.allRoutes(routeFilter{family: FamilyOf(r.Dst.Addr()), table: r.Table})
	var same []foundRoute
	for _, other := range all {
		if other.Dst == r.Dst && other.Metric == r.effectiveMetric() {
			same = append(same, other)
		}
	}
	return same, err
}
