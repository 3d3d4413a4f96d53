package netcfg

import (
	"net/netip"
	"slices"
)

// network is the part of an ENI in one family.
type network struct {
	addrs    []netip.Addr
	first    netip.Addr // the primary address, also where it is narrowed away
	subnets  []netip.Prefix
	prefixes []netip.Prefix
	local    []netip.Prefix
	gateway  netip.Addr // zero where unknown
}

// networks splits an ENI's facts by family. For the primary, what the metadata does not
// say is read off the host, which somebody else has configured already.
func (b *builder) networks(e *eni) map[Family]network {
	nets := map[Family]network{}
	for _, f := range []Family{V4, V6} {
		n := network{
			addrs:    keep(e.Addresses.Value, func(a netip.Addr) bool { return FamilyOf(a) == f }),
			subnets:  keep(e.Subnets.Value, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == f }),
			prefixes: keep(e.ENI.Prefixes.Value, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == f }),
			local:    keep(e.ENI.Local.Value, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == f }),
		}
		for _, g := range e.Gateways.Value {
			if FamilyOf(g) == f {
				n.gateway = g
			}
		}
		if e.primary() && e.Link.Index != 0 {
			b.recallGateway(e, f, &n)
			b.fromHost(e, f, &n)
		}
		if len(n.addrs) > 0 {
			n.first = n.addrs[0]
		}
		n.addrs = keep(n.addrs, e.allows)
		if e.Link.Index != 0 && (e.Hold || !e.Local.Whole()) { // of them each ENI's Hold does not speak
			b.recallLocal(e, f, &n)
		}
		if e.Hold && e.Link.Index != 0 {
			b.recall(e, f, &n)
		}
		switch {
		case len(n.addrs) == 0 && len(n.ranges()) == 0:
		case f == V6 && e.Link.NoIPv6:
			e.problem("addresses", "ipv6-off", "IPv6 is switched off on %s, so it gets IPv4 only (sysctl net.ipv6.conf.%s.disable_ipv6)", e.Link.Name, e.Link.Name)
		default:
			nets[f] = n
		}
	}
	return nets
}

// fromHost completes the primary's network with its NIC's addresses and main's default route.
func (b *builder) fromHost(e *eni, f Family, n *network) {
	theirs := keep(b.Seen.Host.nets(e.Link.Index, f), func(p netip.Prefix) bool {
		return b.Seen.Host.Marks[Addr{e.Link.Index, p}]&Autoconfigured == 0 // not the ENI's, as the cloud sees it
	})
	if !e.Addresses.Whole() && len(theirs) > 0 && !slices.Contains(n.addrs, theirs[0].Addr()) {
		n.addrs = slices.Insert(n.addrs, 0, theirs[0].Addr())
	}
	b.Seen.Host.complete(e.Link.Index, f, n)
}

// nets are the foreign addresses of a NIC that came with a subnet.
func (h Host) nets(link int, f Family) (nets []netip.Prefix) {
	for _, a := range h.Addrs {
		if a.Link == link && FamilyOf(a.Prefix.Addr()) == f && !a.Prefix.IsSingleIP() {
			nets = append(nets, a.Prefix)
		}
	}
	return nets
}

// complete adds to a network what the host knows of the NIC that its addresses are on, where it is not known yet:
// the subnets of the addresses, and the gateway of main's default route.
func (h Host) complete(link int, f Family, n *network) {
	if len(n.subnets) == 0 {
		for _, a := range h.nets(link, f) {
			if p := a.Masked(); slices.ContainsFunc(n.addrs, p.Contains) && !slices.Contains(n.subnets, p) {
				n.subnets = append(n.subnets, p)
			}
		}
	}
	if n.gateway.IsValid() {
		return
	}
	n.gateway = h.gateway(link, f)
}

// onLink are the subnets that an ENI is in. In IPv4 that is the one of its primary address and its gateway: an address
// of another subnet (JD Cloud lets an ENI have some) does not bring that subnet onto the ENI's link, and what is in it
// is behind the gateway. In IPv6 a subnet may have several ranges, with one gateway that is link-local.
func (n network) onLink() []netip.Prefix {
	own := keep(n.subnets, func(s netip.Prefix) bool {
		return s.Addr().Is6() || s.Contains(n.first) || s.Contains(n.gateway)
	})
	if len(own) == 0 { // neither is known
		return n.subnets
	}
	return own
}

func (e *eni) allows(a netip.Addr) bool {
	return len(e.Only) == 0 || slices.ContainsFunc(e.Only, func(p netip.Prefix) bool { return p.Contains(a) })
}

// any names the network in a message.
func (n network) any() string {
	if len(n.addrs) > 0 {
		return n.addrs[0].String()
	}
	return n.ranges()[0].String()
}

func (b *builder) hasForeign(link int, a netip.Addr) bool {
	return slices.ContainsFunc(b.Seen.Host.Addrs, func(x Addr) bool { return x.Link == link && x.Prefix.Addr() == a })
}
