package cloud

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Subnet is a range of private addresses. Its first host is the gateway, its
// second the DHCP server; these, the network and the broadcast address are
// never assigned (JD Cloud's rule, here for both families).
type Subnet struct {
	ID   string
	Name string
	VPC  string       // "": DefaultVPC
	IPv4 netip.Prefix // /16 to /28, in one of the private ranges
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

// CreateSubnet adds a subnet with a chosen id. It must not overlap another of its VPC.
func (c *Cloud) CreateSubnet(s Subnet) error {
	if s.ID == "" {
		return fmt.Errorf("create subnet %q: %w: choose an id that is new and not empty", s.Name, used("subnetId"))
	}
	_, err := c.AddSubnet(s)
	return err
}

// AddSubnet is CreateSubnet where an empty id is chosen by the cloud.
func (c *Cloud) AddSubnet(s Subnet) (made Subnet, err error) {
	err = c.change(func() ([]Event, error) {
		s.VPC = cmp.Or(s.VPC, DefaultVPC)
		if err := c.checkSubnet(s); err != nil {
			return nil, fmt.Errorf("create subnet %q: %w", cmp.Or(s.ID, s.Name), err)
		}
		if s.ID == "" {
			s.ID = newID(c.made, "subnet", c.subnets)
		}
		c.subnets[s.ID], made = s, s
		return nil, nil
	})
	return made, err
}

func (c *Cloud) checkSubnet(s Subnet) error {
	if _, taken := c.subnets[s.ID]; taken {
		return fmt.Errorf("%w: choose an id that is new", used("subnetId"))
	}
	vpc, ok := c.vpcs[s.VPC]
	switch {
	case !ok:
		return fmt.Errorf("VPC %q: %w: create it first", s.VPC, notFound("vpcId"))
	case !isPrivate(s.IPv4):
		return invalid("IPv4 range %s: want /16 to /28 without host bits in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", s.IPv4)
	case vpc.CIDR.IsValid() && !within(s.IPv4, vpc.CIDR):
		return invalid("IPv4 range %s: want one inside the VPC's %s", s.IPv4, vpc.CIDR)
	case s.IPv6 != (netip.Prefix{}) && (!s.IPv6.Addr().Is6() || s.IPv6.Bits() != 64 || s.IPv6 != s.IPv6.Masked()):
		return invalid("IPv6 range %s: want a /64 without host bits", s.IPv6)
	}
	for _, other := range sorted(c.subnets) {
		if other.VPC == s.VPC && (other.IPv4.Overlaps(s.IPv4) || other.IPv6.Overlaps(s.IPv6)) {
			return conflict("Subnet overlaps '%s': choose another range", other.ID)
		}
	}
	if id := c.deliveredTo(s.VPC, s.IPv4); id != "" {
		return conflict("Subnet overlaps an alias range of ENI '%s': choose another range", id)
	}
	return c.checkQuota(QuotaSubnet, s.VPC)
}

// Subnets are all subnets, by id.
func (c *Cloud) Subnets() []Subnet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sorted(c.subnets)
}

// DescribeSubnet is one subnet.
func (c *Cloud) DescribeSubnet(id string) (Subnet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.subnet(id)
	if err != nil {
		return s, fmt.Errorf("describe subnet %q: %w", id, err)
	}
	return s, nil
}

func (c *Cloud) subnet(id string) (Subnet, error) {
	if s, ok := c.subnets[id]; ok {
		return s, nil
	}
	return Subnet{}, fmt.Errorf("%w: create the subnet first", notFound("subnetId"))
}

// reserved are the addresses of p that belong to the cloud itself.
func reserved(p netip.Prefix) [4]netip.Addr {
	network := p.Masked().Addr()
	gateway := network.Next()
	return [4]netip.Addr{network, gateway, gateway.Next(), last(p)}
}

func isReserved(p netip.Prefix, a netip.Addr) bool {
	r := reserved(p)
	return slices.Contains(r[:], a)
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

// spot is an address in a VPC: two VPCs may have the same.
type spot struct {
	vpc  string
	addr netip.Addr
}

// free are the n lowest IPv4 addresses of s that nobody has, except those that
// are spoken for.
func (c *Cloud) free(s Subnet, n int, except ...netip.Addr) ([]netip.Addr, error) {
	var found []netip.Addr
	for a := s.DHCP().Next(); len(found) < n; a = a.Next() {
		if a == last(s.IPv4) {
			return nil, conflict("Subnet '%s' has %d of %d free addresses: release some or use another subnet", s.ID, len(found), n)
		}
		if _, held := c.holders[spot{s.VPC, a}]; !held && c.delegatedTo(s.VPC, a) == "" && !slices.Contains(except, a) {
			found = append(found, a)
		}
	}
	return found, nil
}
