package netcfg

import "slices"

// Every packet that this host forwards asks every rule in front of main: some ten nanoseconds for all of
// enid's, which are about other packets. Two rules lead it past them: one past the marks what
// has none, one past the selectors of what this host sends itself what it forwards. They skip
// nothing that could match, so to lose one, or to keep one too many, changes no packet's way. Where
// somebody else has a rule in between there is no gate: that rule is to be asked as ever.

// gates wants both in every family in which there is something to skip.
func (b *builder) gates() {
	for _, f := range []Family{V4, V6} {
		b.want.Rules = keep(b.want.Rules, func(r Rule) bool { return r.Family != f || !b.isGate(r) }) // held ones are decided anew
		local := b.forwardGate(f)
		b.markGate(f, local)
	}
}

func (b *builder) isGate(r Rule) bool {
	offset := r.Priority - b.Priority
	return offset == markGate || offset == markLanding || offset == forwardGate || offset == forwardLanding
}

// forwardGate wants the gate past the selectors for this host's own packets, and reports whether it stands.
func (b *builder) forwardGate(f Family) bool {
	between := b.selectors(f, forwardGate, forwardLanding)
	forOthers := func(r Rule) bool { return r.IIF != "lo" && r.OIF == "" }
	if len(between) < 3 || slices.ContainsFunc(between, forOthers) || b.othersAmong(f, forwardGate, forwardLanding) {
		return false
	}
	b.rule(Rule{Family: f, Priority: b.Priority + forwardGate, Invert: true, IIF: "lo", Goto: b.Priority + forwardLanding})
	// The kernel compares the NIC first, so that a forwarded packet is done with this one at once.
	b.rule(Rule{Family: f, Priority: b.Priority + forwardLanding, IIF: "lo", Nop: true})
	return true
}

// markGate wants the gate past the marks. Where no prefix is delegated it leads right to the next gate.
func (b *builder) markGate(f Family, next bool) {
	if len(b.selectors(f, markGate, markLanding)) < 3 || b.othersAmong(f, markGate, markLanding) {
		return
	}
	landing := b.Priority + markLanding
	if next && len(b.selectors(f, markLanding, forwardGate-1)) == 0 && !b.othersAmong(f, markLanding, forwardGate) {
		landing = b.Priority + forwardGate
	} else {
		b.rule(Rule{Family: f, Priority: landing, Nop: true})
	}
	b.rule(Rule{Family: f, Priority: b.Priority + markGate, Mask: b.Input.Numbers.Mark, Goto: landing})
}

// selectors are the wanted rules between two offsets, the ends not included.
func (b *builder) selectors(f Family, from, to int) []Rule {
	return keep(b.want.Rules, func(r Rule) bool { return r.Family == f && r.Priority > b.Priority+from && r.Priority < b.Priority+to })
}

// othersAmong reports whether somebody else has a rule between two offsets, the ends included.
func (b *builder) othersAmong(f Family, from, to int) bool {
	return slices.ContainsFunc(b.Seen.Host.RulesAmong[f], func(p int) bool { return p >= b.Priority+from && p <= b.Priority+to })
}
