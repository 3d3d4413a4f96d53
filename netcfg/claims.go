package netcfg

import (
	"net/netip"
	"slices"
)

// claim is an address or a range that an ENI says is its own.
type claim struct {
	eni     int // index in builder.enis
	prefix  netip.Prefix
	isRange bool
}

// against reports whether two claims of different ENIs cannot both be: rules ask for ranges before they ask for
// addresses, and of two ranges the longer first, so that only a range inside another is no conflict.
func (c claim) against(d claim) bool {
	switch {
	case c.eni == d.eni:
		return false
	case c.isRange == d.isRange:
		return c.prefix == d.prefix
	}
	return c.prefix.Overlaps(d.prefix)
}

// settleClaims gives what two ENIs claim to one of them: the one whose it is in the kernel
// now, else the first. It happens while an address or a range moves: the gain is believed at once, the
// loss when it is confirmed. Two rules for one source could only lead one way.
func (b *builder) settleClaims() {
	var all []claim
	for i := range b.enis {
		for _, n := range b.enis[i].nets {
			for _, a := range n.addrs {
				all = append(all, claim{i, singleIP(a), false})
			}
			for _, p := range n.ranges() {
				all = append(all, claim{i, p, true})
			}
		}
	}
	g := grants{granted: map[claim]bool{}, owner: map[netip.Prefix]claim{}}
	for _, c := range all {
		if b.holds(c) {
			g.grant(c)
		}
	}
	for _, c := range all {
		g.grant(c)
	}
	b.leave(g.granted)
}

// grants are claims that no other stands against.
type grants struct {
	granted map[claim]bool
	ranges  []claim                // of them: few
	owner   map[netip.Prefix]claim // of the addresses
}

// grant adds a claim, unless one that was granted before stands against it.
func (g *grants) grant(c claim) {
	if slices.ContainsFunc(g.ranges, c.against) {
		return
	}
	if !c.isRange {
		if o, taken := g.owner[c.prefix]; !taken || !o.against(c) {
			g.owner[c.prefix], g.granted[c] = c, true
		}
		return
	}
	for _, o := range g.owner {
		if c.against(o) {
			return
		}
	}
	g.ranges, g.granted[c] = append(g.ranges, c), true
}

// leave takes from the ENIs what was not granted to them.
func (b *builder) leave(granted map[claim]bool) {
	for i := range b.enis {
		e := &b.enis[i]
		has := func(p netip.Prefix, isRange bool) bool { return granted[claim{i, p, isRange}] }
		for f, n := range e.nets {
			addrs := keep(n.addrs, func(a netip.Addr) bool { return has(singleIP(a), false) })
			if len(addrs) < len(n.addrs) {
				e.problem("addresses", "address-on-two-enis", "another ENI claims one of the addresses as well, and has it until the metadata agrees with itself")
			}
			lost := keep(n.ranges(), func(p netip.Prefix) bool { return !has(p, true) })
			if len(lost) > 0 {
				e.problem("", "range-on-two-enis", "another ENI claims %v or an address in it as well, and has it until the metadata agrees with itself", lost)
			}
			n.addrs = addrs
			n.prefixes = keep(n.prefixes, func(p netip.Prefix) bool { return has(p, true) })
			n.local = keep(n.local, func(p netip.Prefix) bool { return has(p, true) })
			e.nets[f] = n
		}
	}
}

// holds reports whether an address is on the ENI's NIC now, by whomever, or a range is led to the ENI or local
// on its NIC by our hands.
func (b *builder) holds(c claim) bool {
	e := &b.enis[c.eni]
	if !c.isRange {
		return b.present(e.Link.Index, c.prefix.Addr())
	}
	leads := func(r Rule) bool {
		return r.From == c.prefix && r.IIF == "" && r.Goto != 0 && r.Goto == b.blockOf(e.Slot)
	}
	local := func(r Route) bool { return r.Local() && r.Dst == c.prefix && r.Link == e.Link.Index }
	return e.managed() && (slices.ContainsFunc(b.Seen.Own.Rules, leads) || slices.ContainsFunc(b.Seen.Own.Routes, local))
}

// present reports whether an address is on a NIC, by whomever.
func (b *builder) present(link int, a netip.Addr) bool {
	on := func(x Addr) bool { return x.Link == link && x.Prefix.Addr() == a }
	return link != 0 && (slices.ContainsFunc(b.Seen.Own.Addrs, on) || b.hasForeign(link, a))
}
