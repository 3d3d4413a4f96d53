package metadata

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "0": 0, "-1": 0, "1.5": 0, "soon": 0,
		"100000": holdAtMost, "99999999999999999999": 0,
		"Tue, 24 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Tue, 24 Nov 2026 11:00:00 GMT": 0,
		"Tue, 24 Nov 2099 12:00:30 GMT": holdAtMost,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// refusing is a client of a service that answers with this status and this Retry-After, over pipes, so that time
// may be that of a synctest bubble; asked counts the requests.
func refusing(t *testing.T, status int, value string) (c *Client, asked *int) {
	t.Helper()
	c, err := NewClient("http://metadata.test", Dial{})
	if err != nil {
		t.Fatal(err)
	}
	asked = new(int)
	c.http.Transport = answering(func(*http.Request) *http.Response {
		*asked++
		header := http.Header{}
		if value != "" {
			header.Set("Retry-After", value)
		}
		return &http.Response{StatusCode: status, Header: header, Body: http.NoBody}
	})
	return c, asked
}

// answering is a transport without a network.
type answering func(*http.Request) *http.Response

// RoundTrip is http.RoundTripper's.
func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// TestHold: after a refusal nothing is asked until its time is over; a short one is waited for, in a long one every
// request fails as the service would fail it.
func TestHold(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		value  string
		lasts  time.Duration // 0: nothing is held
	}{
		"429":           {429, "", holdDefault},
		"429, a second": {429, "1", time.Second},
		"429, a minute": {429, "60", time.Minute},
		"503, a minute": {503, "60", time.Minute},
		"503":           {503, "", 0},
		"500, a minute": {500, "60", 0},
		"404":           {404, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, asked := refusing(t, tt.status, tt.value)
				began := time.Now()
				for range 3 {
					_, err := c.Get(t.Context(), "/x", nil)
					refusal, ok := errors.AsType[*StatusError](err)
					if !ok || refusal.Status != tt.status || tt.value == "" && refusal.RetryAfter != 0 {
						t.Fatalf("the error is %v", err)
					}
				}
				waited, want := time.Since(began), 3
				switch {
				case tt.lasts > holdShort:
					want = 1
					if waited != 0 {
						t.Errorf("waited %s for a long hold", waited)
					}
				case waited != 2*tt.lasts:
					t.Errorf("waited %s, want %s", waited, 2*tt.lasts)
				}
				if *asked != want || c.Requests()[strconv.Itoa(tt.status)] != uint64(want) {
					t.Errorf("asked %d times, want %d", *asked, want)
				}
				<-time.After(tt.lasts)
				if _, err := c.Get(t.Context(), "/x", nil); err == nil || *asked != want+1 {
					t.Errorf("after the hold asked %d times, want %d", *asked, want+1)
				}
			})
		})
	}
}

// TestHoldGivesUp: who has no time does not wait for the end of a hold.
func TestHoldGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, asked := refusing(t, 429, "1")
		_, _ = c.Get(t.Context(), "/x", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.Get(ctx, "/x", nil); !TimedOut(err) || *asked != 1 {
			t.Errorf("%v, asked %d times", err, *asked)
		}
	})
}
