package cloud

import (
	"fmt"
	"maps"
	"slices"
)

// Attach plugs an ENI into an instance, at the lowest free index. It stays when
// the instance is terminated.
func (c *Cloud) Attach(instance, eni string) error { return c.AttachWith(instance, eni, false) }

// AttachWith is Attach with a choice whether the ENI is deleted when the
// instance is terminated.
func (c *Cloud) AttachWith(instance, eni string, autoDelete bool) error {
	return c.change(func() ([]Event, error) {
		in, e, err := c.pair(instance, eni)
		if err == nil {
			err = c.checkAttach(in, e)
		}
		if err != nil {
			return nil, fmt.Errorf("attach ENI %q to instance %q: %w", eni, instance, err)
		}
		return c.begin(in, task{Kind: taskAttach, ENI: eni, AutoDelete: autoDelete}), nil
	})
}

func (c *Cloud) checkAttach(in *instance, e *ENI) error {
	have, limit := len(c.attached(in.id)), NICLimit(in.vcpu)
	switch err := in.idle(); {
	case e.Instance != "":
		return fmt.Errorf("%w: it is attached to instance %s; detach it first",
			precondition("NetworkInterface has been attached on other device"), e.Instance)
	case err != nil:
		return err
	case c.taskOf(e.ID) != "":
		return underway(c.taskOf(e.ID))
	case c.describe(in).VPC != e.VPC:
		return fmt.Errorf("%w: the ENI is in %s", precondition("NetworkInterface and instance are not in the same vpc"), e.VPC)
	case have >= limit:
		return fmt.Errorf("%w: the instance has %d of %d, its primary included; detach one, or use one with more vCPUs",
			precondition("Flavor constraints. NetworkInterface limit exceeded"), have, limit)
	}
	for _, eip := range sorted(c.eips) {
		if eip.ENI == e.ID && eip.AZ != "" && eip.AZ != in.az {
			return otherZone(eip)
		}
	}
	return nil
}

// Detach unplugs a secondary ENI. It keeps its MAC, its addresses and their
// elastic public addresses.
func (c *Cloud) Detach(instance, eni string) error {
	return c.change(func() ([]Event, error) {
		in, e, err := c.pair(instance, eni)
		switch {
		case err != nil:
		case e.Primary:
			err = fmt.Errorf("%w: it lives and dies with its instance", precondition("Can't detach primaryNetworkInterface"))
		case e.Instance != instance:
			err = notOn(e)
		case c.carries(e) != "":
			err = fmt.Errorf("%w: detach ENI %s first, which is a VLAN on its NIC", precondition("NetworkInterface is in use"), c.carries(e))
		default:
			err = in.idle()
		}
		if err != nil {
			return nil, fmt.Errorf("detach ENI %q from instance %q: %w", eni, instance, err)
		}
		return c.begin(in, task{Kind: taskDetach, ENI: eni}), nil
	})
}

func notOn(e *ENI) error {
	return fmt.Errorf("%w: it is attached to %q", precondition("NetworkInterface is not attached on this device"), e.Instance)
}

// SetAutoDelete says of secondary ENIs of an instance whether they are deleted when
// it is terminated: all of them or none.
func (c *Cloud) SetAutoDelete(instance string, set map[string]bool) error {
	return c.change(func() ([]Event, error) {
		for _, id := range slices.Sorted(maps.Keys(set)) {
			_, e, err := c.pair(instance, id)
			switch {
			case err != nil:
			case e.Instance != instance:
				err = notOn(e)
			case e.Primary:
				err = fmt.Errorf("%w: it is always deleted with its instance", precondition("Can't modify primaryNetworkInterface"))
			}
			if err != nil {
				return nil, fmt.Errorf("set auto-delete of ENI %q on instance %q: %w", id, instance, err)
			}
		}
		if _, err := c.instance(instance); err != nil {
			return nil, fmt.Errorf("set auto-delete on instance %q: %w", instance, err)
		}
		for id, on := range set {
			c.enis[id].AutoDelete = on
		}
		return nil, nil
	})
}

func (c *Cloud) pair(instance, eni string) (*instance, *ENI, error) {
	in, err := c.instance(instance)
	if err != nil {
		return nil, nil, err
	}
	e, err := c.eni(eni)
	return in, e, err
}

// plug makes what Attach began true.
func (c *Cloud) plug(instance string, e *ENI, t task) []Event {
	e.Index = 0
	for _, other := range c.attached(instance) {
		if other.Index == e.Index {
			e.Index++
		}
	}
	e.Instance, e.AutoDelete, e.VLANParent, e.VLAN = instance, t.AutoDelete, t.Parent, t.VLAN
	return []Event{{Attached, instance, e.Clone()}}
}

// unplug makes what Detach began true.
func unplug(e *ENI) []Event {
	left := e.Clone()
	e.Instance, e.Index, e.AutoDelete, e.VLANParent, e.VLAN = "", 0, false, "", 0
	return []Event{{Detached, left.Instance, left}}
}
