package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

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
	enis     []netcfg.ENI
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
		Version: a.version, Instance: a.instance(), LastPass: now, LastChange: last.LastChange,
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
	a.waysOut(s, r)
	believed := map[metadata.MAC]metadata.Believed{}
	for _, b := range a.belief.Interfaces() {
		believed[b.MAC] = b
	}
	for _, e := range r.enis { // with what the host knows of them
		b := believed[e.MAC]
		b.Interface = e.Interface
		believed[e.MAC] = b
	}
	fresh := history{}
	for _, o := range r.target.ENIs {
		e := a.eniStatus(believed[o.MAC], o, r)
		a.remember(fresh, &e, r, now)
		s.ENIs = append(s.ENIs, e)
	}
	if r.seen.Host.Links == nil {
		s.ENIs, s.ReturnPath, s.Policies = last.ENIs, last.ReturnPath, last.Policies // the kernel was not readable: what was true last is the best there is
		fresh = a.history
	}
	a.logGone(fresh, r)
	a.history = fresh
	a.logPolicies(s.Policies)
	a.logProblems(last.Problems, s.Problems)
	a.counters.pass(r, now)
	a.status.Store(s)
}

// instance is the id of this one, as far as it is known.
func (a *Agent) instance() string {
	if !a.LastGood().IsZero() {
		return a.memory.file.Instance
	}
	return a.answered.Instance
}

func (a *Agent) metadataStatus() MetadataStatus {
	m := MetadataStatus{
		Provider: a.answered.Provider, OK: a.outage.err == nil && !a.outage.lastAnswer.IsZero(),
		Since: a.outage.since, LastAnswer: a.outage.lastAnswer, Settled: a.belief.Settled(),
		NoCloud: a.noCloud(), LastGood: a.LastGood(),
	}
	if m.Provider == "" && !m.LastGood.IsZero() {
		m.Provider = a.memory.file.Provider
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
		Prefixes: b.Prefixes.Value, Local: b.Local.Value, Subnets: b.Subnets.Value, Gateways: b.Gateways.Value,
		Origins: origins(b.Interface), Problems: append([]metadata.Problem{}, slices.Concat(o.Problems, a.answerProblems(b.Name()))...),
		Addresses: []AddressStatus{}, AbsentSince: b.AbsentSince, StaleSince: a.memory.staleSince(o.MAC),
	}
	if b.VLAN.State == metadata.Known {
		e.VLAN = &b.VLAN.Value
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
