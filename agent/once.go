package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"enid/netcfg"
)

// Apply does one pass on one answer of the metadata. Where that would take an address away, a second
// answer has to agree first. The error says what could not be done.
func (a *Agent) Apply(ctx context.Context) error {
	release, err := lock(a.config.RuntimeDir)
	if err != nil {
		return hint(err, "the daemon does this by itself (systemctl reload enid makes it look now)")
	}
	defer release()
	if err := a.ask(ctx); err != nil {
		return err
	}
	out := a.pass(ctx, true)
	offered, heard := a.inquireOnce(ctx, out.links), a.listenOnce(ctx, out.links)
	if offered || heard {
		if err := a.ask(ctx); err != nil {
			return err
		}
		out = a.pass(ctx, true)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.keep(time.Now())
	s := a.Status()
	if !out.converged {
		err = errors.New("the kernel is not as it should be")
	}
	err = errors.Join(err, a.Outdated())
	for _, p := range s.Problems {
		if p.Reason == "no-role" || p.Reason == "config-drive" {
			continue // there may be more to know, and nothing has failed
		}
		err = errors.Join(err, errors.New(p.String()))
	}
	for _, e := range s.ENIs {
		if e.Phase == PhaseFailed || e.Phase == netcfg.Incomplete || e.Phase == netcfg.Conflict {
			for _, p := range e.Problems {
				err = errors.Join(err, errors.New(p.String()))
			}
		}
	}
	return err
}

// Plan is what a pass would do now. It writes nothing, not even enid's own files. See Outdated for what it follows from.
func (a *Agent) Plan(ctx context.Context) ([]netcfg.Op, error) {
	if err := a.ask(ctx); err != nil {
		return nil, err
	}
	return a.decide(ctx, true, &report{})
}

// Outdated is why the metadata has not answered, where its last good answer stands in for it; else nil.
func (a *Agent) Outdated() error {
	of := a.LastGood()
	if of.IsZero() {
		return nil
	}
	return fmt.Errorf("metadata: %w; its last good answer, of %s, stands in for it", a.outage.err, of.Format(time.RFC3339))
}

// ask learns one answer, and a second one a moment later if something is to be confirmed.
func (a *Agent) ask(ctx context.Context) error {
	for first := true; ; first = false {
		s, err := a.source.Fetch(ctx)
		if err != nil && first && a.recallInstead(ctx, err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
		a.learn(s, nil, time.Now())
		if !first || !a.unconfirmed(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(confirmAfter):
		}
	}
}

// unconfirmed reports whether a second answer that agrees with the first would change the plan.
func (a *Agent) unconfirmed(ctx context.Context) bool {
	var r report
	ops, err := a.decide(ctx, true, &r)
	if err != nil {
		return false
	}
	enis := a.enis(r.seen.Host)
	for i := range enis {
		enis[i].Hold = enis[i].Hold && !enis[i].Whole()
	}
	trusting := netcfg.Desired(a.input(enis, r.seen))
	return len(netcfg.Plan(r.seen.Own, trusting)) != len(ops)
}

// Cleanup removes everything that enid ever added to this kernel, and its files, and nothing else. It
// calls done for every operation.
func (a *Agent) Cleanup(ctx context.Context, done func(netcfg.Result)) error {
	release, err := lock(a.config.RuntimeDir)
	if err != nil {
		return hint(err, "it would put everything back: stop it first (systemctl stop enid)")
	}
	defer release()
	var errs []error
	a.chains = true // whether or not they are wanted now
	for range rounds {
		seen, err := a.kernel.Observe(ctx, a.scope(true))
		if err != nil {
			return err
		}
		target := netcfg.Desired(netcfg.Input{Numbers: a.config.Routing, Slots: a.slots, Settled: true, Seen: seen})
		ops := netcfg.Plan(seen.Own, target)
		if len(ops) == 0 {
			return errors.Join(a.removeFiles()...)
		}
		errs = nil
		for _, r := range a.kernel.Apply(ctx, ops) {
			done(r)
			if r.Err != nil {
				errs = append(errs, r.Err)
			}
		}
	}
	return errors.Join(append(errs, errors.New("something of enid's is left; run enid cleanup again"))...)
}

func (a *Agent) removeFiles() []error {
	var errs []error
	if a.neighbours != nil {
		errs = append(errs, a.neighbours(nil))
	}
	for _, f := range []string{a.file.path, a.memory.path, filepath.Join(a.config.RuntimeDir, "record.json")} {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errs
}
