package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"enid/metadata"
)

// metered is a source whose questions cost requests, with a service that may refuse some.
type metered struct {
	*cloud
	price uint64
	limit float64

	mu      sync.Mutex
	made    uint64
	refused uint64
	refuses uint64 // of each question
}

// Fetch is Source.Fetch.
func (m *metered) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	m.mu.Lock()
	m.made += m.price - m.refuses
	m.refused += m.refuses
	m.mu.Unlock()
	return m.cloud.Fetch(ctx)
}

// Requests counts them.
func (m *metered) Requests() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return map[string]uint64{"200": m.made, "429": m.refused, "openapi-200": 99 * m.made}
}

// Limit is what the service takes in a second.
func (m *metered) Limit() float64 { return m.limit }

// hurrying is a host on which a NIC waits for its metadata, and what was asked from then on.
func hurrying(t *testing.T, price uint64, limit float64) (*host, *metered) {
	h := newHost(t)
	m := &metered{cloud: h.cloud, price: price, limit: limit}
	h.source = completed{m, ""}
	h.cloud.says(eni(0, 5))
	h.start()
	h.after(2 * time.Minute)
	h.cloud.questions()
	h.change(func() { h.plug(1) })
	return h, m
}

// TestBudget: however much is expected, in no second more requests are made than the service takes and, where a question
// is more than one, one question more; and what is cheap is asked as often as ever.
func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		price       uint64
		limit       float64
		least, most int // questions in the first half minute
	}{
		{1, 0, 280, 301}, // as without a budget
		{4, 0, 280, 301},
		{13, 0, 95, 110},
		{43, 0, 28, 35},
		{600, 0, 2, 4},
		{1, 5, 120, 150},
	} {
		t.Run(fmt.Sprint(tt.price, " of ", tt.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := hurrying(t, tt.price, tt.limit)
				defer h.stop()
				h.after(30 * time.Second)
				asked := h.cloud.questions()
				if n := len(asked); n < tt.least || n > tt.most {
					t.Errorf("%d questions, want %d to %d", n, tt.least, tt.most)
				}
				most := max(tt.limit, requestsAtMost) + float64(tt.price) - 1
				if tt.limit > 0 {
					most = tt.limit
				}
				for i, from := range asked {
					n := 0
					for _, at := range asked[i:] {
						if at.Sub(from) < time.Second {
							n++
						}
					}
					if spent := float64(n) * float64(tt.price); spent > most {
						t.Fatalf("%.0f requests in the second from %s", spent, from)
					}
				}
				if _, text := h.get("/metrics"); (tt.price > 4 || tt.limit > 0) != (countOf(text, `enid_metadata_postponed_total{reason="budget"}`) > 0) {
					t.Error(text)
				}
			})
		})
	}
}

func countOf(metrics, series string) (n int) {
	for i := 0; i+len(series) < len(metrics); i++ {
		if metrics[i:i+len(series)] == series {
			_, _ = fmt.Sscan(metrics[i+len(series):], &n)
		}
	}
	return n
}

// TestBudgetBucket: over any time the requests are those of the limit and one question's at most.
func TestBudgetBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Float64Range(1, 200).Draw(t, "limit")
		b := budget{perSecond: limit}
		began := time.Unix(0, 0)
		now, spent, largest := began, 0.0, 0.0
		for range rapid.IntRange(1, 50).Draw(t, "questions") {
			now = now.Add(b.wait(now))
			price := rapid.Uint64Range(0, 300).Draw(t, "price")
			if float64(price) > largest {
				largest = float64(price)
			}
			spent += float64(price)
			b = b.spend(price, now)
			if allowed := limit*now.Sub(began).Seconds() + limit/10 + 2*largest; spent > allowed {
				t.Fatalf("%.1f requests in %s, want %.1f at most", spent, now.Sub(began), allowed)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "pause")))
		}
	})
}

// TestRefused: a service that refuses is asked ever less often, also while something is expected, and at once as
// before when it does not.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := hurrying(t, 4, 0)
		defer h.stop()
		set := func(n uint64) {
			m.mu.Lock()
			m.refuses = n
			m.mu.Unlock()
		}
		set(1)
		h.after(50 * time.Second)
		if n := len(h.cloud.questions()); n < 4 || n > 12 {
			t.Errorf("%d questions to a service that refuses", n)
		}
		if _, text := h.get("/metrics"); countOf(text, `enid_metadata_postponed_total{reason="refused"}`) < 3 {
			t.Error(text)
		}
		set(0)
		h.after(time.Minute)
		h.cloud.questions()
		h.after(10 * time.Second)
		if n := len(h.cloud.questions()); n < 9 { // in the second phase: one a second
			t.Errorf("%d questions in ten seconds after it", n)
		}
	})
}

// TestRetryAfter: who says how long is not asked sooner, nor much later.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := hurrying(t, 1, 0)
		defer h.stop()
		h.after(time.Second)
		h.cloud.fails(fmt.Errorf("all of it: %w", &metadata.StatusError{Status: 503, RetryAfter: 30 * time.Second}))
		h.after(200 * time.Millisecond)
		h.cloud.questions()
		for range 28 {
			h.change(func() {}) // events of the kernel change nothing in that
			h.after(time.Second)
		}
		if n := len(h.cloud.questions()); n > 0 {
			t.Errorf("%d questions in half a minute", n)
		}
		h.after(5 * time.Second)
		if n := len(h.cloud.questions()); n != 1 {
			t.Errorf("%d questions after half a minute, want one", n)
		}
	})
}

// TestOutageWhileHurrying: a service that is down is not asked ten times a second because something is expected
// of it, nor at the moment it comes back; a new NIC makes enid look.
func TestOutageWhileHurrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := hurrying(t, 1, 0)
		defer h.stop()
		h.cloud.fails(errors.New("down"))
		h.after(time.Second)
		h.cloud.questions()
		h.after(time.Minute)
		if n := len(h.cloud.questions()); n > 20 {
			t.Errorf("%d questions in a minute of an outage", n)
		}
		for h.cloud.waiting() {
			h.after(10 * time.Millisecond)
		}
		h.cloud.questions()
		h.change(func() { h.plug(2) })
		h.after(20 * time.Millisecond) // a pass has just been: the next has to wait a little
		if n := len(h.cloud.questions()); n != 1 {
			t.Errorf("%d questions for a new NIC", n)
		}
	})
}
