package metadata

import (
	"net/netip"
	"slices"
)

// local checks a range by itself. All of its addresses become the host's own, so that a wrong one takes
// their owners away from everything on this host.
func (v *validation) local(i Interface, p netip.Prefix) bool {
	widest := 8
	if p.Addr().Is6() {
		widest = 32
	}
	switch {
	case !v.block(i, "local", ReasonBadLocal, p):
		return false
	case p.Bits() < widest:
		v.add(i.Name(), "local", ReasonBadLocal, "%s is more than any cloud delivers to one host; it is left out, want a prefix of /%d or longer", p, widest)
	case slices.ContainsFunc(endpoints, p.Contains):
		v.add(i.Name(), "local", ReasonLocalSwallows, "%s holds an address of the metadata service, which this host could not ask any more; it is left out, correct the range", p)
	default:
		return true
	}
	return false
}

// localApart drops local ranges that two interfaces claim, that hold another interface's address, that are
// delegated as well, whose addresses are routed on and not the host's own, or that would cut the host off.
func (v *validation) localApart(all []Interface) {
	before := make([][]netip.Prefix, len(all))
	for n, i := range all {
		before[n] = i.Local.Value
	}
	for n, i := range all {
		all[n].Local = keepList(i.Local, func(p netip.Prefix) bool {
			for other, o := range all {
				claimed := slices.ContainsFunc(before[other], p.Overlaps) || slices.ContainsFunc(o.Addresses.Value, p.Contains)
				if other != n && claimed || slices.ContainsFunc(o.Prefixes.Value, p.Overlaps) {
					v.add(i.Name(), "local", ReasonPrefixOverlap, "%s of %s overlaps with an address, prefix or local range of %s; it is left out until one of them gives it up", p, i.Name(), o.Name())
					return false
				}
				if what, swallows := swallowed(p, o); swallows {
					v.add(i.Name(), "local", ReasonLocalSwallows, "%s holds %s of %s, which this host could not reach any more; it is left out, correct the range", p, what, o.Name())
					return false
				}
			}
			return true
		})
	}
}

// swallowed names the neighbours of an interface that a local range would hide.
func swallowed(p netip.Prefix, i Interface) (what string, swallows bool) {
	for _, s := range i.Subnets.Value {
		if p.Bits() <= s.Bits() && p.Overlaps(s) && !s.IsSingleIP() {
			return "the subnet " + s.String(), true
		}
	}
	if n := slices.IndexFunc(i.Gateways.Value, p.Contains); n >= 0 {
		return "the gateway " + i.Gateways.Value[n].String(), true
	}
	return "", false
}

// vlan takes a tag out that cannot be. It becomes unknown, never none.
func (v *validation) vlan(i Interface) Interface {
	tag := i.VLAN.Value
	switch {
	case i.VLAN.State == None || i.VLAN.State == Unknown:
		i.VLAN.Value = VLAN{}
		return i
	case tag.ID < 1 || tag.ID > 4094:
		v.add(i.Name(), "vlan", ReasonVLAN, "%d is no VLAN id, want 1 to 4094; nothing is made of it, correct the metadata", tag.ID)
	case tag.Parent == MAC{} || tag.Parent == i.MAC:
		v.add(i.Name(), "vlan", ReasonVLAN, "the parent %s is not another ENI's NIC; nothing is made of it, correct the metadata", tag.Parent)
	default:
		return i
	}
	i.VLAN = Fact[VLAN]{}
	return i
}

// vlansOnce drops a tag that two interfaces claim on one NIC from both.
func (v *validation) vlansOnce(all []Interface) {
	claims := map[VLAN][]string{}
	for _, i := range all {
		if i.VLAN.State == Known {
			claims[i.VLAN.Value] = append(claims[i.VLAN.Value], i.Name())
		}
	}
	for n, i := range all {
		if names := claims[i.VLAN.Value]; i.VLAN.State == Known && len(names) > 1 {
			v.add(i.Name(), "vlan", ReasonVLAN, "VLAN %d of %s is listed for %v; none gets it until all but one give it up", i.VLAN.Value.ID, i.VLAN.Value.Parent, names)
			all[n].VLAN = Fact[VLAN]{}
		}
	}
}
