package agent

import (
	"slices"
	"strings"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// changes sums up by ENI what a pass did, for one line in the log.
type changes map[netcfg.Slot]*change

type change struct{ added, removed, repaired []string }

func (c changes) add(op netcfg.Op) {
	if c[op.Slot] == nil {
		c[op.Slot] = &change{}
	}
	ch := c[op.Slot]
	addr, isAddr := op.Object.(netcfg.Addr)
	switch {
	case isAddr && op.Verb == netcfg.Del:
		ch.removed = append(ch.removed, addr.Prefix.Addr().String())
	case isAddr:
		ch.added = append(ch.added, addr.Prefix.Addr().String())
	default:
		ch.repaired = append(ch.repaired, op.Name())
	}
}

// attrs is what a change says in the log: addresses by name, the rest by number.
func (c *change) attrs() []any {
	var attrs []any
	if len(c.added) > 0 {
		attrs = append(attrs, "added", strings.Join(c.added, " "))
	}
	if len(c.removed) > 0 {
		attrs = append(attrs, "removed", strings.Join(c.removed, " "))
	}
	switch n := len(c.repaired); {
	case n == 1:
		attrs = append(attrs, "did", c.repaired[0])
	case n > 1:
		attrs = append(attrs, "operations", n+len(c.added)+len(c.removed))
	}
	return attrs
}

// remember fills in the times of an ENI and logs its change: one line for what was done and
// one for each problem when it is new.
func (a *Agent) remember(fresh history, e *ENIStatus, r report, now time.Time) {
	before, known := a.history[e.MAC]
	p := past{name: e.Name, slot: e.Slot, phase: e.Phase, since: now, lastChange: before.lastChange, problems: e.Problems}
	if known && before.phase == e.Phase {
		p.since = before.since
	}
	id := []any{"eni", e.Name}
	if e.NIC != "" {
		id = append(id, "nic", e.NIC)
	}
	ch := r.changes[e.Slot]
	if ch != nil && e.Slot != netcfg.NoSlot {
		p.lastChange = now
		a.logChange("changed", append(id, "phase", e.Phase), ch.attrs(), "took", now.Sub(r.began).Round(10*time.Microsecond))
	} else if !known || before.phase != e.Phase {
		a.log.Info(e.news(), id...)
	}
	for _, problem := range e.Problems {
		if !slices.Contains(before.problems, problem) {
			a.log.Warn(problem.Text, "eni", e.Name, "reason", problem.Reason)
		}
	}
	e.Since, e.LastChange = p.since, p.lastChange
	fresh[e.MAC] = p
}

// news is what the log says of an ENI that comes into its phase.
func (e *ENIStatus) news() string {
	if e.Phase == netcfg.Waiting {
		return "now waiting for its NIC"
	}
	return "now " + string(e.Phase)
}

// logGone logs ENIs that are not known any more, with what was removed.
func (a *Agent) logGone(fresh history, r report) {
	for mac, before := range a.history {
		if _, still := fresh[mac]; !still {
			a.log.Info("gone", "eni", before.name)
		}
	}
	for slot, ch := range r.changes {
		owned := slices.ContainsFunc(r.target.ENIs, func(o netcfg.Outcome) bool { return o.Slot == slot && slot != netcfg.NoSlot })
		if name := a.history.nameOf(slot); !owned && name != "" {
			a.logChange("changed", []any{"eni", name}, ch.attrs())
		} else if !owned {
			a.logChange("changed for all ENIs", nil, ch.attrs())
		}
	}
}

// nameOf is the ENI that had a slot in the pass before, "" for none.
func (h history) nameOf(slot netcfg.Slot) string {
	for _, p := range h {
		if p.slot == slot && slot != netcfg.NoSlot {
			return p.name
		}
	}
	return ""
}

// logProblems logs the host-wide problems that are new, and the end of those that are over.
func (a *Agent) logProblems(before, now []metadata.Problem) {
	for _, p := range now {
		if !slices.Contains(before, p) {
			a.log.Warn(p.String(), "reason", p.Reason)
		}
	}
	for _, p := range before {
		if !slices.Contains(now, p) {
			a.log.Info("over: "+p.String(), "reason", p.Reason)
		}
	}
}
