package cloud

import (
	"fmt"
	"net/netip"
	"slices"
)

// Subnet is a range of private addresses. Its first host is the gateway, its
// second the DHCP server; these, the network and the broadcast address are
// never assigned (JD Cloud's rule, here for both families).
type Subnet struct {
	ID   string
	IPv4 netip.Prefix // /16 to /28
	IPv6 netip.Prefix // a /64, or zero: none
}

// Gateway is the router's IPv4 address: the first host.
func (s Subnet) Gateway() netip.Addr { return s.IPv4.Addr().Next() }

// DHCP is the address of the DHCP server: the second host.
func (s Subnet) DHCP() netip.Addr { return s.Gateway().Next() }

// Prefixes are the subnet's one or two ranges, IPv4 first.
func (s Subnet) Prefixes() []netip.Prefix {
	if s.IPv6.IsValid() {
		return []netip.Prefix{s.IPv4, s.IPv6}
	}
	return []netip.Prefix{s.IPv4}
}

// of is the range that a lies in.
func (s Subnet) of(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range s.Prefixes() {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// CreateSubnet adds a subnet. It must not overlap another: there is one VPC.
func (c *Cloud) CreateSubnet(s Subnet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkSubnet(s); err != nil {
		return fmt.Errorf("create subnet %q: %w", s.ID, err)
	}
	c.subnets[s.ID] = s
	return nil
}

func (c *Cloud) checkSubnet(s Subnet) error {
	if _, taken := c.subnets[s.ID]; taken || s.ID == "" {
		return fmt.Errorf("id: %w: choose one that is new and not empty", ErrConflict)
	}
	if !s.IPv4.Addr().Is4() || s.IPv4.Bits() < 16 || s.IPv4.Bits() > 28 || s.IPv4 != s.IPv4.Masked() {
		return fmt.Errorf("IPv4 prefix %s: %w: want /16 to /28 without host bits", s.IPv4, ErrInvalid)
	}
	if s.IPv6 != (netip.Prefix{}) && (!s.IPv6.Addr().Is6() || s.IPv6.Bits() != 64 || s.IPv6 != s.IPv6.Masked()) {
		return fmt.Errorf("IPv6 prefix %s: %w: want a /64 without host bits", s.IPv6, ErrInvalid)
	}
	for _, other := range c.subnets {
		if other.IPv4.Overlaps(s.IPv4) || other.IPv6.Overlaps(s.IPv6) {
			return fmt.Errorf("%w: it overlaps subnet %s; choose another range", ErrConflict, other.ID)
		}
	}
	return nil
}

// reserved are the addresses of p that belong to the cloud itself.
func reserved(p netip.Prefix) [4]netip.Addr {
	network := p.Masked().Addr()
	gateway := network.Next()
	return [4]netip.Addr{network, gateway, gateway.Next(), last(p)}
}

// last is the highest address of p; in IPv4 the broadcast address.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// free are the n lowest IPv4 addresses of s that nobody has, except those that
// are spoken for.
func (c *Cloud) free(s Subnet, n int, except ...netip.Addr) ([]netip.Addr, error) {
	var found []netip.Addr
	for a := s.DHCP().Next(); len(found) < n; a = a.Next() {
		if a == last(s.IPv4) {
			return nil, fmt.Errorf("subnet %s has %d of %d free addresses: %w: release some or use another subnet",
				s.ID, len(found), n, ErrConflict)
		}
		if _, held := c.holders[a]; !held && c.delegatedTo(a) == "" && !slices.Contains(except, a) {
			found = append(found, a)
		}
	}
	return found, nil
}

// delegatedTo is the ENI that has the delegated prefix around a, or "".
func (c *Cloud) delegatedTo(a netip.Addr) string {
	return c.blocks[netip.PrefixFrom(a, delegatedBits(a)).Masked()]
}

// delegatedBits is the length of delegated prefixes: /28 and /80, as on EC2.
func delegatedBits(a netip.Addr) int {
	if a.Is4() {
		return 28
	}
	return 80
}
