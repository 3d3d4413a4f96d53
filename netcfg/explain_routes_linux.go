package netcfg

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeKinds are the types of a route, rtm_type of linux/rtnetlink.h.
var routeKinds = map[byte]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
	unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable",
	unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
}

// hostRoutes reads those routes of a table that lead to the packet's destination or its source. A
// table that is not there has none.
func (c *conn) hostRoutes(s *sight, table int) ([]hostRoute, error) {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(s.family)}}
	parse := func(b []byte) (hostRoute, bool) {
		r, ok := parseHostRoute(b, s.name)
		ends := func(a netip.Addr) bool { return a.IsValid() && r.dst.Contains(a) }
		return r, ok && r.table == table && b[0] == netlinkFamily(s.family) && (ends(s.packet.Dst) || ends(s.packet.Src))
	}
	routes, err := dump(c, unix.RTM_GETROUTE, parse, msg, attrU32(unix.RTA_TABLE, uint32(table)))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return routes, err
}

// parseHostRoute reads an RTM_NEWROUTE.
func parseHostRoute(b []byte, name func(index int) string) (r hostRoute, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return r, false
	}
	flags := u32(b[8:])
	r = hostRoute{table: int(b[4]), kind: routeKinds[b[7]], tos: b[3] != 0, preference: routerPreference(0)}
	dst, known := zeroAddr(b[0])
	src := dst
	if !known || flags&unix.RTM_F_CLONED != 0 || r.kind == "" {
		return r, false
	}
	only := routeHop{dead: flags&unix.RTNH_F_DEAD != 0}
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_SRC:
			src, _ = netip.AddrFromSlice(v)
		case unix.RTA_TABLE:
			r.table = int(u32(v))
		case unix.RTA_PRIORITY:
			r.metric = int(u32(v))
		case unix.RTA_OIF:
			only.nic = name(int(u32(v)))
		case unix.RTA_MULTIPATH:
			r.hops = parseHops(v, name)
		case unix.RTA_PREF:
			if len(v) == 1 {
				r.preference = routerPreference(v[0])
			}
		default:
			only.takeGateway(typ, v)
		}
	}
	if r.hops == nil {
		r.hops = []routeHop{only}
	}
	r.dst = netip.PrefixFrom(dst, int(b[1])).Masked()
	if b[2] != 0 {
		r.src = netip.PrefixFrom(src, int(b[2])).Masked()
	}
	return r, r.dst.IsValid()
}

func (h *routeHop) takeGateway(typ int, v []byte) {
	switch typ {
	case unix.RTA_GATEWAY:
		h.via, _ = netip.AddrFromSlice(v)
	case unix.RTA_VIA:
		h.via = viaOf(v)
	}
}

// viaOf is a gateway of another family, struct rtvia.
func viaOf(v []byte) (a netip.Addr) {
	if len(v) > 2 {
		a, _ = netip.AddrFromSlice(v[2:])
	}
	return a
}

// routerPreference orders the two bits of RFC 4191: medium 00, high 01, low 11.
func routerPreference(bits byte) int { return int(bits&3 ^ 2) }

// parseHops reads RTA_MULTIPATH, a row of struct rtnexthop.
func parseHops(b []byte, name func(index int) string) (hops []routeHop) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(u16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			return hops
		}
		h := routeHop{dead: b[2]&unix.RTNH_F_DEAD != 0, nic: name(int(int32(u32(b[4:]))))}
		for typ, v := range attributes(b[unix.SizeofRtNexthop:size]) {
			h.takeGateway(typ, v)
		}
		hops = append(hops, h)
		b = b[min(aligned(size), len(b)):]
	}
	return hops
}

// header is a request's, byte by byte: struct ndmsg has no type in the library's nl.
type header []byte

func (h header) Len() int          { return len(h) }
func (h header) Serialize() []byte { return h }

// failedGateways marks the IPv6 gateways that do not answer neighbour discovery.
func (c *conn) failedGateways(s *sight) error {
	if s.family == V4 {
		return nil
	}
	type neighbour struct {
		nic string
		ip  netip.Addr
	}
	failed, err := dump(c, unix.RTM_GETNEIGH, func(b []byte) (n neighbour, ok bool) {
		if len(b) < unix.SizeofNdMsg || u16(b[8:])&unix.NUD_FAILED == 0 {
			return n, false
		}
		n.nic = s.name(int(int32(u32(b[4:]))))
		for typ, v := range attributes(b[unix.SizeofNdMsg:]) {
			if typ == unix.NDA_DST {
				n.ip, _ = netip.AddrFromSlice(v)
			}
		}
		return n, n.ip.IsValid()
	}, header{unix.AF_INET6, unix.SizeofNdMsg - 1: 0})
	if err != nil {
		return err
	}
	for _, routes := range s.routes {
		for _, r := range routes {
			for i, h := range r.hops {
				r.hops[i].failed = slices.Contains(failed, neighbour{h.nic, h.via})
			}
		}
	}
	return nil
}
