package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// readyTimeout is when the service manager is told that the start is done although the metadata
// has not answered yet: the host must not wait for a cloud that is down.
const readyTimeout = 30 * time.Second

// retryLeast and retryMost bound the pause after a pass that did not converge.
const (
	retryLeast = time.Second
	retryMost  = time.Minute
)

// Events poke the loop. They carry no data: each only means "look again".
type Events struct {
	Kernel chan struct{} // something changed in the kernel
	Files  chan struct{} // a document may have changed: ask the source again
	Reload chan struct{} // read the configuration again
}

// NewEvents makes channels of one place each, so that pokes run together.
func NewEvents() Events {
	return Events{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)}
}

// Poke sends to a channel of Events without waiting.
func Poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// loop is the state of Run beside the agent's own.
type loop struct {
	*Agent
	events Events
	poller *poller
	watch  longpoll
	resync *time.Ticker
	retry  *time.Timer
	// watchdog is when to say that the daemon lives, patience when the start counts as done anyhow.
	// unanswered is when to do without the metadata.
	watchdog, patience, unanswered <-chan time.Time
	backoff                        metadata.Backoff
	load                           func() (Config, error)
	rebuild                        func(Config) (Source, error)
	onLoad                         func(Config)
	links                          []netcfg.Link // of the last pass that could read them
	storm                          storm
	// pause ends when the kernel's pokes are heard again, calm when a fight is over.
	pause, calm *time.Timer
	paused      bool
}

// Reloader is how Run gets a new configuration: Load reads and checks it, Source makes its
// source, Changed is told afterwards. Started is told once, when this is the one enid that writes
// here. All may be nil.
type Reloader struct {
	Load    func() (Config, error)
	Source  func(Config) (Source, error)
	Started func(Config)
	Changed func(Config)
}

// Run does passes until ctx ends: at once, then whenever the kernel, the metadata, a file, a
// signal or time asks for one. It leaves the kernel as it is when it ends. An Agent runs once.
func (a *Agent) Run(ctx context.Context, events Events, reload Reloader) error {
	defer close(a.ended)
	release, err := lock(a.config.RuntimeDir)
	if err != nil {
		return hint(err, "there can be only one (systemctl status enid)")
	}
	defer release()
	l := &loop{
		Agent: a, events: events, poller: newPoller(a.config.Metadata.Poll), watch: newLongpoll(),
		resync: time.NewTicker(a.config.Resync), retry: time.NewTimer(time.Hour),
		pause: time.NewTimer(time.Hour), calm: time.NewTimer(time.Hour),
		backoff: metadata.Backoff{Min: retryLeast, Max: retryMost},
		load:    reload.Load, rebuild: reload.Source, onLoad: reload.Changed,
	}
	l.poller.held = l.counters.postpone
	defer l.resync.Stop()
	if interval, ok := a.notify.WatchdogInterval(); ok {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		l.watchdog = ticker.C
	}
	l.patience, l.unanswered = time.After(readyTimeout), time.After(recallAfter)
	for _, t := range []*time.Timer{l.retry, l.pause, l.calm} {
		t.Stop()
		defer t.Stop()
	}
	if reload.Started != nil {
		reload.Started(a.config)
	}
	l.work(ctx, true)
	for l.wait(ctx) {
	}
	_ = a.notify.Stopping()
	return nil
}

// wait blocks for one event and works on it. It is false when ctx has ended.
func (l *loop) wait(ctx context.Context) bool {
	kernel := l.events.Kernel
	if l.paused {
		kernel = nil // its pokes wait, everything else is worked on at once
	}
	select {
	case <-ctx.Done():
		return false
	case <-l.watchdog:
		// Only this goroutine says that the daemon lives: if it hangs, it is restarted.
		_ = l.notify.Watchdog()
	case <-l.patience:
		l.tellReady()
	case <-l.unanswered:
		if l.recall(l.links, time.Now()) {
			l.work(ctx, false)
		}
	case <-l.poller.timer.C:
		l.poller.ask(ctx, l.source)
	case <-l.events.Files:
		l.poller.askAnew(ctx, l.source)
	case answer := <-l.poller.answers:
		l.poller.answered(answer.err)
		if answer.err != nil {
			l.recall(l.links, time.Now())
		}
		l.learn(answer.snapshot, answer.err, time.Now())
		l.work(ctx, false)
		l.keep(time.Now())
		l.poller.catchUp(ctx, l.source)
		if answer.err == nil {
			l.await(ctx)
		}
	case w := <-l.watch.ended:
		l.waited(ctx, w)
	case <-l.pause.C:
		l.paused = false
	case <-kernel:
		l.repair(ctx, false)
	case <-l.resync.C:
		l.repair(ctx, true)
	case <-l.retry.C:
		l.repair(ctx, false)
	case <-l.calm.C:
		l.setProblem("fought", "")
		l.fighting = nil
		l.work(ctx, false)
	case <-l.events.Reload:
		l.reload(ctx)
	case r := <-l.reports:
		if l.setProblem(r.Reason, r.Text) || r.Text != "" {
			l.work(ctx, false)
		}
	}
	return true
}

// work does a pass and everything that follows from one.
func (l *loop) work(ctx context.Context, full bool) outcome {
	out := l.pass(ctx, full)
	if ctx.Err() != nil {
		return out
	}
	if out.converged {
		l.backoff.Reset()
		l.retry.Stop()
	} else {
		l.retry.Reset(l.backoff.Next())
	}
	if out.links != nil {
		l.links = out.links
	}
	l.inquire(ctx)
	l.listen(ctx)
	l.poller.schedule(l.Agent, l.links)
	l.tellReady()
	_ = l.notify.Status(l.Status().Sentence())
	l.rest()
	return out
}

// tellReady reports the start as done once: after the first converged pass on an answer or on the last good one, at
// once where there is no cloud, or when the metadata keeps the host waiting.
func (l *loop) tellReady() {
	known := !l.outage.lastAnswer.IsZero() || !l.memory.recalled.IsZero()
	if !l.ready && (known && l.Status().Converged || l.noCloud() || time.Since(l.started) >= readyTimeout) {
		l.ready = true
		_ = l.notify.Ready()
	}
}

// reload reads the configuration again, and looks at everything anew also where it is the same: whoever
// asks for it wants that. A bad one changes nothing, and says so until it is good.
func (l *loop) reload(ctx context.Context) {
	if l.load == nil {
		return
	}
	if l.ready { // before that the service manager waits for the start, and READY would end it
		_ = l.notify.Reloading()
		defer func() { _ = l.notify.Ready() }()
	}
	config, err := l.load()
	if err == nil && !reflect.DeepEqual(config, l.config) {
		if err = l.adopt(config); err == nil {
			l.log.Info("configuration read")
		}
	}
	trouble := ""
	if err != nil {
		trouble = "the changed configuration is not used, the one before is still in force: " + err.Error()
	}
	l.setProblem("config-invalid", trouble)
	l.work(ctx, true)
	l.poller.ask(ctx, l.source)
}

// adopt makes a valid configuration the one in force.
func (l *loop) adopt(config Config) error {
	if config.RuntimeDir != l.config.RuntimeDir || config.StateDir != l.config.StateDir {
		return errors.New("runtime_dir and state_dir cannot change while enid runs; restart it")
	}
	if err := l.config.Routing.Reaches(config.Routing); err != nil {
		return err
	}
	source, err := l.rebuild(config)
	if err != nil {
		return err
	}
	stayWith(l.source, source)
	l.config = config
	l.setSource(source)
	l.poller.forget()
	l.unwatch()
	l.counters.poll.Store(int64(config.Metadata.Poll))
	l.resync.Reset(config.Resync)
	l.poller.backoff.Max = config.Metadata.Poll
	if l.onLoad != nil {
		l.onLoad(config)
	}
	return nil
}

// Report tells the loop of a problem beside it, or with nil that it is over: it becomes part of
// the status and is logged when it is new. After the end of Run it does nothing.
func (a *Agent) Report(reason string, err error) {
	p := metadata.Problem{Reason: reason}
	if err != nil {
		p.Text = err.Error()
	}
	select {
	case a.reports <- p:
	case <-a.ended:
	}
}

// setProblem replaces the agent's own problem of this reason; an empty text ends it. It reports
// whether there was one.
func (a *Agent) setProblem(reason, text string) (had bool) {
	var kept []metadata.Problem
	for _, p := range a.problems {
		if p.Reason != reason {
			kept = append(kept, p)
		}
	}
	had = len(kept) < len(a.problems)
	if text != "" {
		kept = append(kept, metadata.Problem{Reason: reason, Text: text})
	}
	a.problems = kept
	return had
}

var _ Kernel = (*netcfg.Kernel)(nil)

// Named says which of the daemon's tasks an error comes from.
func Named(task string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", task, err)
	}
	return nil
}
