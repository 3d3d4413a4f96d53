package cloud

import (
	"fmt"
	"net/netip"
	"slices"
)

// AssignAlias delivers an IPv4 range whole to an ENI: one of its subnet, or one of no subnet (Compute Engine: of a
// secondary range). Unlike a delegated prefix it may have any length from /16 on, one address too.
func (c *Cloud) AssignAlias(eni string, p netip.Prefix) error {
	return c.delivery("assign alias range "+p.String(), eni, func(e *ENI) error {
		if err := c.checkAlias(e, p); err != nil {
			return err
		}
		e.Aliases = append(e.Aliases, p)
		return nil
	})
}

// ReleaseAlias takes an alias range from an ENI.
func (c *Cloud) ReleaseAlias(eni string, p netip.Prefix) error {
	return c.delivery("release alias range "+p.String(), eni, func(e *ENI) error {
		before := len(e.Aliases)
		e.Aliases = slices.DeleteFunc(e.Aliases, func(q netip.Prefix) bool { return p == q })
		return had(before, len(e.Aliases), "ipAliases")
	})
}

// Forward has a load balancer deliver what it gets at an address to an ENI, as it came. Several ENIs may get the same.
func (c *Cloud) Forward(eni string, a netip.Addr) error {
	return c.delivery("forward "+a.String(), eni, func(e *ENI) error {
		if err := c.checkForward(e, a); err != nil {
			return err
		}
		e.Forwarded = append(e.Forwarded, a)
		return nil
	})
}

// Unforward ends what Forward began.
func (c *Cloud) Unforward(eni string, a netip.Addr) error {
	return c.delivery("end to forward "+a.String(), eni, func(e *ENI) error {
		before := len(e.Forwarded)
		e.Forwarded = slices.DeleteFunc(e.Forwarded, func(b netip.Addr) bool { return a == b })
		return had(before, len(e.Forwarded), "forwardedIps")
	})
}

func (c *Cloud) delivery(what, eni string, f func(*ENI) error) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil {
			err = f(e)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, ENI %q: %w", what, eni, err)
		}
		return changed(e), nil
	})
}

func had(before, after int, parameter string) error {
	if before == after {
		return fmt.Errorf("%w: this ENI does not have it", notFound(parameter))
	}
	return nil
}

func (c *Cloud) checkAlias(e *ENI, p netip.Prefix) error {
	if !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 16 || !slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool { return within(p, r) }) {
		return invalid("ipAliases: want /16 to /32 without host bits in a private IPv4 range")
	}
	for _, s := range sorted(c.subnets) {
		if s.VPC != e.VPC || !s.IPv4.Overlaps(p) {
			continue
		}
		if s.ID != e.SubnetID || !within(p, s.IPv4) {
			return invalid("ipAliases: it overlaps subnet '%s': want a part of the ENI's own, or of none", s.ID)
		}
		for _, a := range reserved(s.IPv4) {
			if p.Contains(a) {
				return invalid("ipAliases: it contains %s, which is the cloud's own: choose another", a)
			}
		}
	}
	for at, id := range c.holders {
		if at.vpc == e.VPC && p.Contains(at.addr) {
			return fmt.Errorf("%w: ENI %s has %s", used("ipAliases"), id, at.addr)
		}
	}
	return c.checkUndelivered(e.VPC, p, c.deliveredTo(e.VPC, p))
}

func (c *Cloud) checkForward(e *ENI, a netip.Addr) error {
	id := c.holders[spot{e.VPC, a}]
	switch {
	case !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "":
		return invalid("forwardedIps: want the address of one host")
	case slices.Contains(e.Forwarded, a):
		return fmt.Errorf("%w: the ENI gets it already", used("forwardedIps"))
	case id != "":
		return fmt.Errorf("%w: ENI %s has it", used("forwardedIps"), id)
	}
	p := netip.PrefixFrom(a, a.BitLen())
	return c.checkUndelivered(e.VPC, p, c.aliasOf(e.VPC, p))
}

// checkUndelivered refuses a range that an ENI gets already, as an alias or a forwarded address, or of a delegated prefix.
func (c *Cloud) checkUndelivered(vpc string, p netip.Prefix, id string) error {
	for b, holder := range c.blocks {
		if b.vpc == vpc && b.prefix.Overlaps(p) {
			id = holder
		}
	}
	if id != "" {
		return fmt.Errorf("%w: ENI %s gets addresses of %s", used("ipAliases"), id, p)
	}
	return nil
}

// deliveredTo is an ENI with an alias range that overlaps p, or a forwarded address in p, or "".
func (c *Cloud) deliveredTo(vpc string, p netip.Prefix) string {
	for id, e := range c.enis {
		if e.VPC == vpc && slices.ContainsFunc(e.Forwarded, p.Contains) {
			return id
		}
	}
	return c.aliasOf(vpc, p)
}

func (c *Cloud) aliasOf(vpc string, p netip.Prefix) string {
	for id, e := range c.enis {
		if e.VPC == vpc && slices.ContainsFunc(e.Aliases, p.Overlaps) {
			return id
		}
	}
	return ""
}

// forwarded are the forwarded addresses of a family.
func (e ENI) forwarded(ipv4 bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(e.Forwarded), func(a netip.Addr) bool { return a.Is4() != ipv4 })
}

// delivered are the ranges that are delivered to an ENI whole: alias ranges and forwarded addresses.
func (e ENI) delivered() []netip.Prefix {
	out := slices.Clone(e.Aliases)
	for _, a := range e.Forwarded {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}
