package metadata

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// Belief is what the daemon acts on, given answers of which any may be wrong. What
// an answer adds is believed at once; what it takes away is believed when a
// second whole answer says the same. It is a value: the zero Belief knows nothing, and
// Update leaves its receiver as it was.
type Belief struct {
	entries     []belief // by MAC
	listed      []MAC    // what the newest answer listed, sorted
	stableSince time.Time
	detachAfter time.Duration
	settled     bool
}

// belief is what is known about one interface.
type belief struct {
	value       Interface
	whole       Interface // the newest whole answer about it
	hasWhole    bool
	confirmed   bool // two whole answers in a row agreed once
	newestWhole bool
	pending     bool
	absentSince time.Time
}

// Believed is an interface as the daemon should treat it.
type Believed struct {
	Interface
	// Hold says that objects of this interface that the kernel already has must
	// stay, also where Interface does not account for them: nothing was confirmed
	// since the daemon started, or the newest answer was not whole.
	Hold bool
	// AbsentSince is the time of the first answer that did not list the
	// interface any more, zero for one that is listed.
	AbsentSince time.Time
}

// Update takes in one valid answer (see Validate) of the time now. An interface
// that is not listed any more is forgotten when answers have been Complete and listed the
// same MACs for detachAfter. A Complete answer without any interface counts
// as incomplete: every instance has one.
func (b Belief) Update(s Snapshot, now time.Time, detachAfter time.Duration) Belief {
	next := Belief{detachAfter: detachAfter, stableSince: b.stableSince}
	old := map[MAC]belief{}
	for _, e := range b.entries {
		old[e.value.MAC] = e
	}
	for _, i := range s.Interfaces {
		if slices.Contains(next.listed, i.MAC) {
			continue
		}
		next.listed = append(next.listed, i.MAC)
		next.entries = append(next.entries, old[i.MAC].update(i.Clone()))
		delete(old, i.MAC)
	}
	slices.SortFunc(next.listed, compareMAC)
	next.settle(b.listed, s.Complete && len(s.Interfaces) > 0, now)
	for _, e := range old {
		if next.settled {
			break
		}
		if e.absentSince.IsZero() {
			e.absentSince = now
		}
		next.entries = append(next.entries, e)
	}
	slices.SortFunc(next.entries, func(x, y belief) int { return compareMAC(x.value.MAC, y.value.MAC) })
	return next
}

// settle counts for how long the list has been complete and the same.
func (b *Belief) settle(before []MAC, complete bool, now time.Time) {
	switch {
	case !complete:
		b.stableSince = time.Time{}
	case b.stableSince.IsZero() || now.Before(b.stableSince) || !slices.Equal(before, b.listed):
		b.stableSince = now
	}
	b.settled = complete && now.Sub(b.stableSince) >= b.detachAfter
}

// Interfaces is everything that is believed, by MAC. It shares no memory with b.
func (b Belief) Interfaces() []Believed {
	out := make([]Believed, 0, len(b.entries))
	for _, e := range b.entries {
		out = append(out, Believed{e.value.Clone(), !e.confirmed || !e.newestWhole, e.absentSince})
	}
	return out
}

// Settled reports whether, as of the last Update, the list has been complete and the
// same for the time that a detach takes to be believed. Only then may
// kernel objects of interfaces that are not believed be taken for leftovers.
func (b Belief) Settled() bool { return b.settled }

// Pending reports whether something of a listed interface waits for a second
// whole answer, so that asking again soon is worth it.
func (b Belief) Pending() bool {
	return slices.ContainsFunc(b.entries, func(e belief) bool { return e.pending && e.absentSince.IsZero() })
}

// NextDeadline is when an interface that is not listed any more can be
// forgotten at the earliest: an answer then or later, the same as now, does it.
func (b Belief) NextDeadline() (time.Time, bool) {
	absent := slices.ContainsFunc(b.entries, func(e belief) bool { return !e.absentSince.IsZero() })
	if !absent || b.stableSince.IsZero() {
		return time.Time{}, false
	}
	return b.stableSince.Add(b.detachAfter), true
}

func compareMAC(a, b MAC) int { return bytes.Compare(a[:], b[:]) }

// update is what to believe after the answer n. It owns n's memory.
func (e belief) update(n Interface) belief {
	if len(n.Addresses.Value) == 0 {
		n.Addresses = Fact[[]netip.Addr]{} // an empty list is not an answer
	}
	c := confirmation{whole: n.Whole()}
	if c.whole && e.hasWhole {
		c.previous = &e.whole
	}
	next := e
	next.value = c.merge(e.value, n)
	next.absentSince = time.Time{}
	next.newestWhole = c.whole
	if !c.whole {
		return next
	}
	next.confirmed = e.confirmed || e.hasWhole && agree(e.whole, n)
	next.pending = c.waits || !next.confirmed
	next.whole, next.hasWhole = n.Clone(), true
	return next
}
