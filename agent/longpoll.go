package agent

import (
	"context"
	"errors"
	"time"

	"enid/metadata"
)

// watcher is a source that can say when it has something new. Wait returns then, or when its time is over, which is
// for the source to say; it makes one request and does not try again.
type watcher interface {
	Wait(ctx context.Context) (changed bool, err error)
}

const (
	watchedPoll = time.Minute      // between polls where the source would say by itself what is new, or the poll interval where that is longer
	steadyWait  = 10 * time.Second // a wait that lasts so long shows that the source does wait
	rewaitLeast = 200 * time.Millisecond
	rewaitMost  = time.Minute
)

// longpoll waits for the source to have something new, in a goroutine of its own, between an answer and the next
// question. It belongs to the loop's goroutine. A wait that fails or returns early is followed by a pause, longer
// each time, so that a source that does not wait is asked hardly more often than one that cannot: polls go on
// beside it.
type longpoll struct {
	ended   chan waited
	cancel  context.CancelFunc // of the wait that is under way, nil for none
	backoff metadata.Backoff
	pause   time.Duration // before the next wait
}

// waited is how a wait ended.
type waited struct {
	changed bool
	err     error
	lasted  time.Duration
}

func newLongpoll() longpoll {
	return longpoll{ended: make(chan waited, 1), backoff: metadata.Backoff{Min: rewaitLeast, Max: rewaitMost}}
}

// begin waits, unless that is under way, and not before the service may be asked again. A source that cannot wait is
// left to the polls.
func (p *longpoll) begin(ctx context.Context, s Source, notBefore time.Time) {
	w, ok := spoken(s).(watcher)
	if !ok || p.cancel != nil {
		return
	}
	ctx, p.cancel = context.WithCancel(ctx)
	ended, pause := p.ended, max(p.pause, time.Until(notBefore))
	go func() { ended <- waitFor(ctx, w, pause) }()
}

func waitFor(ctx context.Context, w watcher, pause time.Duration) waited {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return waited{err: ctx.Err()}
	case <-timer.C:
	}
	began := time.Now()
	changed, err := w.Wait(ctx)
	return waited{changed, err, time.Since(began)}
}

// done takes the end of a wait, and reports whether the source waits as it should.
func (p *longpoll) done(w waited) (works bool) {
	p.cancel()
	p.cancel = nil
	if w.err == nil && w.lasted >= steadyWait {
		p.backoff.Reset()
		p.pause = 0
		return true
	}
	p.pause = p.backoff.Next()
	return false
}

// await waits for something newer than the answer that has just come, unless that is old already.
func (l *loop) await(ctx context.Context) {
	if !l.poller.asking && !l.poller.news {
		l.watch.begin(ctx, l.source, l.poller.notBefore)
	}
}

// waited asks for what is new, or waits on. What is new is asked for when the service may be asked: the wait goes
// on after the answer.
func (l *loop) waited(ctx context.Context, w waited) {
	l.poller.watched = l.watch.done(w)
	l.poller.news = l.poller.news || w.changed
	if status, ok := errors.AsType[*metadata.StatusError](w.err); ok {
		l.poller.notBefore = latest(l.poller.notBefore, time.Now().Add(status.RetryAfter))
	}
	l.await(ctx)
	l.poller.schedule(l.Agent, l.links)
}

// unwatch ends the wait for a source that is not asked any more.
func (l *loop) unwatch() {
	if l.watch.cancel != nil {
		l.watch.cancel()
	}
	l.watch = newLongpoll()
	l.poller.news, l.poller.watched = false, false
}

// regular is the time between two polls when nothing is expected.
func (p *poller) regular(poll time.Duration) time.Duration {
	if p.watched {
		return max(poll, watchedPoll)
	}
	return poll
}
