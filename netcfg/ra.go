package netcfg

import (
	"net/netip"
	"slices"
)

// Mark is what the kernel says beside an IPv6 address. It never decides whether an address of ours is as it should
// be: who changes the flags or the lifetime of one has changed nothing that enid wants.
type Mark uint8

// The marks. An address may have several.
const (
	Autoconfigured Mark = 1 << iota // the kernel made it from a router advertisement (SLAAC)
	Temporary                       // made beside such a one, for privacy (RFC 8981)
	Duplicate                       // not in use: somebody else has it (dadfailed)
)

// gateway is that of main's default route through a NIC, the zero Addr for none. What follows from a router
// advertisement comes last.
func (h Host) gateway(link int, f Family) netip.Addr {
	for _, r := range h.defaults(link, f) {
		if r.Via.IsValid() {
			return r.Via
		}
	}
	return netip.Addr{}
}

// defaults are main's foreign default routes through a NIC.
func (h Host) defaults(link int, f Family) []Route {
	var all []Route
	for _, r := range h.within(link, defaultOf(f)) {
		if r.Dst.Bits() != 0 {
			break // the defaults come first
		}
		all = append(all, r)
	}
	return append(all, keep(h.RADefaults, func(r Route) bool { return r.Link == link && FamilyOf(r.Dst.Addr()) == f })...)
}

// keepsRA reports whether the primary's NIC is to accept router advertisements also while the host forwards
// (accept_ra=2). With 1, which means only while it does not, the kernel drops the IPv6 default at the moment in which a
// container runtime switches forwarding on. Where it is 0 somebody else reads the advertisements, or nobody wants them.
// That it has lost the default is noted.
func (e *eni) keepsRA(b *builder, present string, ours bool) bool {
	used := slices.ContainsFunc(e.Addresses.Value, netip.Addr.Is6) // as somebody says, not only the NIC
	has := b.Seen.Host.defaults(e.Link.Index, V6)
	e.LostRA = used && present != "0" && present != "" && len(has) == 0 && e.Link.Up && b.Seen.Host.Forwards[V6]
	advertised := slices.ContainsFunc(b.Seen.Host.RADefaults, func(r Route) bool { return r.Link == e.Link.Index })
	return (present == "1" || ours) && (used || advertised)
}

// purgeRA removes a secondary ENI's IPv6 default that the kernel put into main before accept_ra was 0: it would stay for
// as long as the router said, and draw the host's own traffic. It is the one thing of others that enid removes; with
// accept_ra as it was the next advertisement brings it back. One that is there although the kernel accepted no
// advertisement is a network manager's, and told.
func (e *eni) purgeRA(b *builder, present string) {
	found := present
	for _, s := range b.Seen.Host.Found {
		if s.Link == e.Link.Index && s.Knob == AcceptRA {
			found = s.Value
		}
	}
	for _, r := range b.Seen.Host.RADefaults {
		switch {
		case r.Link != e.Link.Index:
		case found != "0" && found != "":
			b.purge = append(b.purge, r)
		default:
			e.problem("", "foreign-default", "a network manager put an IPv6 default route by %s into main, from a router advertisement on %s; traffic of this host may leave by it: make the manager leave %s alone (enid doctor)", r.Via, e.Link.Name, e.Link.Name)
		}
	}
}

// tellMarks tells of addresses of the ENI that the kernel does not use.
func (e *eni) tellMarks(b *builder) {
	for _, x := range b.marks(e, Duplicate) {
		if slices.Contains(e.nets[V6].addrs, x) {
			e.problem("addresses", "address-duplicate", "somebody else in the subnet has %s too, says the kernel (dadfailed), and does not use it on %s; find out who, then take it off the NIC (ip addr del %s dev %s) and enid or DHCP puts it there anew", x, e.Link.Name, x, e.Link.Name)
		}
	}
}

// marks are the addresses on the ENI's NIC that have one of these marks.
func (b *builder) marks(e *eni, m Mark) (addrs []netip.Addr) {
	for a, has := range b.Seen.Host.Marks {
		if a.Link == e.Link.Index && has&m != 0 {
			addrs = append(addrs, a.Prefix.Addr())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}
