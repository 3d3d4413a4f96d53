// Package gcp reads the instance metadata of Google Compute Engine. The protocol is described in Google's
// documentation, "View and query VM metadata"; what is said here about the fields of a network interface, and about
// waiting for a change, was read in google-guest-agent, which lives on both. Google's own text on ETags was not
// read, so nothing is trusted to an ETag alone: what a wait answers is compared with what was known.
package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds its metadata: metadata.google.internal without asking a name server. No
// IPv6 address of it is known.
const DefaultEndpoint = "http://169.254.169.254"

// The documents. Everything about the instance is one: its interfaces, its dynamic interfaces, which are beside them,
// and its id, as they are at the same moment. The folders by themselves would be two requests, and the one of the
// dynamic interfaces cannot be waited for while there are none. The price is that the user's attributes come along,
// half a MiB at most; nothing of them is kept or told.
const (
	instancePath = "/computeMetadata/v1/instance/?recursive=true&alt=json"
	idPath       = "/computeMetadata/v1/instance/id"
)

// flavor is the header of every request, and of every answer: a server that lacks it is another one.
const (
	flavor = "Metadata-Flavor"
	google = "Google"
)

// maintenance is the longest pause after a 503: the service says so for less than a second while it is updated.
const maintenance = time.Second

// Source is one metadata endpoint. It remembers the newest answer, to tell what is a change.
type Source struct {
	client *metadata.Client

	mu     sync.Mutex
	newest picture
}

// picture is what an answer showed of what matters here.
type picture struct {
	etag     string // "" where there was no answer yet
	snapshot metadata.Snapshot
}

// New makes a Source for an endpoint scheme://host[:port]; "" is DefaultEndpoint.
func New(endpoint string, dial metadata.Dial) (*Source, error) {
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	client, err := metadata.NewClient(endpoint, dial)
	if err != nil {
		return nil, err
	}
	return &Source{client: client}, nil
}

// Requests counts the requests made so far by result, see metadata.Client.
func (s *Source) Requests() map[string]uint64 { return s.client.Requests() }

// Fetch asks once for everything: one request, however many ENIs there are, and a second one after a 503 that
// does not say when to come back. It is an error where nothing is to be learnt: no answer, one that is not Google's, or one that lists no ENI that can be
// read. Anything else that is wrong costs only the facts concerned and is told in Problems.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	d, err := s.get(bounded, instancePath, 0)
	if unavailable(err) && pause(bounded) {
		d, err = s.get(bounded, instancePath, 0)
	}
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	if err != nil {
		return metadata.Snapshot{}, explain(err)
	}
	snapshot, err := parse(d.Body)
	if err == nil {
		s.remember(picture{d.Header.Get("ETag"), clone(snapshot)})
	}
	return snapshot, err
}

// Probe asks once for the instance's id. It is an error where the answer is not one, or does not say that it is
// Google's.
func (s *Source) Probe(ctx context.Context) error {
	d, err := s.get(ctx, idPath, 0)
	if err != nil {
		return explain(err)
	}
	if _, err := strconv.ParseUint(strings.TrimSpace(d.Body), 10, 64); err != nil {
		return fmt.Errorf("metadata %s: %.80q is not an instance's number; check what answers at the metadata endpoint", idPath, d.Body)
	}
	return nil
}

// get is a document that Google's server answered. With patience it may take so long.
func (s *Source) get(ctx context.Context, path string, patience time.Duration) (metadata.Document, error) {
	d, err := s.client.GetDocument(ctx, path, http.Header{flavor: {google}}, patience)
	if err == nil && d.Header.Get(flavor) != google {
		err = fmt.Errorf("metadata %s: the answer has no header %s: %s, so it is not Google's; check what answers at the metadata endpoint", path, flavor, google)
	}
	return d, err
}

func (s *Source) remember(p picture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = p
}

func (s *Source) known() picture {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// unavailable is a 503 that does not say itself when to come back.
func unavailable(err error) bool {
	answer, ok := errors.AsType[*metadata.StatusError](err)
	return ok && answer.Status == http.StatusServiceUnavailable && answer.RetryAfter == 0
}

// pause waits between half of maintenance and all of it. It is false when ctx ends before.
func pause(ctx context.Context) bool {
	wait := metadata.Backoff{Min: maintenance, Max: maintenance}
	timer := time.NewTimer(wait.Next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// explain adds to an error what it means here.
func explain(err error) error {
	answer, isStatus := errors.AsType[*metadata.StatusError](err)
	switch {
	case metadata.TimedOut(err):
		return fmt.Errorf("%w; Compute Engine answers only what leaves by the primary NIC: see ip route get 169.254.169.254", err)
	case isStatus && answer.Status == http.StatusForbidden:
		return fmt.Errorf("%w: Compute Engine refuses requests without the header %s: %s, and those that a proxy forwarded; see that nothing stands in between", err, flavor, google)
	}
	return err
}
