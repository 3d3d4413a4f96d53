package netcfg

import (
	"fmt"
	"maps"
	"slices"

	"enid/metadata"
)

// Slots remembers which slot each attached ENI has, by MAC. It is kept on disk, so that
// an ENI has the same tables and priorities after a reboot.
type Slots map[metadata.MAC]Slot

// Assign gives every ENI its slot and returns the new map; s is not changed. A known
// ENI keeps its slot. The primary has slot 0. For a new ENI the kernel is asked
// first: routes of ours through its NIC tell the slot that it had when the file
// was lost. Then comes the lowest free one. An ENI of which it is not known whether it is the
// primary gets none yet: taken for the wrong kind it could harm the host.
//
// The slot of an ENI that is not listed any more stays taken until the list is settled and the
// kernel has nothing of ours in it: then it is free. So is that of an ENI that is ignored, lest
// the next start takes it for one of which the metadata has not spoken yet.
func (s Slots) Assign(enis []ENI, settled bool, obs Observation, n Numbers) (Slots, []metadata.Problem) {
	next := maps.Clone(s)
	if next == nil {
		next = Slots{}
	}
	listed, ignored := map[metadata.MAC]bool{}, map[metadata.MAC]bool{}
	for _, e := range enis {
		listed[e.MAC], ignored[e.MAC] = true, e.Ignore
		if slot, ok := next[e.MAC]; ok && !e.Hold && e.Primary.State == metadata.Known && (slot == Primary) != e.Primary.Value {
			delete(next, e.MAC) // the record was of another role, and that is beyond doubt
		}
	}
	used := newLayout(n, obs.Host, s).used(obs.Own)
	maps.DeleteFunc(next, func(m metadata.MAC, slot Slot) bool {
		return (!listed[m] && settled || ignored[m]) && !used[slot]
	})

	var problems []metadata.Problem
	for _, e := range enis {
		if _, ok := next[e.MAC]; ok || e.Ignore || e.Primary.State != metadata.Known {
			continue
		}
		slot := next.choose(e, obs, n)
		if slot == NoSlot {
			problems = append(problems, metadata.Problem{Interface: e.Name(), Reason: "no-slot",
				Text: fmt.Sprintf("all %d slots are taken; detach an ENI or tell enid to ignore one", MaxSlots)})
			continue
		}
		next[e.MAC] = slot
	}
	return next, problems
}

// choose is the slot for an ENI that has none, NoSlot where all are taken.
func (s Slots) choose(e ENI, obs Observation, n Numbers) Slot {
	taken := map[Slot]bool{}
	for _, slot := range s {
		taken[slot] = true
	}
	if e.Primary.Value {
		if taken[Primary] {
			return NoSlot
		}
		return Primary
	}
	if link, problem := MatchLink(e.MAC, obs.Host.Links); problem == nil {
		for _, r := range obs.Own.Routes {
			if slot := n.slotOfTable(r.Table); r.Link == link.Index && slot > Primary && !taken[slot] {
				return slot
			}
		}
	}
	// A slot in which the kernel still has rules of ours belongs to whoever left them
	// until they are gone.
	for _, r := range obs.Own.Rules {
		if slot := n.slotOfRule(r); slot > Primary {
			taken[slot] = true
		}
	}
	for slot := Primary + 1; slot < MaxSlots; slot++ {
		if !taken[slot] {
			return slot
		}
	}
	return NoSlot
}

// Tables lists the route tables of the slots in use, the primary's two included.
func (s Slots) Tables(n Numbers) []int {
	tables := map[int]bool{n.TableOf(Primary): true, n.RefuseTable(): true}
	for _, slot := range s {
		tables[n.TableOf(slot)] = true
	}
	return slices.Sorted(maps.Keys(tables))
}

// Forgot reports whether the kernel has rules of ours that belong to no slot in use: the file was lost, or
// the numbers were others. Then a full look shows what else it remembers.
func (s Slots) Forgot(obs Observation, n Numbers) bool {
	used := map[Slot]bool{Primary: true}
	for _, slot := range s {
		used[slot] = true
	}
	return slices.ContainsFunc(obs.Own.Rules, func(r Rule) bool {
		slot := n.slotOfRule(r)
		return !used[slot] && !(slot == NoSlot && n.holds(r))
	})
}

// Check reports slots that cannot be: outside of the range, or two ENIs in one, which would lead the
// packets of the one out of the other.
func (s Slots) Check() error {
	owner := map[Slot]metadata.MAC{}
	for mac, slot := range s {
		other, taken := owner[slot]
		switch {
		case slot < Primary || slot >= MaxSlots:
			return fmt.Errorf("%s has slot %d, want 0 to %d", mac, slot, MaxSlots-1)
		case taken:
			return fmt.Errorf("%s and %s both have slot %d", mac, other, slot)
		}
		owner[slot] = mac
	}
	return nil
}
