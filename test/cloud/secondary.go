package cloud

import (
	"fmt"
	"net/netip"
	"slices"
)

// home is an address and the subnet that it is of.
type home struct {
	addr   netip.Addr
	subnet Subnet
}

func homes(s Subnet, addrs ...netip.Addr) []home {
	var out []home
	for _, a := range addrs {
		out = append(out, home{a, s})
	}
	return out
}

// AssignOptions say which secondary addresses, or which block, an ENI is to get:
// Addresses and Count, or MaskLen with or without Block, or Block alone.
type AssignOptions struct {
	Addresses []netip.Addr
	Count     int          // so many more, the lowest free IPv4 ones
	MaskLen   int          // a free block of this length, 24 to 28
	Block     netip.Prefix // this block
	Subnet    string       // where they are from, in the ENI's VPC; "": the ENI's own subnet
	NoForce   bool         // refuse, rather than take an address from the ENI that has it
}

// AssignSecondary gives an ENI secondary addresses or a block, all or nothing.
// An address that another ENI has as a secondary one is taken from it, without
// its elastic public address, unless NoForce is set; a block never is.
func (c *Cloud) AssignSecondary(id string, o AssignOptions) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(id)
		var events []Event
		switch {
		case err != nil:
		case (o.MaskLen != 0 || o.Block.IsValid()) && (o.Count != 0 || len(o.Addresses) > 0):
			err = invalid("secondaryIpMaskLen: not together with secondaryIps or secondaryIpCount")
		case o.MaskLen != 0 || o.Block.IsValid():
			events, err = c.assignBlock(e, o)
		default:
			events, err = c.assign(e, o)
		}
		if err != nil {
			return nil, fmt.Errorf("assign to ENI %q: %w", id, err)
		}
		return events, nil
	})
}

// Assign gives secondary addresses of the ENI's subnet to an ENI, all of them
// or none, as AssignSecondary does. One that the ENI has already stays as it is.
func (c *Cloud) Assign(eni string, addrs ...netip.Addr) error {
	if len(addrs) == 0 {
		_, err := c.DescribeENI(eni)
		return err
	}
	return c.AssignSecondary(eni, AssignOptions{Addresses: addrs})
}

// AssignCount gives an ENI the n lowest free IPv4 addresses of its subnet.
func (c *Cloud) AssignCount(eni string, n int) (assigned []netip.Addr, err error) {
	err = c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		var events []Event
		if err == nil {
			before := len(e.Addresses)
			events, err = c.assign(e, AssignOptions{Count: n})
			assigned = slices.Clone(e.Addresses[before:])
		}
		if err != nil {
			return nil, fmt.Errorf("assign %d addresses to ENI %q: %w", n, eni, err)
		}
		return events, nil
	})
	return assigned, err
}

func (c *Cloud) assign(e *ENI, o AssignOptions) ([]Event, error) {
	if o.Count < 0 || o.Count == 0 && len(o.Addresses) == 0 {
		return nil, invalid("secondaryIps, secondaryIpCount: want one address at least")
	}
	s, err := c.subnetOf(e, o.Subnet)
	if err != nil {
		return nil, err
	}
	news := slices.DeleteFunc(slices.Clone(o.Addresses), func(a netip.Addr) bool { return slices.Contains(e.Addresses, a) })
	chosen, err := c.freeFor(s, o.Count, news)
	if err != nil {
		return nil, err
	}
	wanted := homes(s, append(news, chosen...)...)
	if err := c.checkAssign(e, wanted); err != nil {
		return nil, err
	}
	for _, h := range wanted {
		if id, held := c.holders[spot{s.VPC, h.addr}]; held && o.NoForce {
			return nil, fmt.Errorf("address %s: %w: ENI %s has it; assign with force to take it", h.addr, used("secondaryIps"), id)
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	return append(c.take(e, wanted...), changed(e)...), nil
}

// freeFor is free where none may be wanted.
func (c *Cloud) freeFor(s Subnet, n int, except []netip.Addr) ([]netip.Addr, error) {
	switch {
	case n < 0:
		return nil, invalid("secondaryIpCount %d: want no negative number", n)
	case n > c.quotas[QuotaSecondary]: // before a long search
		return nil, tooMany(n, c.quotas[QuotaSecondary])
	case n == 0:
		return nil, nil
	}
	return c.free(s, n, except...)
}

func tooMany(n, limit int) error {
	return fmt.Errorf("%w: %d secondary IPv4 addresses, and an ENI has %d at most",
		precondition("SecondaryIp quota limit exceeded"), n, limit)
}

// subnetOf is the subnet that e's addresses are asked from.
func (c *Cloud) subnetOf(e *ENI, id string) (Subnet, error) {
	if id == "" {
		return c.subnets[e.SubnetID], nil
	}
	s, ok := c.subnets[id]
	switch {
	case !ok:
		return s, fmt.Errorf("subnet %q: %w: create it first", id, notFound("secondaryIpSubnetId"))
	case s.VPC != e.VPC:
		return s, fmt.Errorf("%w: subnet %s is in %s, the ENI in %s", precondition("NetworkInterface and subnet are not in the same vpc"), id, s.VPC, e.VPC)
	}
	return s, nil
}

// checkAssign reports whether e can have addresses, none of which it has yet.
func (c *Cloud) checkAssign(e *ENI, wanted []home) error {
	secondary := max(len(e.family(netip.Addr.Is4)), 1) - 1
	for i, h := range wanted {
		if err := c.checkAddress(h); err != nil {
			return fmt.Errorf("address %s: %w", h.addr, err)
		}
		if slices.ContainsFunc(wanted[:i], func(other home) bool { return other.addr == h.addr }) {
			return fmt.Errorf("address %s: %w", h.addr, invalid("secondaryIps: an address is named twice"))
		}
		if h.addr.Is4() && (i > 0 || len(e.Addresses) > 0) {
			secondary++
		}
	}
	if limit := c.quotas[QuotaSecondary]; len(wanted) > 0 && secondary > limit {
		return tooMany(secondary, limit)
	}
	return nil
}

// checkAddress reports whether an address can be given to anybody.
func (c *Cloud) checkAddress(h home) error {
	s, a := h.subnet, h.addr
	p, ok := s.of(a)
	id, held := c.holders[spot{s.VPC, a}]
	switch {
	case !ok:
		return invalid("secondaryIps: %s lies outside subnet '%s': choose one inside", a, s.ID)
	case isReserved(p, a):
		return invalid("secondaryIps: %s is the network, gateway, DHCP or broadcast address of subnet '%s': choose another", a, s.ID)
	case held && c.enis[id].Addresses[0] == a:
		return fmt.Errorf("%w: it is the primary address of ENI %s, which cannot be taken", used("secondaryIps"), id)
	case c.delegatedTo(s.VPC, a) != "":
		return fmt.Errorf("%w: it lies in a prefix delegated to ENI %s; choose another", used("secondaryIps"), c.delegatedTo(s.VPC, a))
	}
	return nil
}

// take moves addresses to e. The events are those of the losers and come first,
// so that no address is ever on two ENIs for somebody who follows them.
func (c *Cloud) take(e *ENI, wanted ...home) []Event {
	var losers []*ENI
	for _, h := range wanted {
		at := spot{e.VPC, h.addr}
		if id, held := c.holders[at]; held {
			loser := c.enis[id]
			c.drop(loser, h.addr)
			if !slices.Contains(losers, loser) {
				losers = append(losers, loser)
			}
		}
		c.holders[at] = e.ID
		e.Addresses = append(e.Addresses, h.addr)
		if h.subnet.ID != e.SubnetID {
			e.AddressSubnets[h.addr] = h.subnet.ID
		}
	}
	var events []Event
	for _, l := range losers {
		events = append(events, changed(l)...)
	}
	return events
}

// drop takes an address from an ENI, and the elastic public address from it.
func (c *Cloud) drop(e *ENI, a netip.Addr) {
	if eip, bound := c.boundTo(e.ID, a); bound {
		c.unbind(eip)
	}
	delete(c.holders, spot{e.VPC, a})
	delete(e.AddressSubnets, a)
	e.Addresses = slices.DeleteFunc(e.Addresses, func(b netip.Addr) bool { return a == b })
}

// Release takes a secondary address from an ENI, as UnassignSecondary does.
func (c *Cloud) Release(eni string, a netip.Addr) error {
	return c.UnassignSecondary(eni, []netip.Addr{a}, nil, false)
}

// UnassignSecondary takes secondary addresses and blocks from an ENI, all or
// nothing. Their elastic public addresses are bound to nothing then, or released
// where deleteEIP is set. The primary address stays as long as the ENI.
func (c *Cloud) UnassignSecondary(id string, addrs []netip.Addr, blocks []netip.Prefix, deleteEIP bool) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(id)
		if err == nil {
			err = c.checkUnassign(e, addrs, blocks)
		}
		if err != nil {
			return nil, fmt.Errorf("unassign from ENI %q: %w", id, err)
		}
		for _, a := range addrs {
			eip, bound := c.boundTo(e.ID, a)
			c.drop(e, a)
			if bound && deleteEIP {
				delete(c.eips, eip.ID)
			}
		}
		for _, p := range blocks {
			c.dropBlock(e, p)
		}
		return changed(e), nil
	})
}

func (c *Cloud) checkUnassign(e *ENI, addrs []netip.Addr, blocks []netip.Prefix) error {
	if len(addrs)+len(blocks) == 0 {
		return invalid("secondaryIps, secondaryCidrs: name what to unassign")
	}
	for _, a := range addrs {
		switch {
		case !slices.Contains(e.Addresses, a):
			return fmt.Errorf("address %s: %w: this ENI does not have it", a, notFound("secondaryIps"))
		case e.Addresses[0] == a:
			return fmt.Errorf("address %s: %w: it stays as long as the ENI", a, precondition("Can't unassign primaryIp"))
		}
	}
	for _, p := range blocks {
		if !slices.Contains(e.Prefixes, p) {
			return fmt.Errorf("prefix %s: %w: this ENI does not have it", p, notFound("secondaryCidrs"))
		}
	}
	return nil
}
