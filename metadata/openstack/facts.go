package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"enid/metadata"
)

// facts are those of one ENI. Only the first address of a family and the subnet that it is in are ever told.
func (r *reading) facts(n nic) metadata.Interface {
	i := metadata.Interface{MAC: n.mac}
	if id, err := metadata.Word(n.VIF); err == nil {
		i.ID = metadata.Is(id, r.origin)
	}
	unread := func(field string, err error) {
		if err != nil {
			r.problem(metadata.Unread(i.Name(), field, &metadata.BadAnswerError{Path: networkPath, Err: err}))
		}
	}
	unread("", n.err)
	unread("addresses", r.unread(n.link))
	v4, v6 := r.v4(n.link), r.v6(n.link)
	unread("addresses", errors.Join(v4.err, v6.err))
	i.ByDHCP = v4.byDHCP
	i.Addresses = atLeast(r.origin, v4.addrs, v6.addrs)
	i.Subnets = atLeast(r.origin, v4.subnets, v6.subnets)
	i.Gateways = atLeast(r.origin, v4.gateways, v6.gateways)
	mtu, err := n.mtu()
	unread("mtu", err)
	if mtu > 0 {
		i.MTU = metadata.Is(mtu, r.origin)
	}
	if n.vlan != nil {
		i.VLAN = metadata.Is(*n.vlan, r.origin)
	}
	public, err := n.public(r.origin)
	unread("public", err)
	i.Public = public
	return i
}

// atLeast is what is told of both families, unknown where that is nothing.
func atLeast[T any](origin string, v4, v6 []T) metadata.Fact[[]T] {
	half := func(values []T) metadata.Fact[[]T] { return metadata.Fact[[]T]{State: metadata.AtLeast, Value: values} }
	return metadata.JoinFamilies(origin, half(v4), half(v6))
}

// mtu is in bytes, 0 where it is not told.
func (l link) mtu() (int, error) {
	var mtu *int
	if len(l.MTU) == 0 {
		return 0, nil
	}
	if err := json.Unmarshal(l.MTU, &mtu); err != nil {
		return 0, fmt.Errorf("the MTU of link %.80q is %.80q, want a number or null", l.ID, l.MTU)
	}
	if mtu == nil {
		return 0, nil
	}
	return *mtu, nil
}

// public is Huawei's public address of the link's local one. Nova tells none of a link.
func (l link) public(origin string) (metadata.Fact[map[netip.Addr]netip.Addr], error) {
	switch {
	case l.Local == nil || l.Public == nil:
		return metadata.Fact[map[netip.Addr]netip.Addr]{}, nil
	case *l.Public == "":
		return metadata.IsNone[map[netip.Addr]netip.Addr](origin), nil
	}
	local, err := metadata.IPv4(*l.Local)
	public, wrong := metadata.IPv4(*l.Public)
	if err = errors.Join(err, wrong); err != nil {
		return metadata.Fact[map[netip.Addr]netip.Addr]{}, fmt.Errorf("the public address of link %.80q: %w", l.ID, err)
	}
	return metadata.Is(map[netip.Addr]netip.Addr{local: public}, origin), nil
}

// half is what a link has in one family.
type half struct {
	addrs    []netip.Addr
	subnets  []netip.Prefix
	gateways []netip.Addr // one at most
	byDHCP   bool         // a DHCP server of the network tells the rest
	err      error        // what could not be read
}

// v4 is what a link has in IPv4: its networks', and the address that Huawei puts on the link.
func (d document) v4(l link) half {
	h := d.half(l, "ipv4", metadata.IPv4)
	if l.Local == nil || *l.Local == "" {
		return h
	}
	local, err := metadata.IPv4(*l.Local)
	switch {
	case err != nil:
		h.err = errors.Join(h.err, fmt.Errorf("the local_ipv4 of link %.80q: %w", l.ID, err))
	case len(h.addrs) == 0:
		h.addrs = []netip.Addr{local}
	case h.addrs[0] != local:
		h = half{err: fmt.Errorf("the link %.80q has the local_ipv4 %s and the network's ip_address %s", l.ID, local, h.addrs[0])}
	}
	return h
}

func (d document) v6(l link) half { return d.half(l, "ipv6", metadata.IPv6) }

func (d document) half(l link, family string, parse func(string) (netip.Addr, error)) half {
	var h half
	for _, n := range d.of(l, family) {
		if n.err != nil {
			h.err = errors.Join(h.err, fmt.Errorf("the network %.80q: %w", n.ID, n.err))
		}
		h.byDHCP = h.byDHCP || n.Type == "ipv4_dhcp"
		if n.Address != "" {
			if err := h.add(n, parse); err != nil {
				h.err = errors.Join(h.err, fmt.Errorf("the network %.80q: %w", n.ID, err))
			}
		} else if !strings.Contains(n.Type, "_") && n.err == nil {
			h.err = errors.Join(h.err, fmt.Errorf("the network %.80q has no ip_address, and no DHCP server either by its type %s", n.ID, n.Type))
		}
	}
	return h
}

// add reads one network: its address counts also where the rest cannot be read.
func (h *half) add(n network, parse func(string) (netip.Addr, error)) error {
	text, length, hasLength := strings.Cut(n.Address, "/")
	a, err := parse(text)
	if err != nil {
		return fmt.Errorf("its ip_address: %w", err)
	}
	h.addrs = append(h.addrs, a)
	if n.Netmask != "" || !hasLength {
		length = n.Netmask
	}
	subnet, err := subnetOf(a, length)
	if err == nil {
		h.subnets = append(h.subnets, subnet)
	} else {
		err = fmt.Errorf("the subnet of %s: %w", a, err)
	}
	gateway, wrong := n.gateway(parse)
	if gateway.IsValid() && len(h.gateways) == 0 {
		h.gateways = []netip.Addr{gateway}
	}
	return errors.Join(err, wrong)
}

// subnetOf is the prefix of an address, by a netmask as an address (255.255.255.0, ffff:ffff::) or by a length.
func subnetOf(a netip.Addr, mask string) (netip.Prefix, error) {
	length, err := strconv.ParseUint(mask, 10, 8)
	if err != nil {
		m, notMask := netip.ParseAddr(mask)
		if notMask != nil || m.BitLen() != a.BitLen() || m.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.80q is no netmask", mask)
		}
		if length = leadingOnes(m); netip.PrefixFrom(allOnes(a.BitLen()), int(length)).Masked().Addr() != m {
			return netip.Prefix{}, fmt.Errorf("%.80q is no netmask: its ones are not all at the front", mask)
		}
	}
	if length == 0 || int(length) > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("a netmask of %d bits makes no subnet", length)
	}
	return netip.PrefixFrom(a, int(length)).Masked(), nil
}

func leadingOnes(a netip.Addr) (n uint64) {
	for _, b := range a.AsSlice() {
		ones := bits.LeadingZeros8(^b)
		n += uint64(ones)
		if ones < 8 {
			break
		}
	}
	return n
}

func allOnes(bits int) netip.Addr {
	a, _ := netip.AddrFromSlice([]byte(strings.Repeat("\xff", bits/8))) // 4 or 16 bytes
	return a
}

// gateway is the network's, by its key or by its default route; not valid where it has neither.
func (n network) gateway(parse func(string) (netip.Addr, error)) (netip.Addr, error) {
	text := n.Gateway
	for _, r := range n.Routes {
		to, err := netip.ParseAddr(r.Network)
		isDefault := err == nil && to.IsUnspecified() && (r.Netmask == "0" || r.Netmask == to.String())
		if text == "" && isDefault {
			text = r.Gateway
		}
	}
	if text == "" {
		return netip.Addr{}, nil
	}
	gateway, err := parse(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("its gateway: %w", err)
	}
	return gateway, nil
}
