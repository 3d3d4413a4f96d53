package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"enid/agent"
	"enid/metadata"
	"enid/netcfg"
)

// loop is the daemon's loop in this process, with a source that answers at once, so that a pass
// can be timed from inside: it begins with a look at the kernel and ends when the service
// manager is told how things are.
type loop struct {
	*netcfg.Kernel
	agent  *agent.Agent
	events agent.Events
	stop   func()
	passes chan pass

	now      pass // the one under way
	answered chan time.Time
}

// pass is when one began, when it ended and what it wrote.
type pass struct {
	began, ended time.Time
	answered     time.Time // when the newest answer of the metadata was there
	wrote        int
	converged    bool
}

func (p pass) took() time.Duration { return p.ended.Sub(p.began) }

// start runs the loop and its watch of the kernel in a machine.
func (m *machine) start(ctx context.Context) (*loop, error) {
	l := &loop{events: agent.NewEvents(), passes: make(chan pass, 1000), answered: make(chan time.Time, 1000)}
	config := agent.Default()
	config.RuntimeDir, config.StateDir = filepath.Join(m.dir, "run"), filepath.Join(m.dir, "state")
	config.Metadata.Poll = time.Hour
	err := m.Do(func() (err error) {
		l.Kernel, err = netcfg.NewKernel(config.RuntimeDir)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.agent = agent.New(agent.Options{Config: config, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Kernel: l, Source: l, Notify: l})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{}, 2)
	go func() {
		_ = l.Watch(ctx, func() { agent.Poke(l.events.Kernel) })
		done <- struct{}{}
	}()
	go func() {
		_ = m.Do(func() error { return l.agent.Run(ctx, l.events, agent.Reloader{}) })
		done <- struct{}{}
	}()
	l.stop = func() {
		cancel()
		<-done
		<-done
		l.Close()
	}
	return l, nil
}

// converged waits for the first pass that knows the metadata and leaves nothing to do.
func (l *loop) converged(ctx context.Context) (pass, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		p, err := l.next(ctx)
		if err != nil || p.converged && !p.answered.IsZero() {
			return p, err
		}
	}
}

// next waits for the end of a pass.
func (l *loop) next(ctx context.Context) (pass, error) {
	select {
	case p := <-l.passes:
		return p, nil
	case <-ctx.Done():
		return pass{}, errors.New("the loop does not come to an end")
	}
}

// drain forgets the passes that have ended.
func (l *loop) drain() {
	for len(l.passes) > 0 {
		<-l.passes
	}
}

// Fetch is the loop's metadata.
func (l *loop) Fetch(context.Context) (metadata.Snapshot, error) {
	s := snapshot()
	l.answered <- time.Now()
	return s, nil
}

// Observe notes when a pass begins.
func (l *loop) Observe(ctx context.Context, s netcfg.Scope) (netcfg.Observation, error) {
	if l.now.began.IsZero() {
		l.now.began = time.Now()
	}
	return l.Kernel.Observe(ctx, s)
}

// Apply counts what a pass writes.
func (l *loop) Apply(ctx context.Context, ops []netcfg.Op) []netcfg.Result {
	l.now.wrote += len(ops)
	return l.Kernel.Apply(ctx, ops)
}

// Status ends a pass.
func (l *loop) Status(string) error {
	select {
	case l.now.answered = <-l.answered:
	default:
	}
	s := l.agent.Status()
	l.now.ended, l.now.converged = time.Now(), s.Converged && s.Metadata.OK
	l.passes <- l.now
	l.now = pass{answered: l.now.answered}
	return nil
}

// Ready and the following complete agent.Notifier.
func (l *loop) Ready() error { return nil }

// Reloading says nothing to nobody.
func (l *loop) Reloading() error { return nil }

// Stopping says nothing to nobody.
func (l *loop) Stopping() error { return nil }

// Watchdog says nothing to nobody.
func (l *loop) Watchdog() error { return nil }

// WatchdogInterval is none.
func (l *loop) WatchdogInterval() (time.Duration, bool) { return 0, false }
