package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Subnet is a bridge in the fabric, which is the gateway, and a neighbour in it.
type Subnet struct {
	Name      string
	Prefixes  []netip.Prefix // masked, in the order given
	Neighbour *Host          // has the last host address of every prefix, and serves echoes
	bridge    string
	index     int // of the bridge, in the fabric
}

// Gateway is the gateway of like's family, the first host address of the subnet's
// prefix; the zero Addr where it has no prefix of the family.
func (s *Subnet) Gateway(like netip.Addr) netip.Addr {
	for _, p := range s.Prefixes {
		if p.Addr().Is4() == like.Is4() {
			return firstHost(p)
		}
	}
	return netip.Addr{}
}

func firstHost(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// lastHost is the address before the broadcast address, in IPv6 the very last.
func lastHost(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	if last.Is4() {
		return last.Prev()
	}
	return last
}

// Subnet adds a subnet with its gateway and its neighbour. At most one prefix of a
// family is usual.
func (l *Lab) Subnet(name string, prefixes ...netip.Prefix) (*Subnet, error) {
	s := &Subnet{Name: name, bridge: fmt.Sprintf("br%d", l.number())}
	for _, p := range prefixes {
		if p.Addr().BitLen()-p.Bits() < 3 {
			return nil, fmt.Errorf("lab: subnet %s: %s has no room for a gateway, a neighbour and an ENI; want /29 (IPv6: /125) or wider", name, p)
		}
		s.Prefixes = append(s.Prefixes, p.Masked())
	}
	if err := l.addBridge(s); err != nil {
		return nil, fmt.Errorf("lab: subnet %s: %w", name, err)
	}
	if err := l.addNeighbour(s); err != nil {
		return nil, fmt.Errorf("lab: subnet %s: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subnets = append(l.subnets, s)
	return s, nil
}

// linkLocalGateway is what every gateway also answers to, and asks from: the kernel solicits
// neighbours for forwarded packets only where it has a link-local address.
var linkLocalGateway = netip.MustParsePrefix("fe80::1/64")

// ec2Router is the IPv6 router of every subnet in EC2. It is link-local outside of fe80::/64.
var ec2Router = netip.MustParsePrefix("fe80:ec2::1/64")

// addBridge makes the bridge. Its MAC is fixed, else it would follow its ports' and every
// VM's idea of its gateway with it. Snooping is off, else a join that is lost on
// the way hides a host from neighbour discovery.
func (l *Lab) addBridge(s *Subnet) error {
	mac := l.newMAC()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.Flags = s.bridge, mac[:], net.FlagUp
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := l.fabric.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w", s.bridge, err)
	}
	link, err := l.fabric.nl.LinkByName(s.bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", s.bridge, err)
	}
	s.index = link.Attrs().Index
	gateways := []netip.Prefix{linkLocalGateway}
	for _, p := range s.Prefixes {
		if p.Addr().Is6() {
			gateways = append(gateways, ec2Router)
		}
		gateways = append(gateways, netip.PrefixFrom(firstHost(p), p.Bits()))
	}
	if err := l.fabric.addAddrs(s.bridge, gateways...); err != nil {
		return err
	}
	return l.fabric.hurry(s.bridge)
}

func (l *Lab) addNeighbour(s *Subnet) error {
	h, err := l.host(s.Name+" neighbour", neighbourSysctls...)
	if err != nil {
		return err
	}
	var addrs, gateways, allowed []netip.Prefix
	for _, p := range s.Prefixes {
		addrs = append(addrs, netip.PrefixFrom(lastHost(p), p.Bits()))
		gateways = append(gateways, netip.PrefixFrom(firstHost(p), p.Bits()))
		allowed = append(allowed, netip.PrefixFrom(lastHost(p), p.Addr().BitLen()))
	}
	if err := l.Plug(h, NIC{Name: "eth0", MAC: l.newMAC(), Subnet: s, Allowed: allowed}); err != nil {
		return err
	}
	s.Neighbour = h
	return h.settle(addrs, gateways)
}

// settle configures eth0 of a host that is the lab's own, and starts its echo server.
func (h *Host) settle(addrs, gateways []netip.Prefix) error {
	if err := h.addAddrs("eth0", addrs...); err != nil {
		return err
	}
	for _, g := range gateways {
		if err := h.addDefault("eth0", g.Addr(), unix.RTPROT_STATIC); err != nil {
			return err
		}
	}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, a.Addr())
	}
	if err := h.hurry("eth0"); err != nil {
		return err
	}
	return h.ServeEcho()
}

// addAddrs sets a NIC up and gives it addresses, IPv6 ones without duplicate address detection.
func (h *Host) addAddrs(nic string, addrs ...netip.Prefix) error {
	link, err := h.nl.LinkByName(nic)
	if err == nil {
		err = h.nl.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set %s up in host %s: %w", nic, h.Name, err)
	}
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.nl.AddrAdd(link, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add %s to %s in host %s: %w", a, nic, h.Name, err)
		}
	}
	return nil
}

func (h *Host) addDefault(nic string, gateway netip.Addr, proto netlink.RouteProtocol) error {
	link, err := h.nl.LinkByName(nic)
	if err != nil {
		return fmt.Errorf("find %s in host %s: %w", nic, h.Name, err)
	}
	zero := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if gateway.Is6() {
		zero = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	route := &netlink.Route{Dst: ipNet(zero), Gw: gateway.AsSlice(), LinkIndex: link.Attrs().Index, Protocol: proto}
	if err := h.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("add default route by %s through %s in host %s: %w", gateway, nic, h.Name, err)
	}
	return nil
}

// addOnLink says that a host is on a NIC's link although no address there has a subnet.
func (h *Host) addOnLink(nic string, a netip.Addr) error {
	link, err := h.nl.LinkByName(nic)
	if err == nil {
		err = h.nl.RouteReplace(&netlink.Route{Dst: ipNet(netip.PrefixFrom(a, a.BitLen())), LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Protocol: unix.RTPROT_DHCP})
	}
	if err != nil {
		return fmt.Errorf("add link route to %s through %s in host %s: %w", a, nic, h.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
