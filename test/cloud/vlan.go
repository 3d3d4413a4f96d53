package cloud

import (
	"fmt"
	"slices"
)

// AttachVLAN plugs an ENI into an instance without a NIC of its own: its frames carry a VLAN id (1 to 4094) on the
// NIC of another ENI of the instance, its parent (Compute Engine's dynamic NICs). It is detached as any other, and
// before its parent.
func (c *Cloud) AttachVLAN(instance, eni, parent string, id int) error {
	return c.change(func() ([]Event, error) {
		in, e, err := c.pair(instance, eni)
		if err == nil {
			err = c.checkAttach(in, e)
		}
		if err == nil {
			err = c.checkVLAN(instance, parent, id)
		}
		if err != nil {
			return nil, fmt.Errorf("attach ENI %q to instance %q as VLAN %d of ENI %q: %w", eni, instance, id, parent, err)
		}
		return c.begin(in, task{Kind: taskAttach, ENI: eni, Parent: parent, VLAN: id}), nil
	})
}

func (c *Cloud) checkVLAN(instance, parent string, id int) error {
	p, err := c.eni(parent)
	switch {
	case err != nil:
		return err
	case p.Instance != instance:
		return notOn(p)
	case p.VLANParent != "":
		return invalid("parent: it is a VLAN itself: want an ENI with a NIC of its own")
	case id < 1 || id > 4094:
		return invalid("vlan %d: want 1 to 4094", id)
	}
	for _, other := range c.enis {
		if other.VLANParent == parent && other.VLAN == id {
			return fmt.Errorf("%w: ENI %s has it", used("vlan"), other.ID)
		}
	}
	return nil
}

// carries is an ENI that is a VLAN on e's NIC, or "".
func (c *Cloud) carries(e *ENI) string {
	for _, other := range sorted(c.enis) {
		if other.VLANParent == e.ID {
			return other.ID
		}
	}
	return ""
}

// vlansFirst are the ENIs of an instance as they go: from the last to the first, those without a NIC of their own before
// the others.
func vlansFirst(enis []ENI) []ENI {
	slices.Reverse(enis)
	slices.SortStableFunc(enis, func(a, b ENI) int {
		switch {
		case a.VLANParent != "" && b.VLANParent == "":
			return -1
		case a.VLANParent == "" && b.VLANParent != "":
			return 1
		}
		return 0
	})
	return enis
}

// checkVLANs refuses a state in which a VLAN has no NIC.
func (c *Cloud) checkVLANs() error {
	for _, e := range sorted(c.enis) {
		if e.VLANParent == "" {
			continue
		}
		if p, ok := c.enis[e.VLANParent]; !ok || p.VLANParent != "" || e.Instance == "" || p.Instance != e.Instance {
			return fmt.Errorf("ENI %q: it is a VLAN on the NIC of ENI %q: that is none of its instance's", e.ID, e.VLANParent)
		}
	}
	return nil
}
