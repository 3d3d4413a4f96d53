package agent

import (
	"context"
	"fmt"
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
		a.spare(r.target, full)
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
	r.problems = append(r.problems, a.spared.problems()...)
	r.out.links = r.seen.Host.Links
	a.lostRA = lostDefaults(r.target)
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
	seen, err := a.look(ctx, full)
	if err != nil {
		return nil, fmt.Errorf("the kernel cannot be read, nothing is changed: %w", err)
	}
	enis := a.enis(seen.Host)
	a.slots, r.problems = a.slots.Assign(enis, a.belief.Settled(), seen, a.config.Routing)
	r.seen, r.enis = seen, enis
	if seen.Host.Unannounced != "" {
		r.problems = append(r.problems, metadata.Problem{Reason: "not-announced", Text: seen.Host.Unannounced})
	}
	r.target = netcfg.Desired(a.input(enis, seen))
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
