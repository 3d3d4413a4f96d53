// Package jdcloud reads the instance metadata of JD Cloud. Its documentation (the
// instance-metadata and custom-metadata pages of the virtual machine manual) shows
// six keys a NIC and leaves open much of the form; what this package accepts is
// wider than what it expects. An ENI's subnet, gateway and secondary addresses are in no
// key: the interfaces document in the custom-metadata key "enid" says them, and the OpenAPI where the instance
// has a role that may ask it.
package jdcloud

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds the service.
const DefaultEndpoint = "http://169.254.169.254"

// Paths below a base. Each entry of networkPath is the number of a NIC.
const (
	networkPath  = "network/"
	instancePath = "instance-id"
	addressPath  = "local-ipv4" // at the root: the instance's, so the primary ENI's
	documentPath = "attributes/customdata/custom-metadata/enid"
)

// bases are the documented path and its alias, which JD Cloud's own Kubernetes uses and
// which older regions may have alone.
var bases = []string{"/metadata/latest/", "/jcs-metadata/latest/"}

// keys are what is asked for below a NIC. Its directory is not read first: the keys are
// fixed, and how an absent one is answered is not documented anyway.
var keys = []string{"mac", "local-ipv4", "network-interface-id", "subnet-id", "floating-ipv4"}

// Source is one endpoint. It keeps the base that answered.
type Source struct {
	client  *metadata.Client
	openAPI *openAPI // nil where it is not used

	mu   sync.Mutex
	base int // index in bases
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

// UseOpenAPI lets Complete ask the OpenAPI at scheme://host[:port]; "" is OpenAPIEndpoint. It is asked
// with every poll of the metadata, of which poll is the interval, and not more often while nothing changes. UseOpenAPI
// is called before anything is fetched.
func (s *Source) UseOpenAPI(endpoint string, poll time.Duration) error {
	if endpoint == "" {
		endpoint = OpenAPIEndpoint
	}
	if _, err := metadata.NewClient(endpoint, metadata.Dial{}); err != nil {
		return fmt.Errorf("OpenAPI: %w", err)
	}
	s.openAPI = newOpenAPI(strings.TrimSuffix(endpoint, "/"), poll, s.below)
	return nil
}

// Complete adds to a snapshot what the OpenAPI says and the snapshot does not know, asked with the credentials of
// the instance's role. It comes after everything that is set on the host or by its users, as it
// asks nothing where nothing is missing. What goes wrong is told in Problems and leaves unknown what only
// the OpenAPI could have told. It takes five seconds at most.
func (s *Source) Complete(ctx context.Context, snapshot metadata.Snapshot) metadata.Snapshot {
	if s.openAPI == nil {
		return snapshot
	}
	return s.openAPI.complete(ctx, snapshot)
}

// below asks for a path below the base that answered last.
func (s *Source) below(ctx context.Context, path string) (string, error) {
	s.mu.Lock()
	base := bases[s.base]
	s.mu.Unlock()
	return s.client.Get(ctx, base+path, nil)
}

// Requests counts the requests made so far by result, see metadata.Client. Those to the OpenAPI
// have the prefix "openapi-".
func (s *Source) Requests() map[string]uint64 {
	all := s.client.Requests()
	if s.openAPI != nil {
		maps.Copy(all, s.openAPI.client.requests())
	}
	return all
}

// Fetch asks once for everything. It is an error where nothing is to be learnt: no list
// of NICs, or an empty one. Anything else that is wrong costs only the facts
// concerned and is told in Problems.
//
// It makes 4 requests and 5 for each ENI, 44 for 8 of them, and one more
// where only the alias of the base is served.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	base, listing := s.list(bounded)
	answers := gather(bounded, listing, func(ctx context.Context, path string) (string, error) {
		return s.client.Get(ctx, base+path, nil)
	})
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	return parse(answers)
}

// list is the list of NICs and the base that has it: the one that answered last time,
// or the other where that one says 404. Any other failure is no reason to change.
func (s *Source) list(ctx context.Context) (base string, listing metadata.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range bases {
		base = bases[s.base]
		body, err := s.client.Get(ctx, base+networkPath, nil)
		listing = metadata.Answer{Body: body, Err: err}
		if !listing.Absent() {
			return base, listing
		}
		s.base = (s.base + 1) % len(bases)
	}
	return base, metadata.Answer{Err: fmt.Errorf("neither %s nor %s has %s; is this a JD Cloud instance? %w", bases[0], bases[1], networkPath, listing.Err)}
}

// gather asks for everything that the list of NICs leads to.
func gather(ctx context.Context, listing metadata.Answer, get func(ctx context.Context, path string) (string, error)) metadata.Answers {
	answers := metadata.Answers{networkPath: listing}
	listed, _, err := nics(listing.Body)
	if err != nil || len(listed) == 0 {
		return answers
	}
	paths := []string{instancePath, addressPath, documentPath}
	for _, n := range listed {
		for _, key := range keys {
			paths = append(paths, n.dir+key)
		}
	}
	maps.Copy(answers, metadata.Gather(ctx, paths, get))
	return answers
}
