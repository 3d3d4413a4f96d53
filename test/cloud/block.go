package cloud

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// The lengths of delegated prefixes: JD Cloud's secondary blocks, and EC2's /80.
const (
	minBlock  = 24
	maxBlock  = 28
	blockIPv6 = 80
)

// block is a delegated prefix in a VPC.
type block struct {
	vpc    string
	prefix netip.Prefix
}

// AssignPrefix delegates a /28 or a /80 of the ENI's subnet to it: all addresses
// of the block are the ENI's, for whoever sends from them behind it.
func (c *Cloud) AssignPrefix(eni string, p netip.Prefix) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil && p.Addr().Is4() && p.Bits() != maxBlock {
			err = invalid("prefix %s: want a /28 or a /80", p)
		}
		if err == nil {
			err = c.checkBlock(e, c.subnets[e.SubnetID], p)
		}
		if err != nil {
			return nil, fmt.Errorf("delegate %s to ENI %q: %w", p, eni, err)
		}
		return c.takeBlock(e, p), nil
	})
}

// ReleasePrefix takes a delegated prefix from an ENI.
func (c *Cloud) ReleasePrefix(eni string, p netip.Prefix) error {
	return c.UnassignSecondary(eni, nil, []netip.Prefix{p}, false)
}

func (c *Cloud) assignBlock(e *ENI, o AssignOptions) ([]Event, error) {
	s, err := c.subnetOf(e, o.Subnet)
	switch {
	case err != nil:
		return nil, err
	case o.Block.IsValid() && o.MaskLen != 0 && o.Block.Bits() != o.MaskLen:
		return nil, invalid("secondaryIpMaskLen %d: the block is %s: say the same length", o.MaskLen, o.Block)
	case o.Block.IsValid():
		err = c.checkBlock(e, s, o.Block)
	default:
		o.Block, err = c.freeBlock(e, s, o.MaskLen)
	}
	if err != nil {
		return nil, err
	}
	return c.takeBlock(e, o.Block), nil
}

// freeBlock is the lowest block of a length that nobody has any address of.
func (c *Cloud) freeBlock(e *ENI, s Subnet, length int) (netip.Prefix, error) {
	if length < minBlock || length > maxBlock {
		return netip.Prefix{}, invalid("secondaryIpMaskLen %d: want %d to %d", length, minBlock, maxBlock)
	}
	if length < s.IPv4.Bits() {
		return netip.Prefix{}, invalid("secondaryIpMaskLen %d: want a block smaller than subnet '%s', %s", length, s.ID, s.IPv4)
	}
	if err := c.checkQuota(QuotaBlock, e.ID); err != nil {
		return netip.Prefix{}, err
	}
	for a := s.IPv4.Addr(); s.IPv4.Contains(a); {
		p := netip.PrefixFrom(a, length)
		if c.checkBlock(e, s, p) == nil {
			return p, nil
		}
		a = last(p).Next()
	}
	return netip.Prefix{}, conflict("Subnet '%s' has no free block /%d: release some or use another subnet", s.ID, length)
}

// checkBlock reports whether e can have p, all of which must be free: a block is
// never taken from another.
func (c *Cloud) checkBlock(e *ENI, s Subnet, p netip.Prefix) error {
	subnet, inside := s.of(p.Addr())
	if !inside || p != p.Masked() || p.Bits() < subnet.Bits() || !isBlockLength(p) {
		return invalid("secondaryCidr %s: want /24 to /28, or /80, without host bits inside subnet '%s'", p, s.ID)
	}
	for _, a := range reserved(subnet) {
		if p.Contains(a) {
			return invalid("secondaryCidr %s: it contains %s, which is the cloud's own: choose another", p, a)
		}
	}
	for other, id := range c.blocks {
		if other.vpc == s.VPC && other.prefix.Overlaps(p) {
			return fmt.Errorf("prefix %s: %w: %s is delegated to ENI %s", p, used("secondaryCidr"), other.prefix, id)
		}
	}
	for at, id := range c.holders {
		if at.vpc == s.VPC && p.Contains(at.addr) {
			return fmt.Errorf("prefix %s: %w: ENI %s has %s", p, used("secondaryCidr"), id, at.addr)
		}
	}
	if id := c.deliveredTo(s.VPC, p); id != "" {
		return fmt.Errorf("prefix %s: %w: ENI %s has an alias range or forwarded address in it", p, used("secondaryCidr"), id)
	}
	return c.checkQuota(QuotaBlock, e.ID)
}

func isBlockLength(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() >= minBlock && p.Bits() <= maxBlock
	}
	return p.Bits() == blockIPv6
}

func (c *Cloud) takeBlock(e *ENI, p netip.Prefix) []Event {
	c.blocks[block{e.VPC, p}] = e.ID
	e.Prefixes = append(e.Prefixes, p)
	return changed(e)
}

func (c *Cloud) dropBlock(e *ENI, p netip.Prefix) {
	delete(c.blocks, block{e.VPC, p})
	e.Prefixes = slices.DeleteFunc(e.Prefixes, func(q netip.Prefix) bool { return p == q })
}

// delegatedTo is the ENI that has the delegated prefix or alias range around a, or a itself as a forwarded address, or "".
func (c *Cloud) delegatedTo(vpc string, a netip.Addr) string {
	if a.Is6() {
		return cmp.Or(c.blocks[block{vpc, netip.PrefixFrom(a, blockIPv6).Masked()}], c.deliveredTo(vpc, netip.PrefixFrom(a, 128)))
	}
	for bits := minBlock; bits <= maxBlock; bits++ {
		if id, there := c.blocks[block{vpc, netip.PrefixFrom(a, bits).Masked()}]; there {
			return id
		}
	}
	return c.deliveredTo(vpc, netip.PrefixFrom(a, 32))
}
