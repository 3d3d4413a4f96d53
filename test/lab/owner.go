package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SetOwner tells the fabric's router which addresses are a NIC's, instead of those that it said before. It sends what
// is for them there without asking by ARP or neighbour discovery, as a cloud's fabric does, which maps addresses to
// ENIs: while an address moves, the host that still has it cannot win it back. An IPv4 address that is not of the
// NIC's subnet is found from the subnet that it is of as well.
func (l *Lab) SetOwner(mac metadata.MAC, addrs []netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.portOf(mac)
	if err != nil {
		return err
	}
	before := p.owned
	p.owned = slices.Clone(addrs)
	for _, a := range before {
		if !slices.Contains(addrs, a) && l.owners[a] == mac {
			delete(l.owners, a)
			err = errors.Join(err, l.disown(p, a))
		}
	}
	for _, a := range addrs {
		if old, there := l.ports[l.owners[a]]; there && old != p {
			err = errors.Join(err, l.disown(old, a))
		}
		l.owners[a] = mac
		err = errors.Join(err, l.own(p, a))
	}
	if err != nil {
		return fmt.Errorf("lab: set the addresses of %s: %w", mac, err)
	}
	return nil
}

func (l *Lab) own(p *port, a netip.Addr) error {
	mac := p.nic.MAC
	known := netlink.Neigh{LinkIndex: p.nic.Subnet.index, IP: a.AsSlice(), HardwareAddr: mac[:], State: unix.NUD_PERMANENT}
	err := l.fabric.nl.NeighSet(&known)
	if p.nic.isStray(a) {
		err = errors.Join(err, l.fabric.nl.RouteReplace(strayRoute(p, a)))
	} else if l.NoCommonLink {
		err = errors.Join(err, p.nic.Subnet.neighbour(known, (*netlink.Handle).NeighSet))
	}
	for _, proxy := range l.proxies(p, a) {
		err = errors.Join(err, l.fabric.nl.NeighSet(&proxy))
	}
	return err
}

func (l *Lab) disown(p *port, a netip.Addr) error {
	known := netlink.Neigh{LinkIndex: p.nic.Subnet.index, IP: a.AsSlice()}
	err := absent(l.fabric.nl.NeighDel(&known))
	if p.nic.isStray(a) {
		err = errors.Join(err, absent(l.fabric.nl.RouteDel(strayRoute(p, a))))
	} else if l.NoCommonLink {
		err = errors.Join(err, absent(p.nic.Subnet.neighbour(known, (*netlink.Handle).NeighDel)))
	}
	for _, proxy := range l.proxies(p, a) {
		err = errors.Join(err, absent(l.fabric.nl.NeighDel(&proxy)))
	}
	return err
}

// neighbour does something to the entries of a subnet's neighbour.
func (s *Subnet) neighbour(n netlink.Neigh, do func(*netlink.Handle, *netlink.Neigh) error) error {
	link, err := s.Neighbour.nl.LinkByName("eth0")
	if err != nil {
		return err
	}
	n.LinkIndex = link.Attrs().Index
	return do(s.Neighbour.nl, &n)
}

// isStray reports whether an address is of another subnet than the NIC, or of none.
func (n NIC) isStray(a netip.Addr) bool {
	return !slices.ContainsFunc(n.Subnet.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// proxies are the bridges on which the router answers ARP in the name of an address that is elsewhere.
func (l *Lab) proxies(p *port, a netip.Addr) (all []netlink.Neigh) {
	holds := func(prefix netip.Prefix) bool { return prefix.Contains(a) }
	for _, s := range l.subnets {
		if a.Is4() && p.nic.isStray(a) && slices.ContainsFunc(s.Prefixes, holds) {
			all = append(all, netlink.Neigh{LinkIndex: s.index, IP: a.AsSlice(), Flags: netlink.NTF_PROXY})
		}
	}
	return all
}

func strayRoute(p *port, a netip.Addr) *netlink.Route {
	return &netlink.Route{Dst: ipNet(netip.PrefixFrom(a, a.BitLen())), LinkIndex: p.nic.Subnet.index, Scope: netlink.SCOPE_LINK, Protocol: unix.RTPROT_STATIC}
}

// absent forgives that what is removed is not there.
func absent(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
