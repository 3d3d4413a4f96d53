package cloud

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// wake has everybody look again who waits for metadata to change. The caller holds mu.
func (c *Cloud) wake() {
	close(c.news)
	c.news = make(chan struct{})
}

func waits(r *http.Request) bool {
	return strings.EqualFold(r.URL.Query().Get("wait_for_change"), "true")
}

// gcpHang returns when a request can be answered: at once, unless it waits for a change, then when the answer has
// another ETag than last_etag or, where that is not given, than it had at first; when timeout_sec is over; or when
// the client goes.
func (c *Cloud) gcpHang(instance string, f Fault, r *http.Request) {
	if !waits(r) || f.Kind == FaultStatus {
		return
	}
	query := r.URL.Query()
	last := query.Get("last_etag")
	var timeout <-chan time.Time
	if seconds, err := strconv.ParseUint(query.Get("timeout_sec"), 10, 16); err == nil {
		timeout = time.After(time.Duration(seconds) * time.Second)
	}
	for {
		news, step, etag := c.gcpWatch(instance, f, r)
		if last == "" {
			last = etag
		}
		if etag != last {
			return // also where there is none, because the answer is an error
		}
		select {
		case <-news:
		case <-step:
		case <-timeout:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// gcpWatch is the ETag of the answer as it is now, with what tells that it may be another one: a change, or a step
// of one that was made before.
func (c *Cloud) gcpWatch(instance string, f Fault, r *http.Request) (news <-chan struct{}, step <-chan time.Time, etag string) {
	c.Settled(func() {
		c.mu.Lock()
		news = c.news
		if in, ok := c.instances[instance]; ok {
			step = c.nextStep(in, time.Now())
		}
		c.mu.Unlock()
		etag = c.answer(instance, GCP, f, r).header["ETag"]
	})
	return news, step, etag
}

// nextStep fires when what an instance's metadata shows is the next to change by itself, nil where nothing is.
func (c *Cloud) nextStep(in *instance, now time.Time) <-chan time.Time {
	c.advance(in, now)
	var next time.Time
	consider := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if len(in.history) > 1 {
		consider(in.history[1].at.Add(c.delay))
	}
	for _, p := range in.progress {
		consider(p.keysAt)
	}
	for _, r := range in.remnants {
		consider(r.until)
	}
	if next.IsZero() {
		return nil
	}
	return time.After(next.Sub(now))
}
