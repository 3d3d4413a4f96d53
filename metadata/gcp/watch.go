package gcp

import (
	"cmp"
	"context"
	"net/url"
	"reflect"
	"time"

	"enid/metadata"
)

// A wait's time, and how long its answer may take: ten seconds more, as google-guest-agent has it.
const (
	waitPath    = instancePath + "&wait_for_change=true&timeout_sec=60&last_etag="
	waitAnswers = 70 * time.Second
)

// Wait asks once, and returns when the server has something new or after a minute at the latest. It reports
// whether that is a change of what Fetch tells since the newest Fetch; other things that change, such as the
// user's attributes, are not. Without a Fetch before, it returns at once. It is one request, and leaves it to its
// caller to pause after an error or an early return: 503 for less than a second is usual.
func (s *Source) Wait(ctx context.Context) (changed bool, err error) {
	// A server that has never answered with an ETag answers this one at once.
	etag := cmp.Or(s.known().etag, "NONE")
	d, err := s.get(ctx, waitPath+url.QueryEscape(etag), waitAnswers)
	if err != nil {
		return false, explain(err)
	}
	seen, err := parse(d.Body)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A Fetch may have seen it meanwhile.
	if !reflect.DeepEqual(seen, s.newest.snapshot) {
		return true, nil
	}
	s.newest.etag = d.Header.Get("ETag")
	return false, nil
}

// clone shares no memory with s.
func clone(s metadata.Snapshot) metadata.Snapshot {
	s.Interfaces = append([]metadata.Interface(nil), s.Interfaces...)
	for n, i := range s.Interfaces {
		s.Interfaces[n] = i.Clone()
	}
	s.Problems = append([]metadata.Problem(nil), s.Problems...)
	return s
}
