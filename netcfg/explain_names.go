package netcfg

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// LocalTable is RT_TABLE_LOCAL, with this host's own addresses.
const LocalTable = 255

// tableName is how a person knows a table.
func (s *sight) tableName(table int) string {
	name := tableNumber(table)
	switch slot := s.slotOfTable(table); {
	case slot == NoSlot:
		return name
	case table == s.RefuseTable():
		return name + " (what the primary ENI does not send elsewhere)"
	default:
		return name + " (" + s.eniOfSlot(slot) + ")"
	}
}

// eniOfSlot names an ENI, by its NIC where nobody tells a better name.
func (s *sight) eniOfSlot(slot Slot) string {
	if i := slices.IndexFunc(s.enis, func(e NamedENI) bool { return e.Slot == slot }); i >= 0 {
		return "ENI " + s.enis[i].Name
	}
	if nic := s.nicOfSlot(slot); nic != "" {
		return "the ENI of " + nic
	}
	if slot == Primary {
		return "the primary ENI"
	}
	return fmt.Sprintf("the ENI of slot %d", slot)
}

// nicOfSlot is the NIC of an ENI: as the daemon says, else as enid's rules for sockets that are bound to it say.
func (s *sight) nicOfSlot(slot Slot) string {
	if i := slices.IndexFunc(s.enis, func(e NamedENI) bool { return e.Slot == slot }); i >= 0 {
		return s.enis[i].NIC
	}
	for _, r := range s.rules {
		if s.owns(r) && r.oif != "" && r.action == actionGoto && s.slotOfBlock(r.gotoPriority) == slot {
			return r.oif
		}
	}
	return ""
}

// slotOfBlock is the slot of a rule's priority within a block, NoSlot where it is in none.
func (s *sight) slotOfBlock(priority int) Slot {
	if priority < s.blockOf(Primary) || priority >= s.blockOf(MaxSlots) {
		return NoSlot
	}
	return Slot((priority - s.blockOf(Primary)) / blockStep)
}

// nameOfNIC is the name of the ENI whose NIC it is, "" where that is not known.
func (s *sight) nameOfNIC(nic string) string {
	if i := slices.IndexFunc(s.enis, func(e NamedENI) bool { return e.NIC == nic }); i >= 0 {
		return s.enis[i].Name
	}
	return ""
}

// isENI reports whether a NIC is an ENI's: as the daemon says, or for its link group. Where enid never
// was, every NIC that is hardware counts.
func (s *sight) isENI(nic string) bool {
	grouped := func(l Link) bool { return l.Group == s.Group }
	if len(s.enis) > 0 || slices.ContainsFunc(s.links, grouped) {
		return s.nameOfNIC(nic) != "" || s.groupOf(nic) == int64(s.Group)
	}
	l := s.link(nic)
	return l.Kind == "" && l.MAC != Link{}.MAC
}

// ownerOf is the NIC that an address belongs to, "" for none: it is configured there, or
// in a prefix that is delegated to its ENI.
func (s *sight) ownerOf(a netip.Addr) string {
	for _, x := range s.addrs {
		if x.Prefix.Addr() == a {
			return s.name(x.Link)
		}
	}
	for _, e := range s.enis {
		if slices.ContainsFunc(e.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return e.NIC
		}
	}
	for _, r := range s.rules { // a selector of enid's that asks for no NIC is a delegated prefix's
		if s.owns(r) && r.action == actionGoto && r.from.IsValid() && r.from.Contains(a) && r.iif == "" && r.priority < s.Priority+subnetSelectors {
			return s.nicOfSlot(s.slotOfBlock(r.gotoPriority))
		}
	}
	return ""
}

// subnetOwner is the NIC of the ENI in whose subnet an address lies, "" for none.
func (s *sight) subnetOwner(a netip.Addr) string {
	for _, e := range s.enis {
		if slices.ContainsFunc(e.Subnets, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return e.NIC
		}
	}
	for _, x := range s.addrs {
		if x.Prefix.Masked().Contains(a) && !x.Prefix.IsSingleIP() && s.isENI(s.name(x.Link)) {
			return s.name(x.Link)
		}
	}
	return ""
}

// called is a NIC with its ENI's name behind it.
func (s *sight) called(nic string) string {
	if eni := s.nameOfNIC(nic); eni != "" {
		return nic + " (ENI " + eni + ")"
	}
	return nic
}

func (s *sight) link(nic string) Link {
	if i := slices.IndexFunc(s.links, func(l Link) bool { return l.Name == nic }); i >= 0 {
		return s.links[i]
	}
	return Link{}
}

func (s *sight) name(index int) string {
	if i := slices.IndexFunc(s.links, func(l Link) bool { return l.Index == index }); i >= 0 {
		return s.links[i].Name
	}
	return fmt.Sprintf("if%d", index)
}

// groupOf is a NIC's link group, -2 for one that is not there.
func (s *sight) groupOf(nic string) int64 {
	if l := s.link(nic); l.Name != "" {
		return int64(l.Group)
	}
	return -2
}

// vrfOf is the VRF that a NIC is, or is part of, "" for none.
func (s *sight) vrfOf(nic string) string {
	for _, name := range []string{nic, s.name(s.link(nic).Master)} {
		if _, ok := s.vrfs[name]; ok {
			return name
		}
	}
	return ""
}

func (w Way) leavesBy(nic string) bool {
	return slices.ContainsFunc(w.Hops, func(h Hop) bool { return h.NIC == nic })
}

// nics lists by which a packet leaves.
func (w Way) nics() string {
	var names []string
	for _, h := range w.Hops {
		if !slices.Contains(names, h.NIC) {
			names = append(names, h.NIC)
		}
	}
	return cmp.Or(strings.Join(names, " or "), "no NIC")
}
