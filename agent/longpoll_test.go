package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"enid/metadata"
)

// TestNewsIsFetchedAtOnce: without a poll, and as often as there is some.
func TestNewsIsFetchedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, nil, eni(0, 5), eni(1, 5))
		defer h.stop()
		h.after(20 * time.Second)
		w.publishes(eni(0, 5), eni(1, 5, 6))
		h.after(10 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6")
		// Soon after: the pause of a wait that was short is a part of a second.
		h.after(time.Second)
		w.publishes(eni(0, 5), eni(1, 5, 6, 7))
		h.after(300 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6", "10.0.1.7")
	})
}

// TestWatchedIsPolledRarely: once a minute, and the waits follow one another.
func TestWatchedIsPolledRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, nil, eni(0, 5))
		defer h.stop()
		h.after(time.Hour)
		wantCounts(t, h, w, 66, 76, 59, 61)
		if _, under := w.takeWaits(); under != 1 {
			t.Errorf("%d waits are under way", under)
		}
		h.wantLog()
		// Something is expected: as often as ever.
		h.change(func() { h.plug(1) })
		h.after(10 * time.Second)
		if n := len(h.cloud.questions()); n < 80 {
			t.Errorf("asked %d times in ten seconds", n)
		}
	})
}

// TestSourceThatDoesNotWait: what does not wait as it should is polled as ever, and hardly asked to wait.
func TestSourceThatDoesNotWait(t *testing.T) {
	for name, tt := range map[string]struct {
		changed bool
		err     error
		more    int // questions in an hour because of what the waits say
	}{
		"fails":                    {err: errors.New("the connection was reset")},
		"503":                      {err: &metadata.StatusError{Status: 503}},
		"returns at once":          {},
		"returns with news always": {changed: true, more: 125},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, w := startedWatched(t, func(w *watched) { w.always(tt.changed, tt.err) }, eni(0, 5))
				defer h.stop()
				h.after(time.Hour)
				wantCounts(t, h, w, 395, 451+tt.more, 55, 125)
				h.cloud.says(eni(0, 5, 6))
				h.after(10 * time.Second)
				h.wantAddresses("10.0.0.5", "10.0.0.6")
			})
		})
	}
}

// TestWaitsAgain: after an hour without, within the longest pause.
func TestWaitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, func(w *watched) { w.always(false, errors.New("down")) }, eni(0, 5))
		defer h.stop()
		h.after(time.Hour)
		w.mu.Lock()
		w.failed = nil
		w.mu.Unlock()
		h.after(2*rewaitMost + time.Minute)
		h.cloud.questions()
		w.takeWaits()
		h.after(time.Hour)
		wantCounts(t, h, w, 66, 76, 59, 61)
	})
}

// TestNewsDuringAQuestion: the answer under way may be older.
func TestNewsDuringAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, nil, eni(0, 5))
		defer h.stop()
		h.cloud.mu.Lock()
		h.cloud.takes = time.Second
		h.cloud.mu.Unlock()
		for h.cloud.waiting() {
			h.after(time.Millisecond)
		}
		w.publishes(eni(0, 5, 6))
		h.after(2*time.Second + 300*time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.0.6")
	})
}

// TestNewsOfARefusal: a service that wants to be left alone is, whatever it has.
func TestNewsOfARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, nil, eni(0, 5))
		defer h.stop()
		h.cloud.fails(&metadata.StatusError{Status: 429, RetryAfter: 5 * time.Minute})
		for h.cloud.waiting() {
			h.after(100 * time.Millisecond)
		}
		h.cloud.questions()
		w.publishes(eni(0, 5, 6))
		h.after(4 * time.Minute)
		if n := len(h.cloud.questions()); n > 0 {
			t.Errorf("asked %d times", n)
		}
		h.after(2 * time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.0.6")
	})
}

// TestRefusedWait: nor is it waited for, and what it says to who waits holds for all.
func TestRefusedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, nil, eni(0, 5))
		defer h.stop()
		w.always(false, &metadata.StatusError{Status: 429, RetryAfter: 5 * time.Minute})
		for waits := 0; waits == 0; waits, _ = w.takeWaits() {
			h.after(100 * time.Millisecond)
		}
		h.cloud.questions()
		h.after(4 * time.Minute)
		wantCounts(t, h, w, 0, 0, 0, 0)
		h.after(2 * time.Minute)
		wantCounts(t, h, w, 1, 10, 1, 1)
	})
}

// TestWaitFollowsAnAnswer: until the news is fetched there is nothing to wait for.
func TestWaitFollowsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := startedWatched(t, nil, eni(0, 5))
		defer h.stop()
		for h.cloud.waiting() { // so that the next poll is a minute away
			h.after(100 * time.Millisecond)
		}
		h.after(20 * time.Second)
		h.cloud.mu.Lock()
		h.cloud.takes = time.Second
		h.cloud.mu.Unlock()
		w.publishes(eni(0, 5, 6))
		h.after(500 * time.Millisecond)
		if _, under := w.takeWaits(); under != 0 {
			t.Errorf("%d waits during the question", under)
		}
		h.after(time.Second)
		if _, under := w.takeWaits(); under != 1 {
			t.Errorf("%d waits after the answer", under)
		}
	})
}

// TestReloadOfWatched: the old source is waited for no more, the new one is.
func TestReloadOfWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, file, _ := reloading(t)
		h.stop()
		before, after := newWatched(h.cloud), newWatched(&cloud{})
		after.says(eni(0, 5), eni(1, 5, 6), eni(2, 5))
		h.source = before
		h.reloads(func() (Config, error) { return *file, nil }, func(Config) (Source, error) { return after, nil })
		h.start()
		defer h.stop()
		h.after(5 * time.Minute)
		file.Metadata.Endpoint = "http://127.0.0.1:1"
		h.reloadNow()
		if _, under := before.takeWaits(); under != 0 {
			t.Errorf("%d waits for the old source", under)
		}
		after.questions()
		h.after(5 * time.Second)
		before.publishes(eni(0, 5))
		h.after(time.Second)
		if n := len(after.questions()); n != 0 {
			t.Errorf("asked %d times because of the old source", n)
		}
		after.publishes(eni(0, 5, 9), eni(1, 5, 6), eni(2, 5))
		h.after(10 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.0.9", "10.0.1.5", "10.0.1.6", "10.0.2.5")
	})
}

// TestWaitsAreBounded: however a source waits, it is not asked to without end, and what it has is fetched.
func TestWaitsAreBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type turn struct {
			lasts   time.Duration
			changed bool
			failed  bool
		}
		turns := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) turn {
			return turn{
				time.Duration(rapid.SampledFrom([]int{0, 0, 1, 9, 10, 30, 60}).Draw(rt, "seconds")) * time.Second,
				rapid.Bool().Draw(rt, "changed"), rapid.Bool().Draw(rt, "failed"),
			}
		}), 1, 20).Draw(rt, "turns")
		synctest.Test(t, func(t *testing.T) {
			h, w := startedWatched(t, func(w *watched) {
				n := 0
				w.failed = func(ctx context.Context) (bool, bool, error) {
					turn := turns[n%len(turns)]
					n++
					select {
					case <-ctx.Done():
						return false, true, ctx.Err()
					case <-time.After(turn.lasts):
					}
					if turn.failed {
						return false, true, errors.New("reset")
					}
					return turn.changed, true, nil
				}
			}, eni(0, 5))
			defer h.stop()
			h.after(20 * time.Minute)
			// A steady wait, of ten seconds at least, ends the pauses of those before: six short ones fit between two.
			wantCounts(rt, h, w, 19, 135+600, 9, 600)
			if _, under := w.takeWaits(); under > 1 {
				rt.Errorf("%d waits at once", under)
			}
			h.cloud.says(eni(0, 5, 6))
			h.after(time.Minute + time.Second)
			h.wantAddresses("10.0.0.5", "10.0.0.6")
		})
	})
}
