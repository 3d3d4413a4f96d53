package cloud

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"enid/metadata"
)

// ENIOptions are the choices in making an ENI; the zero value leaves all of
// them to the cloud.
type ENIOptions struct {
	Name            string       // 32 characters at most
	Description     string       // 256 characters at most
	MAC             metadata.MAC // zero: generated, locally administered
	Primary         netip.Addr   // zero: the lowest free IPv4 address of the subnet
	Secondary       []netip.Addr // IPv4
	SecondaryCount  int          // so many more, the lowest free ones
	SecondarySubnet string       // where secondary addresses are from; "": the ENI's own subnet
	IPv6            []netip.Addr
	SecurityGroups  []string // five at most; none: the default one
	NoSanityCheck   bool
	MTU             int // bytes; 0: not said
}

// defaultGroup is the security group of those who choose none.
const defaultGroup = "sg-wx0ivn0001"

// CreateENI makes a secondary ENI that is not attached. The secondary addresses
// that it asks for are taken from ENIs that have them, as Assign does.
func (c *Cloud) CreateENI(subnetID string, o ENIOptions) (made ENI, err error) {
	err = c.change(func() (events []Event, err error) {
		err = c.checkQuota(QuotaENI, "")
		if err == nil {
			made, events, err = c.create(subnetID, o)
		}
		if err != nil {
			return nil, fmt.Errorf("create ENI in subnet %q: %w", subnetID, err)
		}
		return events, nil
	})
	return made, err
}

// create checks, then makes; the events are those of the ENIs that lose addresses.
func (c *Cloud) create(subnetID string, o ENIOptions) (ENI, []Event, error) {
	s, err := c.subnet(subnetID)
	if err != nil {
		return ENI{}, nil, err
	}
	e := &ENI{
		Name: o.Name, Description: o.Description, MTU: o.MTU, SanityCheck: !o.NoSanityCheck,
		VPC: s.VPC, SubnetID: s.ID, Subnets: s.Prefixes(), Gateway: s.Gateway(), Created: time.Now().UTC().Truncate(time.Second),
		SecurityGroups: slices.Clone(o.SecurityGroups), Public: map[netip.Addr]netip.Addr{}, AddressSubnets: map[netip.Addr]string{},
	}
	if len(e.SecurityGroups) == 0 {
		e.SecurityGroups = []string{defaultGroup}
	}
	if err := checkSettings(*e); err != nil {
		return ENI{}, nil, err
	}
	if e.MAC, err = c.chooseMAC(o.MAC); err != nil {
		return ENI{}, nil, err
	}
	own, more, err := c.wanted(e, s, o)
	if err != nil {
		return ENI{}, nil, err
	}
	e.ID = newID(c.made, "port", c.enis)
	c.enis[e.ID] = e
	events := append(c.take(e, own...), c.take(e, more...)...)
	return e.Clone(), events, nil
}

// wanted are the addresses of an ENI to be, its primary first.
func (c *Cloud) wanted(e *ENI, s Subnet, o ENIOptions) (own, more []home, err error) {
	if o.Primary == (netip.Addr{}) {
		chosen, err := c.free(s, 1, o.Secondary...)
		if err != nil {
			return nil, nil, err
		}
		o.Primary = chosen[0]
	}
	if !o.Primary.Is4() {
		return nil, nil, invalid("primaryIpAddress %s: want an IPv4 address", o.Primary)
	}
	if id, held := c.holders[spot{s.VPC, o.Primary}]; held {
		return nil, nil, fmt.Errorf("primary address %s: %w: ENI %s has it; choose another", o.Primary, used("primaryIp"), id)
	}
	other, err := c.subnetOf(e, o.SecondarySubnet)
	if err != nil {
		return nil, nil, err
	}
	own = homes(s, o.Primary)
	more = homes(other, o.Secondary...)
	counted, err := c.freeFor(other, o.SecondaryCount, append(slices.Clone(o.Secondary), o.Primary))
	if err != nil {
		return nil, nil, err
	}
	more = slices.Concat(more, homes(other, counted...), homes(s, o.IPv6...))
	return own, more, c.checkAssign(e, slices.Concat(own, more))
}

// chooseMAC is the MAC asked for, or the next one that nobody has.
func (c *Cloud) chooseMAC(asked metadata.MAC) (metadata.MAC, error) {
	if asked != (metadata.MAC{}) {
		return asked, c.checkMAC(asked)
	}
	for n := 0x8f0001 + c.made["port"]; ; n++ {
		m := metadata.MAC{0x02, 0x29, 0x96, byte(n >> 16), byte(n >> 8), byte(n)}
		if c.macHolder(m) == "" {
			return m, nil
		}
	}
}

func (c *Cloud) checkMAC(m metadata.MAC) error {
	switch id := c.macHolder(m); {
	case m == (metadata.MAC{}), m[0]&1 == 1:
		return invalid("macAddress %s: want that of one interface, not zero and not multicast", m)
	case id != "":
		return fmt.Errorf("MAC %s: %w: ENI %s has it; choose another", m, used("macAddress"), id)
	}
	return nil
}

func (c *Cloud) macHolder(m metadata.MAC) string {
	for _, e := range c.enis {
		if e.MAC == m {
			return e.ID
		}
	}
	return ""
}

// The limits of an ENI's settings on JD Cloud.
const (
	maxName        = 32
	maxDescription = 256
	maxGroups      = 5
)

// checkSettings reports what is wrong with the settings that people choose freely.
func checkSettings(e ENI) error {
	switch {
	case utf8.RuneCountInString(e.Name) > maxName:
		return invalid("networkInterfaceName of %d characters: want %d at most", utf8.RuneCountInString(e.Name), maxName)
	case utf8.RuneCountInString(e.Description) > maxDescription:
		return invalid("description of %d characters: want %d at most", utf8.RuneCountInString(e.Description), maxDescription)
	case len(e.SecurityGroups) < 1 || len(e.SecurityGroups) > maxGroups:
		return invalid("%d securityGroups: want 1 to %d", len(e.SecurityGroups), maxGroups)
	case slices.Contains(e.SecurityGroups, ""):
		return invalid("securityGroups: an id is empty: name the group")
	}
	return checkMTU(e.MTU)
}

// ENIChange is what ModifyENI sets; nil leaves a setting as it is.
type ENIChange struct {
	Name, Description *string
	SecurityGroups    []string
	MAC               *metadata.MAC
}

// ModifyENI changes settings of an ENI, attached or not. To those who follow the
// events a new MAC is a NIC unplugged and one plugged in.
func (c *Cloud) ModifyENI(id string, change ENIChange) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(id)
		if err != nil {
			return nil, fmt.Errorf("modify ENI %q: %w", id, err)
		}
		before, after := e.Clone(), change.apply(e.Clone())
		if err = checkSettings(after); err == nil && after.MAC != before.MAC {
			err = c.checkMAC(after.MAC)
		}
		if err != nil {
			return nil, fmt.Errorf("modify ENI %q: %w", id, err)
		}
		*e = after
		switch {
		case e.Instance == "":
			return nil, nil
		case after.MAC != before.MAC:
			return []Event{{Detached, e.Instance, before}, {Attached, e.Instance, after.Clone()}}, nil
		case !slices.Equal(after.SecurityGroups, before.SecurityGroups):
			return changed(e), nil
		}
		return nil, nil
	})
}

func (change ENIChange) apply(e ENI) ENI {
	e.Name = *cmp.Or(change.Name, &e.Name)
	e.Description = *cmp.Or(change.Description, &e.Description)
	e.MAC = *cmp.Or(change.MAC, &e.MAC)
	if change.SecurityGroups != nil {
		e.SecurityGroups = slices.Clone(change.SecurityGroups)
	}
	return e
}
