package cloud

import (
	"fmt"
	"net/netip"
)

// ElasticIP is a public IPv4 address, bound to one private address or to none.
// The translation is the network's; the guest never sees the public address.
type ElasticIP struct {
	ID      string
	Address netip.Addr
	AZ      string     // the only availability zone it serves, or "": the whole region
	ENI     string     // "" while it is bound to nothing
	Private netip.Addr // zero while it is bound to nothing
}

// publicRange is where public addresses are from: the range for benchmarks (RFC
// 2544), large enough and nobody's.
var publicRange = netip.MustParsePrefix("198.18.0.0/15")

// AllocateEIP makes an elastic public address for one availability zone, or
// for the region where az is "".
func (c *Cloud) AllocateEIP(az string) (made ElasticIP, err error) {
	err = c.change(func() ([]Event, error) {
		taken := map[netip.Addr]bool{}
		for _, eip := range c.eips {
			taken[eip.Address] = true
		}
		a := publicRange.Addr().Next()
		for taken[a] {
			a = a.Next()
		}
		if !publicRange.Contains(a) {
			return nil, fmt.Errorf("allocate elastic IP: %w: release one", exceeded("ElasticIp"))
		}
		made = ElasticIP{ID: newID(c.made, "fip", c.eips), Address: a, AZ: az}
		c.eips[made.ID] = made
		return nil, nil
	})
	return made, err
}

// ReleaseEIP gives an elastic public address that is bound to nothing back.
func (c *Cloud) ReleaseEIP(id string) error {
	return c.change(func() ([]Event, error) {
		eip, err := c.eip(id)
		if err == nil && eip.ENI != "" {
			err = fmt.Errorf("%w: disassociate it from ENI %s first", precondition("ElasticIp '%s' is associated", id), eip.ENI)
		}
		if err != nil {
			return nil, fmt.Errorf("release elastic IP %q: %w", id, err)
		}
		delete(c.eips, id)
		return nil, nil
	})
}

// ElasticIPs are all elastic public addresses, by id.
func (c *Cloud) ElasticIPs() []ElasticIP {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sorted(c.eips)
}

func (c *Cloud) eip(id string) (ElasticIP, error) {
	if eip, ok := c.eips[id]; ok {
		return eip, nil
	}
	return ElasticIP{}, fmt.Errorf("%w: allocate the elastic IP first", notFound("elasticIpId"))
}

// AssociateEIP binds an elastic public address to a private IPv4 address of an
// ENI, primary or secondary; zero is the primary one. Each has one at most.
func (c *Cloud) AssociateEIP(eni, eip string, private netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err != nil {
			return nil, fmt.Errorf("associate elastic IP %q with ENI %q: %w", eip, eni, err)
		}
		if !private.IsValid() {
			private = e.Addresses[0]
		}
		x, err := c.eip(eip)
		if err == nil {
			err = c.checkBind(e, x, private)
		}
		if err != nil {
			return nil, fmt.Errorf("associate elastic IP %q with %s of ENI %q: %w", eip, private, eni, err)
		}
		return c.bind(e, x, private), nil
	})
}

func (c *Cloud) checkBind(e *ENI, eip ElasticIP, private netip.Addr) error {
	old, bound := c.boundTo(e.ID, private)
	switch {
	case c.holders[spot{e.VPC, private}] != e.ID:
		return fmt.Errorf("%w: assign it to the ENI first", notFound("privateIpAddress"))
	case !private.Is4() || !eip.Address.Is4():
		return invalid("privateIpAddress %s, elasticIpAddress %s: both must be IPv4", private, eip.Address)
	case eip.ENI != "":
		return fmt.Errorf("%w: it is bound to %s of ENI %s; unbind it first", used("elasticIpId"), eip.Private, eip.ENI)
	case bound:
		return fmt.Errorf("%w: %s is bound to it; unbind that first", used("privateIpAddress"), old.Address)
	case eip.AZ != "" && !e.Primary:
		return precondition("ElasticIp '%s' of az %s can't be associated with a secondary networkInterface", eip.ID, eip.AZ)
	case eip.AZ != "" && eip.AZ != c.instances[e.Instance].az:
		return otherZone(eip)
	}
	return nil
}

func otherZone(eip ElasticIP) error {
	return precondition("ElasticIp '%s' and instance are not in the same az", eip.ID)
}

func (c *Cloud) bind(e *ENI, eip ElasticIP, private netip.Addr) []Event {
	eip.ENI, eip.Private = e.ID, private
	c.eips[eip.ID] = eip
	e.Public[private] = eip.Address
	return changed(e)
}

func (c *Cloud) unbind(eip ElasticIP) {
	delete(c.enis[eip.ENI].Public, eip.Private)
	eip.ENI, eip.Private = "", netip.Addr{}
	c.eips[eip.ID] = eip
}

// boundTo is the elastic public address of a private one.
func (c *Cloud) boundTo(eni string, private netip.Addr) (ElasticIP, bool) {
	for _, eip := range c.eips {
		if eip.ENI == eni && eip.Private == private {
			return eip, true
		}
	}
	return ElasticIP{}, false
}

// DisassociateEIP takes an elastic public address from an ENI. It stays allocated.
func (c *Cloud) DisassociateEIP(eni, eip string) error {
	return c.change(func() ([]Event, error) {
		e, err := c.eni(eni)
		if err == nil {
			err = c.checkUnbind(e, eip)
		}
		if err != nil {
			return nil, fmt.Errorf("disassociate elastic IP %q from ENI %q: %w", eip, eni, err)
		}
		c.unbind(c.eips[eip])
		return changed(e), nil
	})
}

func (c *Cloud) checkUnbind(e *ENI, id string) error {
	eip, err := c.eip(id)
	if err == nil && eip.ENI != e.ID {
		err = fmt.Errorf("%w: it is bound to ENI %q", precondition("ElasticIp '%s' is not associated with the networkInterface", id), eip.ENI)
	}
	return err
}

// AssociateInstanceEIP binds an elastic public address to the primary address of
// the instance's primary ENI, the only one that the instance's own binding means.
func (c *Cloud) AssociateInstanceEIP(instance, eip string) error {
	primary, err := c.primaryOf(instance)
	if err != nil {
		return fmt.Errorf("associate elastic IP %q with instance %q: %w", eip, instance, err)
	}
	return c.AssociateEIP(primary.ID, eip, primary.Addresses[0])
}

// DisassociateInstanceEIP undoes AssociateInstanceEIP, and nothing else: public
// addresses of the instance's other private addresses stay.
func (c *Cloud) DisassociateInstanceEIP(instance, eip string) error {
	primary, err := c.primaryOf(instance)
	if err == nil && !c.isBound(eip, primary.Addresses[0]) {
		err = fmt.Errorf("%w: use the ENI that it is bound to",
			precondition("ElasticIp '%s' is not associated with the primaryIp of the primaryNetworkInterface", eip))
	}
	if err != nil {
		return fmt.Errorf("disassociate elastic IP %q from instance %q: %w", eip, instance, err)
	}
	return c.DisassociateEIP(primary.ID, eip)
}

// isBound is true also for an elastic IP that does not exist: whoever unbinds it
// says so.
func (c *Cloud) isBound(eip string, private netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, there := c.eips[eip]
	return !there || x.Private == private
}

func (c *Cloud) primaryOf(instance string) (ENI, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.instance(instance); err != nil {
		return ENI{}, err
	}
	return c.attached(instance)[0], nil
}

// BindPublic binds a public IPv4 address, allocated where it is not yet, to a
// private one of DefaultVPC, as AssociateEIP does.
func (c *Cloud) BindPublic(a, public netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, ok := c.enis[c.holders[spot{DefaultVPC, a}]]
		if !ok {
			return nil, fmt.Errorf("bind public address %s to %s: %w: assign it first", public, a, notFound("privateIpAddress"))
		}
		eip := ElasticIP{Address: public}
		for _, x := range c.eips {
			if x.Address == public {
				eip = x
			}
		}
		if err := c.checkBind(e, eip, a); err != nil {
			return nil, fmt.Errorf("bind public address %s to %s: %w", public, a, err)
		}
		if eip.ID == "" {
			eip.ID = newID(c.made, "fip", c.eips)
		}
		return c.bind(e, eip, a), nil
	})
}

// UnbindPublic takes the public address from a private one of DefaultVPC.
func (c *Cloud) UnbindPublic(a netip.Addr) error {
	return c.change(func() ([]Event, error) {
		e, ok := c.enis[c.holders[spot{DefaultVPC, a}]]
		if !ok || !e.Public[a].IsValid() {
			return nil, fmt.Errorf("unbind public address of %s: %w: none is bound to it", a, notFound("elasticIpId"))
		}
		eip, _ := c.boundTo(e.ID, a)
		c.unbind(eip)
		return changed(e), nil
	})
}
