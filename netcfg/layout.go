package netcfg

import (
	"fmt"
)

// layout answers whose a kernel object is. It is the inverse of what Desired
// builds, so that objects found in the kernel can be told apart by ENI even when
// nothing is known any more of the ENI.
type layout struct {
	Numbers
	links map[int]Link
	slots map[int]Slot // by ifindex
	// foreign4 marks NICs on which somebody else has an IPv4 address, by ifindex.
	foreign4 map[int]bool
	found    []Setting // before enid changed them
}

func newLayout(n Numbers, host Host, slots Slots) layout {
	l := layout{n, map[int]Link{}, map[int]Slot{}, map[int]bool{}, host.Found}
	for _, a := range host.Addrs {
		l.foreign4[a.Link] = l.foreign4[a.Link] || a.Prefix.Addr().Is4()
	}
	for _, link := range host.Links {
		l.links[link.Index] = link
		if slot, ok := slots[link.MAC]; ok {
			l.slots[link.Index] = slot
		}
	}
	return l
}

// slotOf is the slot that an object of ours belongs to, NoSlot for what serves all.
func (l layout) slotOf(o Object) Slot {
	switch o := o.(type) {
	case Addr:
		return l.slotOfLink(o.Link)
	case Setting:
		return l.slotOfLink(o.Link)
	case Route:
		if o.Table == MainTable || o.Local() {
			return l.slotOfLink(o.Link)
		}
		return l.slotOfTable(o.Table)
	case Rule:
		return l.slotOfRule(o)
	}
	return NoSlot
}

func (l layout) slotOfLink(index int) Slot {
	if slot, ok := l.slots[index]; ok {
		return slot
	}
	return NoSlot
}

// used says which slots have objects in a state.
func (l layout) used(s State) map[Slot]bool {
	used := map[Slot]bool{}
	for _, a := range s.Addrs {
		used[l.slotOf(a)] = true
	}
	for _, r := range s.Routes {
		used[l.slotOf(r)] = true
	}
	for _, r := range s.Rules {
		used[l.slotOf(r)] = true
	}
	for _, x := range s.Settings {
		used[l.slotOf(x)] = true
	}
	return used
}

// dev is the name of a NIC for printing. One that is gone has none any more.
func (l layout) dev(o Object) string {
	index := 0
	switch o := o.(type) {
	case Addr:
		index = o.Link
	case Setting:
		index = o.Link
	case Route:
		index = o.Link
	}
	if link, ok := l.links[index]; ok {
		return link.Name
	}
	return fmt.Sprintf("if%d", index)
}

func (n Numbers) slotOfTable(table int) Slot {
	switch {
	case table == n.RefuseTable():
		return Primary
	case table >= n.Table && table < n.Table+MaxSlots:
		return Slot(table - n.Table)
	}
	return NoSlot
}

// slotOfRule follows a rule to the block that it leads to or is part of.
func (n Numbers) slotOfRule(r Rule) Slot {
	priority := r.Priority
	if r.Goto != 0 {
		priority = r.Goto
	}
	switch {
	case n.slotOfMark(r) != NoSlot:
		return n.slotOfMark(r)
	case r.Table != 0 && r.Table != MainTable:
		return n.slotOfTable(r.Table)
	case priority >= n.chainOf(Primary+1) && priority < n.blockOf(MaxSlots):
		return Slot((priority + chainBefore - n.blockOf(Primary)) / blockStep)
	case r.Table == MainTable && priority == n.Priority+primarySelectors:
		return Primary
	}
	return NoSlot
}
