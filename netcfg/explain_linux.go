package netcfg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"enid/metadata"
)

// explainAttempts is how often the host is read again where the walk and the kernel disagree,
// which may be only because something changed in between.
const explainAttempts = 3

// Explain walks this namespace's rules for a packet and compares with the kernel's own lookup.
// p is one that Check takes. It needs no privilege. The error says why there is no answer; a packet that is refused, or
// goes wrong, is an answer.
func Explain(ctx context.Context, p Packet, n Numbers, enis []NamedENI) (Explanation, error) {
	if p.IIF != "" {
		p.UID = 0 // of what no socket sends, as the kernel has it
	}
	c, err := openConn()
	if err != nil {
		return Explanation{}, err
	}
	defer c.close()
	var e Explanation
	for range explainAttempts {
		s := &sight{Numbers: n, packet: p, family: FamilyOf(p.Dst), enis: enis}
		if err := c.survey(ctx, s); err != nil {
			return Explanation{}, err
		}
		if err := s.answerable(); err != nil {
			return Explanation{}, err
		}
		e = s.explain()
		if e.Kernel, err = c.ask(s, e); err != nil {
			return Explanation{}, err
		}
		s.finish(&e)
		if e.Kernel.Agrees {
			break
		}
	}
	return e, nil
}

// survey reads what the packet's way depends on.
func (c *conn) survey(ctx context.Context, s *sight) (err error) {
	if s.links, err = c.links(); err != nil {
		return fmt.Errorf("read the links: %w", err)
	}
	if s.packet.IIF != "" && s.link(s.packet.IIF).Name == "" {
		return fmt.Errorf("--iif %s: there is no such NIC; ip link shows those of this host", s.packet.IIF)
	}
	addrs, err := c.addrs()
	if err != nil {
		return fmt.Errorf("read the addresses: %w", err)
	}
	for _, a := range addrs {
		s.addrs = append(s.addrs, a.Addr)
	}
	if s.rules, err = c.hostRules(s.family); err != nil {
		return fmt.Errorf("read the IPv%d policy rules: %w", s.family, err)
	}
	if slices.ContainsFunc(s.rules, func(r hostRule) bool { return r.l3mdev }) {
		if s.vrfs, err = c.vrfs(); err != nil {
			return fmt.Errorf("read the VRFs: %w", err)
		}
	}
	if err := c.surveyTables(ctx, s); err != nil {
		return err
	}
	return s.settings()
}

// surveyTables reads the routes to the packet's destination, and to its source, of every table that
// a rule names.
func (c *conn) surveyTables(ctx context.Context, s *sight) error {
	tables := []int{LocalTable}
	for _, r := range s.rules {
		if r.action == actionTable && r.table != 0 {
			tables = append(tables, r.table)
		}
	}
	for _, t := range s.vrfs {
		tables = append(tables, t)
	}
	s.routes = map[int][]hostRoute{}
	for _, t := range sorted(tables) {
		if err := ctx.Err(); err != nil {
			return err
		}
		routes, err := c.hostRoutes(s, t)
		if err != nil {
			return fmt.Errorf("read table %d: %w", t, err)
		}
		slices.SortStableFunc(routes, routeOrder)
		s.routes[t] = routes
	}
	return c.failedGateways(s)
}

// settings reads the sysctls that the way depends on.
func (s *sight) settings() (err error) {
	if s.family == V6 {
		forwards, err := sysctlNumber("all", "ipv6/conf/*/forwarding")
		s.reachableFirst = forwards == 0
		return err
	}
	if s.packet.IIF == "" {
		return nil
	}
	either := func(k Knob) int { // all's counts where it is more
		all, errAll := sysctlNumber("all", k)
		own, errOwn := sysctlNumber(s.packet.IIF, k)
		err = errors.Join(err, errAll, errOwn)
		return max(all, own)
	}
	s.in.rpFilter = either(RPFilter)
	s.in.useMark = either("ipv4/conf/*/src_valid_mark") != 0
	s.in.acceptLocal = either("ipv4/conf/*/accept_local") != 0
	forwards, errForwards := sysctlNumber(s.packet.IIF, "ipv4/conf/*/forwarding")
	s.in.forwards = forwards != 0
	s.in.hasAddresses = slices.ContainsFunc(s.addrs, func(a Addr) bool {
		return a.Prefix.Addr().Is4() && s.name(a.Link) == s.packet.IIF
	})
	return errors.Join(err, errForwards)
}

// sysctlNumber is 0 for a setting that this NIC does not have.
func sysctlNumber(dev string, k Knob) (n int, err error) {
	value, err := readSysctl(dev, k)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(value, &n); err != nil {
		return 0, fmt.Errorf("sysctl net.%s is %q, want a number: %w", k.dotted(dev), value, err)
	}
	return n, nil
}

// answerable: what is made on this host is sent from an address of it.
func (s *sight) answerable() error {
	src := s.packet.Src
	if !src.IsValid() || s.packet.IIF != "" {
		return nil
	}
	r, _, found := s.lookup(LocalTable, flow{src: src, dst: src, iif: "lo"})
	if !found || r.kind != "local" {
		return fmt.Errorf("%s is no address of this host; for a packet that comes in from outside or from a container say by which NIC, such as --iif eth1", src)
	}
	return nil
}

// ask puts the packet to the kernel and compares.
func (c *conn) ask(s *sight, e Explanation) (k KernelWay, err error) {
	parts := s.question()
	err = c.exchange(request(unix.RTM_GETROUTE, unix.NLM_F_ACK, parts), func(b []byte) error {
		k.read(b, s.name)
		return nil
	})
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		return k, fmt.Errorf("ask the kernel for the way: %w", err)
	}
	if err != nil {
		k = KernelWay{Error: err.Error()}
	}
	k.Agrees = agrees(s, e, k, errno)
	return k, nil
}

// question is the packet as ip route get would ask for it.
func (s *sight) question() []nl.NetlinkRequestData {
	p := s.packet
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(s.family), Dst_len: uint8(p.Dst.BitLen())}}
	if s.family == V4 { // IPv6 tells the table in any case
		msg.Flags = unix.RTM_F_LOOKUP_TABLE
	}
	parts := []nl.NetlinkRequestData{msg, nl.NewRtAttr(unix.RTA_DST, p.Dst.AsSlice()), attrU32(unix.RTA_MARK, p.Mark), attrU32(unix.RTA_UID, p.UID)}
	if p.Src.IsValid() {
		msg.Src_len = uint8(p.Src.BitLen())
		parts = append(parts, nl.NewRtAttr(unix.RTA_SRC, p.Src.AsSlice()))
	}
	if p.IIF != "" {
		parts = append(parts, attrU32(unix.RTA_IIF, uint32(s.link(p.IIF).Index)))
	}
	if s.family == V4 { // where none is given the kernel takes UDP, for which there may be a rule
		parts = append(parts, nl.NewRtAttr(unix.RTA_IP_PROTO, nl.Uint8Attr(s.unnamedProtocol())))
	}
	return parts
}

// unnamedProtocol is one that no rule asks for, among the three that the kernel takes in a question.
func (s *sight) unnamedProtocol() uint8 {
	for _, p := range []uint8{unix.IPPROTO_ICMP, unix.IPPROTO_UDP} {
		named := selector{text: "ipproto " + protoName(p), kind: byTraffic}
		if !slices.ContainsFunc(s.rules, func(r hostRule) bool { return slices.Contains(r.narrow, named) }) {
			return p
		}
	}
	return unix.IPPROTO_TCP
}

// read takes the kernel's answer, an RTM_NEWROUTE.
func (k *KernelWay) read(b []byte, name func(index int) string) {
	if len(b) < unix.SizeofRtMsg {
		return
	}
	k.Table, k.Type = int(b[4]), routeKinds[b[7]]
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_TABLE:
			k.Table = int(u32(v))
		case unix.RTA_OIF:
			k.NIC = name(int(u32(v)))
		case unix.RTA_GATEWAY:
			k.Via, _ = netip.AddrFromSlice(v)
		case unix.RTA_VIA:
			k.Via = viaOf(v)
		case unix.RTA_PREFSRC:
			k.Source, _ = netip.AddrFromSlice(v)
		}
	}
}

// agrees compares the kernel's answer, or the errno with which it refused, with the walk's.
func agrees(s *sight, e Explanation, k KernelWay, errno unix.Errno) bool {
	if want := refusals(s, e); slices.Contains(want, errno) {
		return true
	} else if len(want) > 0 && !e.Reverse.Partly {
		return false
	}
	if errno != 0 || k.Type != e.Way.Type || k.Table != e.Way.Table {
		return false
	}
	return e.Way.Type != "unicast" || slices.ContainsFunc(e.Way.Hops, func(h Hop) bool { return h.NIC == k.NIC && h.Via == k.Via })
}

// refusals are the errors with which the kernel refuses such a way; none where it takes it. New kernels
// say EINVAL for whatever is wrong with an incoming packet.
func refusals(s *sight, e Explanation) []unix.Errno {
	incoming, unicast := s.packet.IIF != "" && s.family == V4, e.Way.Type == "unicast"
	switch {
	case e.Reverse.Drops && (s.in.forwards || !unicast):
		return []unix.Errno{unix.EXDEV, unix.EINVAL}
	case incoming && !s.in.forwards && (unicast || e.Way.refused()):
		return []unix.Errno{unix.EHOSTUNREACH}
	case s.loopbackLeaves(e.Way):
		return []unix.Errno{unix.EINVAL}
	case !e.Way.refused():
		return nil
	case e.Way.Type == "prohibit":
		return []unix.Errno{unix.EACCES}
	case e.Way.Type == "blackhole":
		return []unix.Errno{unix.EINVAL}
	case e.Way.Type == "unreachable" && e.Way.Table != 0:
		return []unix.Errno{unix.EHOSTUNREACH}
	}
	return []unix.Errno{unix.ENETUNREACH}
}

// finish says what is wrong with the way.
func (s *sight) finish(e *Explanation) {
	s.findings(e)
	if !e.Kernel.Agrees {
		e.Wrong = append(e.Wrong, metadata.Problem{Reason: "kernel-disagrees",
			Text: "the kernel's own lookup answers differently: believe the kernel, and report this with the output of ip rule and ip route show table all"})
	}
}
