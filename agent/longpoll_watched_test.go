package agent

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enid/metadata"
)

// watched is a cloud that can be waited for, as Google's.
type watched struct {
	*cloud
	news chan struct{} // of one place

	mu     sync.Mutex
	waits  int                                                   // so far
	failed func(context.Context) (changed, done bool, err error) // instead of waiting, where it says done
	under  int                                                   // way
}

func newWatched(c *cloud) *watched { return &watched{cloud: c, news: make(chan struct{}, 1)} }

// Wait is watcher.Wait: up to a minute.
func (w *watched) Wait(ctx context.Context) (changed bool, err error) {
	w.mu.Lock()
	w.waits++
	w.under++
	failed := w.failed
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.under--
	}()
	if failed != nil {
		if changed, done, err := failed(ctx); done {
			return changed, err
		}
	}
	select {
	case <-w.news:
		return true, nil
	case <-time.After(time.Minute):
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// takeWaits is how many there were since the last call, and how many are under way.
func (w *watched) takeWaits() (n, under int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, w.waits = w.waits, 0
	return n, w.under
}

// always makes every wait end so.
func (w *watched) always(changed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = func(context.Context) (bool, bool, error) { return changed, true, err }
}

// publishes changes what the cloud says, and says so to who waits.
func (w *watched) publishes(enis ...metadata.Interface) {
	w.says(enis...)
	Poke(w.news)
}

// startedWatched is a started host whose cloud can be waited for, behind what completes its answers.
func startedWatched(t testing.TB, prepare func(*watched), enis ...metadata.Interface) (*host, *watched) {
	h := newHost(t)
	for _, e := range enis[1:] {
		h.plug(int(e.MAC[5]))
	}
	h.cloud.says(enis...)
	w := newWatched(h.cloud)
	if prepare != nil {
		prepare(w)
	}
	h.source = completed{w, ""}
	h.start()
	h.after(5 * time.Minute)
	if s := h.agent.Status(); !s.Converged || !s.Metadata.Settled {
		t.Fatalf("the start did not converge and settle: %+v", s)
	}
	h.cloud.questions()
	w.takeWaits()
	h.logged.take()
	return h, w
}

// wantCounts checks how often the cloud was asked, and waited for, since the last look.
func wantCounts(t rapid.TB, h *host, w *watched, leastAsked, mostAsked, leastWaits, mostWaits int) {
	t.Helper()
	asked := len(h.cloud.questions())
	waits, _ := w.takeWaits()
	if asked < leastAsked || asked > mostAsked || waits < leastWaits || waits > mostWaits {
		t.Errorf("asked %d times, want %d to %d; waited for %d times, want %d to %d", asked, leastAsked, mostAsked, waits, leastWaits, mostWaits)
	}
}
