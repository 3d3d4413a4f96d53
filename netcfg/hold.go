package netcfg

import (
	"slices"

	"enid/metadata"
)

// unlisted makes ENIs of the slots that nobody lists while the list is in doubt and the NIC is
// there: the kernel is the memory of what they are.
func (b *builder) unlisted() []ENI {
	if b.Settled {
		return nil
	}
	var enis []ENI
	for mac, slot := range b.Slots {
		_, problem := MatchLink(mac, b.Seen.Host.Links)
		if problem == nil && !slices.ContainsFunc(b.ENIs, func(e ENI) bool { return e.MAC == mac }) {
			enis = append(enis, ENI{Hold: true, Interface: metadata.Interface{MAC: mac, Primary: metadata.Is(slot == Primary, "slots")}})
		}
	}
	slices.SortFunc(enis, func(x, y ENI) int { return int(b.Slots[x.MAC] - b.Slots[y.MAC]) })
	return enis
}

// recall completes a held ENI's network with what the kernel has of it by our hands: of an ENI
// that may not lose, everything that is there still counts.
func (b *builder) recall(e *eni, f Family, n *network) {
	link, table := e.Link.Index, b.TableOf(e.Slot)
	for _, a := range b.Seen.Own.Addrs {
		if a.Link == link && FamilyOf(a.Prefix.Addr()) == f && !slices.Contains(n.addrs, a.Prefix.Addr()) {
			n.addrs = append(n.addrs, a.Prefix.Addr())
		}
	}
	for _, r := range b.Seen.Own.Routes {
		switch {
		case e.primary() || r.Table != table || r.Link != link || FamilyOf(r.Dst.Addr()) != f:
		case r.Dst.Bits() == 0 && !n.gateway.IsValid():
			n.gateway = r.Via
		case !r.Via.IsValid() && slices.ContainsFunc(n.addrs, r.Dst.Contains) && !slices.Contains(n.subnets, r.Dst):
			n.subnets = append(n.subnets, r.Dst)
		}
	}
	// The routes go with a link that was down for a moment; the address tells the subnet too.
	for _, a := range b.Seen.Own.Addrs {
		if p := a.Prefix.Masked(); a.Link == link && !e.primary() && len(n.subnets) == 0 && FamilyOf(p.Addr()) == f && !p.IsSingleIP() {
			n.subnets = append(n.subnets, p)
		}
	}
	for _, r := range b.Seen.Own.Rules {
		first := r.Priority - b.Priority - prefixSelectors
		if r.Family == f && r.From.IsValid() && r.IIF == "" && first == prefixRank(r.From) && r.Goto == b.blockOf(e.Slot) && !slices.Contains(n.ranges(), r.From) {
			n.prefixes = append(n.prefixes, r.From)
		}
	}
}

// hold keeps what the kernel has of ours wherever the metadata is not beyond doubt:
// unknown is not empty. What belongs to a NIC that is gone, or to an ENI that the
// configuration gives up, is never held.
func (b *builder) hold() {
	keepIt := func(o Object) bool { return b.held[b.slotOf(o)] }
	// The primary's exceptions are about the other ENIs, so they stay with any of them.
	used, exceptions := b.used(b.Seen.Own), false
	for slot, held := range b.held {
		exceptions = exceptions || held && used[slot] && slot > Primary
	}
	keepWay := func(o Object) bool { return keepIt(o) || exceptions && b.slotOf(o) == Primary }
	for _, a := range b.Seen.Own.Addrs {
		if keepIt(a) && !slices.Contains(b.want.Addrs, a) {
			b.want.Addrs = append(b.want.Addrs, a)
		}
	}
	for _, r := range b.Seen.Own.Routes {
		same := func(x Route) bool { return x.key() == r.key() }
		if keepWay(r) && !slices.ContainsFunc(b.want.Routes, same) {
			b.want.Routes = append(b.want.Routes, r)
		}
	}
	for _, r := range b.Seen.Own.Rules {
		same := func(x Rule) bool { return x.key() == r.key() }
		if keepWay(r) && !slices.ContainsFunc(b.want.Rules, same) {
			b.want.Rules = append(b.want.Rules, r)
		}
	}
	for _, s := range b.Seen.Own.Settings {
		same := func(x Setting) bool { return x.Link == s.Link && x.Knob == s.Knob }
		if keepIt(s) && !slices.ContainsFunc(b.want.Settings, same) {
			b.want.Settings = append(b.want.Settings, s)
		}
	}
}

// heldSlots says of every slot, and of NoSlot, whether its objects stay regardless.
func (b *builder) heldSlots() map[Slot]bool {
	held := map[Slot]bool{NoSlot: !b.Settled}
	mac := map[Slot]metadata.MAC{}
	for m, slot := range b.Slots {
		mac[slot] = m
	}
	present := map[metadata.MAC]bool{}
	for _, l := range b.links {
		present[l.MAC] = true
	}
	for slot := Primary; slot < MaxSlots; slot++ {
		m, known := mac[slot]
		held[slot] = !b.Settled && (!known || present[m])
	}
	for _, e := range b.enis {
		if e.Slot == NoSlot {
			continue
		}
		switch {
		case e.Ignore || e.Phase == Waiting:
			held[e.Slot] = false
		case e.Phase == Conflict:
			// Ambiguous: nothing is taken away on a guess. A port of a bridge is not ours any more.
			held[e.Slot] = e.Problems[len(e.Problems)-1].Reason == "ambiguous-mac"
		default:
			held[e.Slot] = e.Hold
		}
	}
	return held
}
