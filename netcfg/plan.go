package netcfg

import (
	"cmp"
	"net/netip"
	"slices"
)

// Plan is the list of changes that make the kernel's objects of ours, own, the target's.
// It adds before it takes away. A way is complete before anything is sent into it: wall,
// NIC settings, tables, blocks from the last rule to the first, chains, selectors, then
// addresses and local ranges; and backwards to remove. So at every point of the list, a crash included, a
// packet leaves by its own ENI or not at all.
func Plan(own State, t Target) []Op {
	p := planner{layout: t.layout}
	want := t.State
	p.addRules(own.Rules, keep(want.Rules, p.isWall))
	p.setSettings(own.Settings, want.Settings)
	own = p.clearTheWay(own, want)
	p.addChains(own.Chains, keep(want.Chains, Chain.translates))
	p.addRoutes(own.Routes, keep(want.Routes, ofENIs))
	p.addRules(own.Rules, keep(want.Rules, func(r Rule) bool { return !p.isWall(r) }))
	p.addChains(own.Chains, keep(want.Chains, Chain.marks))
	for _, a := range want.Addrs {
		if !slices.Contains(own.Addrs, a) {
			p.op(Add, a)
		}
	}
	p.addRoutes(own.Routes, keep(want.Routes, Route.Local))
	p.addRoutes(own.Routes, keep(want.Routes, inMain))

	for _, r := range t.purge {
		p.op(Del, r)
	}
	p.delRoutes(keep(own.Routes, inMain), want.Routes)
	p.delRoutes(keep(own.Routes, Route.Local), want.Routes)
	for _, a := range own.Addrs {
		if !slices.Contains(want.Addrs, a) {
			p.op(Del, a)
		}
	}
	p.delChains(keep(own.Chains, Chain.marks), want.Chains)
	p.delRules(keep(own.Rules, func(r Rule) bool { return !p.isWall(r) }), want.Rules)
	p.delChains(keep(own.Chains, Chain.translates), want.Chains)
	p.delRoutes(keep(own.Routes, ofENIs), want.Routes)
	p.restoreSettings(own.Settings, want.Settings)
	p.delRules(keep(own.Rules, p.isWall), want.Rules)
	return p.ops
}

// clearTheWay removes first those addresses and local ranges that go and whose packets a new rule would lead
// elsewhere: what moved to another ENI, or the last address of an ENI whose subnet
// now belongs to others. It returns what is left. The last IPv4 address of a NIC
// takes the NIC's routes with it (kernel 6.18), so those count as gone.
func (p *planner) clearTheWay(own, want State) State {
	misled := func(o Object, from netip.Prefix) bool {
		return slices.ContainsFunc(want.Rules, func(w Rule) bool {
			return w.From.IsValid() && w.From.Overlaps(from) && w.Goto != 0 && p.slotOf(w) != p.slotOf(o) && !slices.Contains(own.Rules, w)
		})
	}
	for _, r := range keep(own.Routes, Route.Local) {
		if !slices.Contains(want.Routes, r) && misled(r, r.Dst) {
			p.op(Del, r)
			own.Routes = keep(own.Routes, func(x Route) bool { return x != r })
		}
	}
	for _, a := range own.Addrs {
		if slices.Contains(want.Addrs, a) || !misled(a, singleIP(a.Prefix.Addr())) {
			continue
		}
		p.op(Del, a)
		others := func(x Addr) bool { return x != a }
		own.Addrs = keep(own.Addrs, others)
		if on := func(x Addr) bool { return x.Link == a.Link && x.Prefix.Addr().Is4() }; a.Prefix.Addr().Is4() && !p.foreign4[a.Link] && !slices.ContainsFunc(own.Addrs, on) {
			own.Routes = keep(own.Routes, func(r Route) bool { return r.Link != a.Link || !r.Dst.Addr().Is4() })
		}
	}
	return own
}

type planner struct {
	layout
	ops []Op
}

func (p *planner) op(v Verb, o Object) {
	p.ops = append(p.ops, Op{Verb: v, Slot: p.slotOf(o), Object: o, Dev: p.dev(o)})
}

func (p *planner) isWall(r Rule) bool { return r.Priority == p.wall() }

func inMain(r Route) bool { return r.Table == MainTable }
func ofENIs(r Route) bool { return !inMain(r) && !r.Local() }

// stage orders rules for adding: deepest first, except that the primary's exceptions go from
// the first to the last, so that the ways stand before what refuses.
func (p *planner) stage(a, b Rule) int {
	exception := func(r Rule) bool {
		return r.Priority >= p.Priority+primarySelectors && r.Priority < p.Priority+deviceSelectors
	}
	if exception(a) && exception(b) {
		return cmp.Compare(a.Priority, b.Priority)
	}
	return cmp.Compare(b.Priority, a.Priority)
}

// addRules adds what is missing. Where the kernel has rules that differ from a wanted one only
// in the target of a goto, the wanted one is put behind them and then they are removed
// from the front, as the kernel always removes the first: at no instant is there none.
func (p *planner) addRules(own, want []Rule) {
	want = slices.Clone(want)
	slices.SortStableFunc(want, p.stage)
	for _, w := range want {
		twins := keep(own, func(r Rule) bool { return r.key() == w.key() })
		switch {
		case len(twins) == 0:
			p.op(Add, w)
			continue
		case twins[len(twins)-1] != w:
			p.op(Append, w)
		default:
			twins = twins[:len(twins)-1]
		}
		for _, twin := range twins {
			p.op(Del, twin)
		}
	}
}

// delRules removes what is not wanted in any form; twins of wanted rules are addRules' affair.
func (p *planner) delRules(own, want []Rule) {
	own = slices.Clone(own)
	slices.SortStableFunc(own, func(a, b Rule) int { return p.stage(b, a) })
	for _, r := range own {
		if !slices.ContainsFunc(want, func(w Rule) bool { return w.key() == r.key() }) {
			p.op(Del, r)
		}
	}
}

// addRoutes adds on-link routes before those with a gateway, and ways before what refuses.
func (p *planner) addRoutes(own, want []Route) {
	want = slices.Clone(want)
	slices.SortStableFunc(want, byReach)
	for _, w := range want {
		i := slices.IndexFunc(own, func(r Route) bool { return r.key() == w.key() })
		switch {
		case i < 0:
			p.op(Add, w)
		case own[i] != w:
			p.op(Replace, w)
		}
	}
}

func (p *planner) delRoutes(own, want []Route) {
	own = slices.Clone(own)
	slices.SortStableFunc(own, func(a, b Route) int { return byReach(b, a) })
	for _, r := range own {
		if !slices.ContainsFunc(want, func(w Route) bool { return w.key() == r.key() }) {
			p.op(Del, r)
		}
	}
}

func byReach(a, b Route) int {
	rank := func(r Route) int {
		switch {
		case r.Unreachable():
			return 2
		case r.Via.IsValid():
			return 1
		}
		return 0
	}
	return cmp.Compare(rank(a), rank(b))
}

// translates and marks tell the chains that policies need before their rules from those that
// need the marks' rules first.
func (c Chain) translates() bool { return c.Hook == TranslateOut || c.Hook == MarkForwarded }
func (c Chain) marks() bool      { return !c.translates() }

// addChains puts in what is missing and leaves what is there: a mark or a translation that goes
// is needed until nothing is led by it any more.
func (p *planner) addChains(own, want []Chain) {
	for _, w := range want {
		i := slices.IndexFunc(own, w.sameHook)
		if i < 0 {
			p.op(Add, w)
		} else if next := own[i].grown(w); next != own[i] {
			p.op(Replace, next)
		}
	}
}

// delChains takes away what addChains left.
func (p *planner) delChains(own, want []Chain) {
	for _, c := range own {
		i := slices.IndexFunc(want, c.sameHook)
		if i < 0 {
			p.op(Del, c)
		} else if c.grown(want[i]) != want[i] {
			p.op(Replace, want[i])
		}
	}
}

func (p *planner) setSettings(own, want []Setting) {
	for _, w := range want {
		if !slices.Contains(own, w) {
			p.op(Set, w)
		}
	}
}

// restoreSettings puts back the last knob first.
func (p *planner) restoreSettings(own, want []Setting) {
	for _, s := range slices.Backward(own) {
		same := func(w Setting) bool { return w.Link == s.Link && w.Knob == s.Knob }
		if slices.ContainsFunc(want, same) {
			continue
		}
		if i := slices.IndexFunc(p.found, same); i >= 0 {
			s = p.found[i]
		}
		p.op(Restore, s)
	}
}
