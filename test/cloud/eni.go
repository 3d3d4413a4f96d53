package cloud

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"enid/metadata"
)

// maxIPv4 is how many IPv4 addresses an ENI may have: a primary and 20
// secondary ones (JD Cloud).
const maxIPv4 = 21

// ENI is an elastic network interface at an instant: a copy, that the cloud's
// later changes do not touch.
type ENI struct {
	ID       string
	MAC      metadata.MAC // stays with the ENI, whichever instance has it
	SubnetID string
	Subnets  []netip.Prefix // the subnet's ranges, IPv4 first
	Gateway  netip.Addr     // the subnet's IPv4 gateway

	Instance string // "" while it is not attached
	Primary  bool   // born attached to its instance, and never detached
	Index    int    // place among the instance's ENIs: 0 is the primary, then the lowest free

	Addresses []netip.Addr // both families; the first is the primary address, always IPv4
	Prefixes  []netip.Prefix
	Public    map[netip.Addr]netip.Addr // by private address
	MTU       int                       // bytes; 0: not said
}

// ENIOptions are the choices in making an ENI; the zero value leaves all of
// them to the cloud.
type ENIOptions struct {
	MAC       metadata.MAC // zero: generated, locally administered
	Primary   netip.Addr   // zero: the lowest free IPv4 address of the subnet
	Secondary []netip.Addr // IPv4
	IPv6      []netip.Addr
	MTU       int // bytes; 0: not said
}

// Clone is a copy that shares no memory with e.
func (e ENI) Clone() ENI {
	e.Subnets = slices.Clone(e.Subnets)
	e.Addresses = slices.Clone(e.Addresses)
	e.Prefixes = slices.Clone(e.Prefixes)
	e.Public = maps.Clone(e.Public)
	return e
}

// family are the ENI's addresses of one family, the primary first.
func (e ENI) family(is func(netip.Addr) bool) []netip.Addr {
	var out []netip.Addr
	for _, a := range e.Addresses {
		if is(a) {
			out = append(out, a)
		}
	}
	return out
}

// CreateENI makes an ENI that is not attached. The addresses that it asks for
// are taken from ENIs that have them as secondary ones, as Assign does.
func (c *Cloud) CreateENI(subnetID string, o ENIOptions) (made ENI, err error) {
	err = c.change(func() (events []Event, err error) {
		if made, events, err = c.create(subnetID, o); err != nil {
			return nil, fmt.Errorf("create ENI in subnet %q: %w", subnetID, err)
		}
		return events, nil
	})
	return made, err
}

// create checks, then makes; the events are those of the ENIs that lose addresses.
func (c *Cloud) create(subnetID string, o ENIOptions) (ENI, []Event, error) {
	s, ok := c.subnets[subnetID]
	if !ok {
		return ENI{}, nil, fmt.Errorf("subnet: %w: create it first", ErrNotFound)
	}
	addrs, err := c.wanted(s, o)
	if err != nil {
		return ENI{}, nil, err
	}
	mac, err := c.chooseMAC(o.MAC)
	if err != nil {
		return ENI{}, nil, err
	}
	e := &ENI{MAC: mac, SubnetID: s.ID, Subnets: s.Prefixes(), Gateway: s.Gateway(), Public: map[netip.Addr]netip.Addr{}}
	if err := checkMTU(o.MTU); err != nil {
		return ENI{}, nil, err
	}
	e.MTU = o.MTU
	if err := c.checkAssign(e, addrs); err != nil {
		return ENI{}, nil, err
	}
	c.made++
	e.ID = fmt.Sprintf("port-a2uv%06d", c.made)
	c.enis[e.ID] = e
	events := c.take(e, addrs)
	return e.Clone(), events, nil
}

// wanted are the addresses of an ENI to be, its primary first.
func (c *Cloud) wanted(s Subnet, o ENIOptions) ([]netip.Addr, error) {
	if o.Primary == (netip.Addr{}) {
		chosen, err := c.free(s, 1, o.Secondary...)
		if err != nil {
			return nil, err
		}
		o.Primary = chosen[0]
	}
	if !o.Primary.Is4() {
		return nil, fmt.Errorf("primary address %s: %w: want IPv4", o.Primary, ErrInvalid)
	}
	if id, held := c.holders[o.Primary]; held {
		return nil, fmt.Errorf("primary address %s: %w by ENI %s: choose another", o.Primary, ErrConflict, id)
	}
	return slices.Concat([]netip.Addr{o.Primary}, o.Secondary, o.IPv6), nil
}

// chooseMAC is the MAC asked for, or the next one that nobody has.
func (c *Cloud) chooseMAC(asked metadata.MAC) (metadata.MAC, error) {
	taken := func(m metadata.MAC) bool {
		for _, e := range c.enis {
			if e.MAC == m {
				return true
			}
		}
		return false
	}
	if asked != (metadata.MAC{}) {
		if asked[0]&1 == 1 {
			return asked, fmt.Errorf("MAC %s: %w: it is a multicast address", asked, ErrInvalid)
		}
		if taken(asked) {
			return asked, fmt.Errorf("MAC %s: %w by another ENI: choose another", asked, ErrConflict)
		}
		return asked, nil
	}
	for n := 0x8f0001 + c.made; ; n++ {
		m := metadata.MAC{0x02, 0x29, 0x96, byte(n >> 16), byte(n >> 8), byte(n)}
		if !taken(m) {
			return m, nil
		}
	}
}

// SetMTU sets the MTU, in bytes, that the interfaces document says; 0 says nothing.
func (c *Cloud) SetMTU(eni string, mtu int) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil {
			err = checkMTU(mtu)
		}
		if err != nil {
			return nil, fmt.Errorf("set MTU of ENI %q: %w", eni, err)
		}
		e.MTU = mtu
		return changed(e), nil
	})
}

func checkMTU(mtu int) error {
	if mtu != 0 && (mtu < 576 || mtu > 65535) {
		return fmt.Errorf("MTU %d: %w: want 576 to 65535, or 0 to say nothing", mtu, ErrInvalid)
	}
	return nil
}

// DescribeENI is the state of one ENI, attached or not.
func (c *Cloud) DescribeENI(id string) (ENI, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.eni(id)
	if err != nil {
		return ENI{}, fmt.Errorf("describe ENI %q: %w", id, err)
	}
	return e.Clone(), nil
}

func (c *Cloud) eni(id string) (*ENI, error) {
	if e, ok := c.enis[id]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("ENI: %w: create it first", ErrNotFound)
}
