package cloud

import (
	"fmt"
	"net/netip"
	"slices"
)

// Assign gives secondary addresses of the ENI's subnet to an ENI, all of them
// or none. An address that another ENI has as a secondary one is taken from it,
// together with its public address: JD Cloud's default. One that the ENI has
// already stays as it is.
func (c *Cloud) Assign(eni string, addrs ...netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil {
			addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return slices.Contains(e.Addresses, a) })
			err = c.checkAssign(e, addrs)
		}
		if err != nil {
			return nil, fmt.Errorf("assign to ENI %q: %w", eni, err)
		}
		if len(addrs) == 0 {
			return nil, nil
		}
		return append(c.take(e, addrs), changed(e)...), nil
	})
}

// AssignCount gives an ENI the n lowest free IPv4 addresses of its subnet.
func (c *Cloud) AssignCount(eni string, n int) (assigned []netip.Addr, err error) {
	err = c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil && n < 1 {
			err = fmt.Errorf("%w: want one at least", ErrInvalid)
		}
		if err == nil {
			assigned, err = c.free(c.subnets[e.SubnetID], n)
		}
		if err == nil {
			err = c.checkAssign(e, assigned)
		}
		if err != nil {
			assigned = nil
			return nil, fmt.Errorf("assign %d addresses to ENI %q: %w", n, eni, err)
		}
		return append(c.take(e, assigned), changed(e)...), nil
	})
	return assigned, err
}

// checkAssign reports whether e can have addrs, none of which it has yet.
func (c *Cloud) checkAssign(e *ENI, addrs []netip.Addr) error {
	s := c.subnets[e.SubnetID]
	for i, a := range addrs {
		p, ok := s.of(a)
		switch id, held := c.holders[a]; {
		case !ok:
			return fmt.Errorf("address %s: %w: it lies outside subnet %s", a, ErrInvalid, s.ID)
		case slices.Contains(addrs[:i], a):
			return fmt.Errorf("address %s: %w: it is named twice", a, ErrInvalid)
		case isReserved(p, a):
			return fmt.Errorf("address %s: %w: it is the network, gateway, DHCP or broadcast address of subnet %s", a, ErrInvalid, s.ID)
		case held && c.enis[id].Addresses[0] == a:
			return fmt.Errorf("address %s: %w: it is the primary address of ENI %s, which cannot be taken", a, ErrConflict, id)
		case c.delegatedTo(a) != "":
			return fmt.Errorf("address %s: %w: it lies in a prefix delegated to ENI %s", a, ErrConflict, c.delegatedTo(a))
		}
	}
	isIPv4 := func(a netip.Addr) bool { return a.Is4() }
	if n := len(e.family(isIPv4)) + len(ENI{Addresses: addrs}.family(isIPv4)); n > maxIPv4 {
		return fmt.Errorf("%d IPv4 addresses: %w: an ENI has %d at most, its primary included", n, ErrPrecondition, maxIPv4)
	}
	return nil
}

func isReserved(p netip.Prefix, a netip.Addr) bool {
	r := reserved(p)
	return slices.Contains(r[:], a)
}

// take moves addrs to e. The events are those of the losers and come first, so
// that no address is ever on two ENIs for somebody who follows them.
func (c *Cloud) take(e *ENI, addrs []netip.Addr) []Event {
	var losers []*ENI
	for _, a := range addrs {
		if id, held := c.holders[a]; held {
			loser := c.enis[id]
			c.drop(loser, a)
			if !slices.Contains(losers, loser) {
				losers = append(losers, loser)
			}
		}
		c.holders[a] = e.ID
		e.Addresses = append(e.Addresses, a)
	}
	var events []Event
	for _, l := range losers {
		events = append(events, changed(l)...)
	}
	return events
}

func (c *Cloud) drop(e *ENI, a netip.Addr) {
	delete(c.holders, a)
	delete(e.Public, a)
	e.Addresses = slices.DeleteFunc(e.Addresses, func(b netip.Addr) bool { return a == b })
}

// Release takes a secondary address, and its public address, from an ENI. The
// primary address stays as long as the ENI.
func (c *Cloud) Release(eni string, a netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		switch {
		case err != nil:
		case c.holders[a] != eni:
			err = fmt.Errorf("address: %w on this ENI", ErrNotFound)
		case e.Addresses[0] == a:
			err = fmt.Errorf("%w: the primary address of an ENI cannot be released", ErrPrecondition)
		}
		if err != nil {
			return nil, fmt.Errorf("release %s from ENI %q: %w", a, eni, err)
		}
		c.drop(e, a)
		return changed(e), nil
	})
}

// AssignPrefix delegates a /28 or a /80 of the ENI's subnet to it: all addresses
// of the block are the ENI's, for whoever sends from them behind it.
func (c *Cloud) AssignPrefix(eni string, p netip.Prefix) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil {
			err = c.checkPrefix(e, p)
		}
		if err != nil {
			return nil, fmt.Errorf("delegate %s to ENI %q: %w", p, eni, err)
		}
		c.blocks[p] = eni
		e.Prefixes = append(e.Prefixes, p)
		return changed(e), nil
	})
}

func (c *Cloud) checkPrefix(e *ENI, p netip.Prefix) error {
	subnet, inside := c.subnets[e.SubnetID].of(p.Addr())
	if !inside || p.Bits() != delegatedBits(p.Addr()) || p != p.Masked() {
		return fmt.Errorf("%w: want a /28 or a /80 without host bits inside subnet %s", ErrInvalid, e.SubnetID)
	}
	for _, a := range reserved(subnet) {
		if p.Contains(a) {
			return fmt.Errorf("%w: it contains %s, which is the cloud's own", ErrInvalid, a)
		}
	}
	if id, taken := c.blocks[p]; taken {
		return fmt.Errorf("%w: it is delegated to ENI %s", ErrConflict, id)
	}
	for a, id := range c.holders {
		if p.Contains(a) {
			return fmt.Errorf("%w: it contains %s of ENI %s", ErrConflict, a, id)
		}
	}
	return nil
}

// ReleasePrefix takes a delegated prefix from an ENI.
func (c *Cloud) ReleasePrefix(eni string, p netip.Prefix) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil && c.blocks[p] != eni {
			err = fmt.Errorf("prefix: %w on this ENI", ErrNotFound)
		}
		if err != nil {
			return nil, fmt.Errorf("release %s from ENI %q: %w", p, eni, err)
		}
		delete(c.blocks, p)
		e.Prefixes = slices.DeleteFunc(e.Prefixes, func(q netip.Prefix) bool { return p == q })
		return changed(e), nil
	})
}

// BindPublic binds a public IPv4 address to a private one: one each, on primary
// and secondary addresses. The translation is the network's; the guest never
// sees the public address.
func (c *Cloud) BindPublic(a, public netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, err := c.checkBind(a, public)
		if err != nil {
			return nil, fmt.Errorf("bind public address %s to %s: %w", public, a, err)
		}
		e.Public[a] = public
		return changed(e), nil
	})
}

func (c *Cloud) checkBind(a, public netip.Addr) (*ENI, error) {
	e, ok := c.enis[c.holders[a]]
	if !ok {
		return nil, fmt.Errorf("%s: %w on any ENI: assign it first", a, ErrNotFound)
	}
	if !a.Is4() || !public.Is4() {
		return nil, fmt.Errorf("%w: both must be IPv4", ErrInvalid)
	}
	for _, other := range c.enis {
		for private, p := range other.Public {
			if private == a || p == public {
				return nil, fmt.Errorf("%w: %s is bound to %s; unbind it first", ErrConflict, p, private)
			}
		}
	}
	return e, nil
}

// UnbindPublic takes the public address from a private one.
func (c *Cloud) UnbindPublic(a netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, ok := c.enis[c.holders[a]]
		if !ok || !e.Public[a].IsValid() {
			return nil, fmt.Errorf("unbind public address of %s: %w: none is bound to it", a, ErrNotFound)
		}
		delete(e.Public, a)
		return changed(e), nil
	})
}
