package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// rounds is how often a pass writes before it leaves the rest to the next: once as a rule, and
// again for what only showed after that.
const rounds = 3

// outcome is what one pass came to.
type outcome struct {
	converged bool
	wrote     int // operations that succeeded
	links     []netcfg.Link
}

// pass looks at the kernel, makes it what it should be, and looks again. It is synchronous
// and publishes the status at its end. full reads everything anew.
func (a *Agent) pass(ctx context.Context, full bool) outcome {
	r := report{began: time.Now(), changes: changes{}, failed: map[netcfg.Slot]error{}, undone: map[netcfg.Slot]bool{}}
	for round := 0; ; round++ {
		ops, err := a.decide(ctx, full, &r)
		if err != nil {
			r.problems = append(r.problems, problemOf(err))
			break
		}
		r.out.converged = len(ops) == 0
		if err := a.file.save(a.slots); err != nil {
			r.remaining(ops) // a slot that is not on disk could be given twice after a crash
			r.problems = append(r.problems, problemOf(err))
			break
		}
		if r.out.converged || round == rounds {
			r.remaining(ops)
			break
		}
		if a.apply(ctx, ops, &r) == 0 {
			round = rounds - 1 // nothing moves: look once more, for the status
		}
		full = false
	}
	if ctx.Err() != nil {
		return r.out // stopping: what was read may be cut short, so nothing is said about it
	}
	r.out.links = r.seen.Host.Links
	a.publish(r)
	return r.out
}

// apply writes, and notes in the report what was done and what was refused. It returns how many operations
// succeeded.
func (a *Agent) apply(ctx context.Context, ops []netcfg.Op, r *report) (wrote int) {
	for _, result := range a.kernel.Apply(ctx, ops) {
		a.counters.op(result)
		if result.Err != nil {
			if r.failed[result.Op.Slot] == nil && !result.Skipped {
				r.failed[result.Op.Slot] = result.Err
			}
			continue
		}
		wrote++
		r.changes.add(result.Op)
		a.log.Debug("done", "command", result.Op.String())
	}
	r.out.wrote += wrote
	return wrote
}

// decide looks at the kernel and plans; what it saw and meant is in the report. It writes nothing.
func (a *Agent) decide(ctx context.Context, full bool, r *report) ([]netcfg.Op, error) {
	seen, err := a.kernel.Observe(ctx, a.scope(full))
	if err == nil && !full && a.slots.Forgot(seen, a.config.Routing) {
		seen, err = a.kernel.Observe(ctx, a.scope(true))
	}
	if err != nil {
		return nil, fmt.Errorf("the kernel cannot be read, nothing is changed: %w", err)
	}
	enis := a.enis(seen.Host.Links)
	a.slots, r.problems = a.slots.Assign(enis, a.belief.Settled(), seen, a.config.Routing)
	r.seen = seen
	r.target = netcfg.Desired(netcfg.Input{Numbers: a.config.Routing, ENIs: enis, Slots: a.slots, Settled: a.belief.Settled(), Seen: seen})
	return netcfg.Plan(seen.Own, r.target), nil
}

// problemOf is an error of a pass as a problem of the status.
func problemOf(err error) metadata.Problem {
	reason := "kernel-unreadable"
	if strings.HasPrefix(err.Error(), "state_dir") {
		reason = "state-not-saved"
	}
	return metadata.Problem{Reason: reason, Text: err.Error()}
}

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
		ch.repaired = append(ch.repaired, op.String())
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

// history is what is remembered of each ENI from pass to pass, for status and log alone.
type history map[metadata.MAC]past

type past struct {
	name       string
	slot       netcfg.Slot
	phase      netcfg.Phase
	since      time.Time
	lastChange time.Time
	problems   []metadata.Problem
}

// report is what publish makes a status and log lines from.
type report struct {
	seen     netcfg.Observation
	target   netcfg.Target
	changes  changes
	failed   map[netcfg.Slot]error // the first refusal of each
	undone   map[netcfg.Slot]bool  // who has operations left
	problems []metadata.Problem
	out      outcome
	began    time.Time
}

// remaining notes whose operations are left. What was refused first and then went is no failure.
func (r *report) remaining(ops []netcfg.Op) {
	for _, op := range ops {
		r.undone[op.Slot] = true
	}
	maps.DeleteFunc(r.failed, func(s netcfg.Slot, _ error) bool { return !r.undone[s] })
}

// publish makes the status of a pass and logs what is new in it.
func (a *Agent) publish(r report) {
	now := time.Now()
	last := a.status.Load()
	s := &Status{
		Version: a.version, Instance: a.answered.Instance, LastPass: now, LastChange: last.LastChange,
		Converged: r.out.converged,
		Metadata:  a.metadataStatus(),
		ENIs:      []ENIStatus{}, // in JSON a list, also where it is empty
		Problems:  append([]metadata.Problem{}, slices.Concat(a.problems, a.answerProblems(""), r.problems)...),
	}
	if r.out.wrote > 0 {
		s.LastChange = now
	}
	if err := r.failed[netcfg.NoSlot]; err != nil {
		s.Problems = append(s.Problems, metadata.Problem{Reason: "kernel-refused", Text: err.Error()})
	}
	believed := map[metadata.MAC]metadata.Believed{}
	for _, b := range a.belief.Interfaces() {
		believed[b.MAC] = b
	}
	fresh := history{}
	for _, o := range r.target.ENIs {
		e := a.eniStatus(believed[o.MAC], o, r)
		a.remember(fresh, &e, r, now)
		s.ENIs = append(s.ENIs, e)
	}
	if r.seen.Host.Links == nil {
		s.ENIs = last.ENIs // the kernel was not readable: what was true last is the best there is
		fresh = a.history
	}
	a.logGone(fresh, r)
	a.history = fresh
	a.logProblems(last.Problems, s.Problems)
	a.counters.pass(r, now)
	a.status.Store(s)
}

func (a *Agent) metadataStatus() MetadataStatus {
	m := MetadataStatus{
		Provider: a.answered.Provider, OK: a.outage.err == nil && !a.outage.lastAnswer.IsZero(),
		Since: a.outage.since, LastAnswer: a.outage.lastAnswer, Settled: a.belief.Settled(),
	}
	if m.Provider == "" {
		m.Provider = string(a.config.Metadata.Provider)
	}
	if a.outage.err != nil {
		m.Error = a.outage.err.Error()
	}
	return m
}

// answerProblems are the newest answer's problems with an interface, or with none.
func (a *Agent) answerProblems(name string) []metadata.Problem {
	var p []metadata.Problem
	for _, problem := range a.answered.Problems {
		if problem.Interface == name {
			p = append(p, problem)
		}
	}
	return p
}

// eniStatus is one ENI's part of the status; times are filled in by remember.
func (a *Agent) eniStatus(b metadata.Believed, o netcfg.Outcome, r report) ENIStatus {
	b.MAC = o.MAC // an ENI that only the kernel remembers is not believed at all
	e := ENIStatus{
		Name: b.Name(), MAC: o.MAC, NIC: o.Link.Name, Primary: b.Primary.Value || o.Slot == netcfg.Primary, Slot: o.Slot, Phase: o.Phase,
		Prefixes: b.Prefixes.Value, Subnets: b.Subnets.Value, Gateways: b.Gateways.Value,
		Origins: origins(b.Interface), Problems: append([]metadata.Problem{}, slices.Concat(o.Problems, a.answerProblems(b.Name()))...),
		Addresses: []AddressStatus{}, AbsentSince: b.AbsentSince,
	}
	if o.Slot != netcfg.NoSlot {
		e.Table = a.config.Routing.TableOf(o.Slot)
	}
	missing := 0
	for _, addr := range o.Addrs {
		on := func(x netcfg.Addr) bool { return x.Link == o.Link.Index && x.Prefix.Addr() == addr }
		present := slices.ContainsFunc(r.seen.Own.Addrs, on) || slices.ContainsFunc(r.seen.Host.Addrs, on)
		if !present {
			missing++
		}
		e.Addresses = append(e.Addresses, AddressStatus{addr, present, b.Public.Value[addr]})
	}
	if !b.AbsentSince.IsZero() {
		e.Problems = append(e.Problems, metadata.Problem{Interface: e.Name, Reason: "not-listed",
			Text: fmt.Sprintf("the metadata does not list it any more; it is taken down when its NIC goes, or when the answers have agreed for %s", a.config.Metadata.DetachAfter)})
	}
	err := r.failed[o.Slot]
	switch {
	case o.Slot != netcfg.NoSlot && err != nil:
		e.Phase = PhaseFailed
		e.Problems = append(e.Problems, metadata.Problem{Interface: e.Name, Reason: "kernel-refused", Text: err.Error()})
	case o.Phase == netcfg.Ready && (r.undone[o.Slot] || r.undone[netcfg.NoSlot]):
		e.Phase = PhaseFailed
		e.Problems = append(e.Problems, metadata.Problem{Interface: e.Name, Reason: "not-converged", Text: "the kernel is not yet as it should be; enid goes on trying"})
	case o.Phase == netcfg.Ready:
		e.Phase = PhaseConfigured
	}
	if e.Phase == PhaseConfigured && e.Primary && missing > 0 {
		e.Problems = append(e.Problems, metadata.Problem{Interface: e.Name, Field: "addresses", Reason: "primary-address-missing",
			Text: fmt.Sprintf("the primary address is not on %s; that is DHCP's to do, enid leaves it alone", o.Link.Name)})
	}
	return e
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
		a.log.Info("changed", slices.Concat(id, []any{"phase", e.Phase}, ch.attrs(), []any{"took", now.Sub(r.began).Round(10 * time.Microsecond)})...)
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
			a.log.Info("changed", append([]any{"eni", name}, ch.attrs()...)...)
		} else if !owned {
			a.log.Info("changed for all ENIs", ch.attrs()...)
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
