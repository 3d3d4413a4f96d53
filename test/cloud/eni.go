package cloud

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"enid/metadata"
)

// ENI is an elastic network interface at an instant: a copy, that the cloud's
// later changes do not touch.
type ENI struct {
	ID          string
	Name        string
	Description string
	MAC         metadata.MAC // stays with the ENI, whichever instance has it
	VPC         string
	SubnetID    string
	Subnets     []netip.Prefix // the subnet's ranges, IPv4 first
	Gateway     netip.Addr     // the subnet's IPv4 gateway
	Created     time.Time      // UTC, whole seconds

	SecurityGroups []string // one to five
	SanityCheck    bool     // the network drops what is not from the ENI's addresses

	Instance   string // "" while it is not attached
	Primary    bool   // born attached to its instance, never detached, and deleted with it
	AutoDelete bool   // deleted when its instance is terminated
	Index      int    // place among the instance's ENIs: 0 is the primary, then the lowest free

	Addresses      []netip.Addr          // both families; the first is the primary address, always IPv4
	AddressSubnets map[netip.Addr]string // the subnet of those secondary addresses that are of another than SubnetID
	Prefixes       []netip.Prefix
	Public         map[netip.Addr]netip.Addr // by private address
	MTU            int                       // bytes; 0: not said

	Aliases    []netip.Prefix // ranges that the network delivers to the ENI whole (AssignAlias)
	Forwarded  []netip.Addr   // of load balancers, that deliver to the ENI (Forward)
	VLANParent string         // the ENI whose NIC it shares, "" for an ENI with a NIC of its own
	VLAN       int            // its VLAN id there
}

// Clone is a copy that shares no memory with e.
func (e ENI) Clone() ENI {
	e.Subnets = slices.Clone(e.Subnets)
	e.SecurityGroups = slices.Clone(e.SecurityGroups)
	e.Addresses = slices.Clone(e.Addresses)
	e.AddressSubnets = maps.Clone(e.AddressSubnets)
	e.Prefixes = slices.Clone(e.Prefixes)
	e.Public = maps.Clone(e.Public)
	e.Aliases = slices.Clone(e.Aliases)
	e.Forwarded = slices.Clone(e.Forwarded)
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
		return invalid("MTU %d: want 576 to 65535, or 0 to say nothing", mtu)
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

// ENIs are all ENIs, primary or not, attached or not, by id.
func (c *Cloud) ENIs() []ENI {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]ENI, 0, len(c.enis))
	for _, e := range sorted(c.enis) {
		out = append(out, e.Clone())
	}
	return out
}

func (c *Cloud) eni(id string) (*ENI, error) {
	if e, ok := c.enis[id]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("%w: create the ENI first", notFound("networkInterfaceId"))
}

// DeleteENI deletes an ENI that is not attached. Its addresses are free again,
// its elastic public addresses stay, bound to nothing.
func (c *Cloud) DeleteENI(id string) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(id)
		if err == nil {
			err = c.checkDelete(e)
		}
		if err != nil {
			return nil, fmt.Errorf("delete ENI %q: %w", id, err)
		}
		c.remove(e)
		return nil, nil
	})
}

func (c *Cloud) checkDelete(e *ENI) error {
	switch {
	case e.Primary:
		return fmt.Errorf("%w: it is deleted with instance %s", precondition("Can't delete primaryNetworkInterface"), e.Instance)
	case c.taskOf(e.ID) != "":
		return underway(c.taskOf(e.ID))
	case e.Instance != "":
		return fmt.Errorf("%w: detach it from instance %s first", precondition("NetworkInterface is attached"), e.Instance)
	}
	return nil
}

// remove forgets an ENI and all that it has.
func (c *Cloud) remove(e *ENI) {
	for _, a := range slices.Clone(e.Addresses) {
		c.drop(e, a)
	}
	for _, p := range e.Prefixes {
		delete(c.blocks, block{e.VPC, p})
	}
	delete(c.enis, e.ID)
}
