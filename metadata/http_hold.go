package metadata

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How a refusal is obeyed that says no time, how long one is believed at most, and how long a request waits for
// the end of one rather than fail.
const (
	holdDefault = 500 * time.Millisecond
	holdAtMost  = 10 * time.Minute
	holdShort   = time.Second
)

// hold keeps requests back while the service does not want any: after a 429, and after a 503 that says until
// when. It is safe for concurrent use.
type hold struct {
	mu     sync.Mutex
	until  time.Time
	status int // of the refusal
}

// pass waits for the end of a short hold. Of a long one it makes the error that the service would give again,
// without asking it.
func (h *hold) pass(ctx context.Context, path string) error {
	h.mu.Lock()
	left, status := time.Until(h.until), h.status
	h.mu.Unlock()
	if left <= 0 {
		return nil
	}
	if left > holdShort {
		return &StatusError{Path: path, Status: status, RetryAfter: left}
	}
	end := time.NewTimer(left)
	defer end.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-end.C:
		return nil
	}
}

// note takes in how a request went.
func (h *hold) note(err error) {
	refusal, ok := errors.AsType[*StatusError](err)
	if !ok || refusal.Status != http.StatusTooManyRequests && (refusal.Status != http.StatusServiceUnavailable || refusal.RetryAfter == 0) {
		return
	}
	until := time.Now().Add(max(refusal.RetryAfter, holdDefault))
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until, h.status = until, refusal.Status
	}
}

// retryAfter reads Retry-After: seconds or a date. What cannot be read is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, holdAtMost)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), holdAtMost)
}
