// Package azure reads the instance metadata of Microsoft Azure (IMDS). The protocol is described in Azure's
// documentation, "Azure Instance Metadata Service"; what is said here about IPv6 subnets, and about what a VM sees
// while an ENI is being attached, was seen by cloud-init.
package azure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"

	"enid/metadata"
)

// DefaultEndpoint is where a VM finds IMDS. No IPv6 address of it is known.
const DefaultEndpoint = "http://169.254.169.254"

const (
	networkPath  = "/metadata/instance/network"
	instancePath = "/metadata/instance/compute/vmId" // a leaf of the tree: text, not JSON
)

// versions of the API, in the order in which they are tried: where one is not known, the answer is 400. What is read
// here is the same in all of them.
var versions = []string{"2021-08-01", "2019-06-01", "2017-04-02"}

// Source is one IMDS endpoint. It keeps the version that was answered last, and the VM's id.
type Source struct {
	client *metadata.Client

	id metadata.Once // of the VM

	mu      sync.Mutex
	version int // index in versions
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

// Limit is how many requests a second may be made here at most. IMDS answers five of a VM, all its programs together,
// so that one is left for others.
func (s *Source) Limit() float64 { return 4 }

// Fetch asks once for everything: one request, however many ENIs there are, and one more for the VM's id until that
// is known. It is an error where nothing is to be learnt: no answer, or one that lists no ENI that can be read. A
// status that Azure sends while an ENI is attached or the service is updated is an error as well: the agent asks
// again soon. Anything else that is wrong costs only the facts concerned and is told in Problems.
//
// Which ENI is the primary is not in the answer, and the order of the list is not promised. But IMDS answers only
// what comes from the primary ENI's primary address: whose address the connection has is the primary. Where it is
// nobody's in the list, or more than one's, nobody is called primary.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	body, from, err := s.network(bounded)
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	if err != nil {
		return metadata.Snapshot{}, explain(err)
	}
	snapshot, err := parse(body, from)
	if err == nil {
		snapshot.Instance = s.instance(bounded)
	}
	return snapshot, err
}

// Probe asks once for the NICs, and is an error where the answer is not Azure's list of them.
func (s *Source) Probe(ctx context.Context) error {
	body, from, err := s.network(ctx)
	if err != nil {
		return explain(err)
	}
	_, err = parse(body, from)
	return err
}

// network is the document about the NICs, and the address from which it was asked for.
func (s *Source) network(ctx context.Context) (body string, from netip.Addr, err error) {
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { from = local(c.Conn) }})
	s.mu.Lock()
	version := s.version
	s.mu.Unlock()
	for ; version < len(versions); version++ {
		body, err = s.get(traced, networkPath+"?api-version="+versions[version])
		if !isStatus(err, http.StatusBadRequest) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version % len(versions) // where all are refused, the next Fetch begins anew
	return body, from, err
}

// instance is the VM's id. It is shown, and never needed: without it there is no problem.
func (s *Source) instance(ctx context.Context) string {
	s.mu.Lock()
	path := instancePath + "?api-version=" + versions[s.version] + "&format=text"
	s.mu.Unlock()
	return s.id.Get(ctx, func(ctx context.Context) (string, error) { return s.get(ctx, path) })
}

func (s *Source) get(ctx context.Context, path string) (string, error) {
	return s.client.Get(ctx, path, http.Header{"Metadata": {"true"}})
}

// local is the host's own address of a connection, invalid where it has none.
func local(c net.Conn) netip.Addr {
	a, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// explain adds to an error what Azure means by it.
func explain(err error) error {
	answer, ok := errors.AsType[*metadata.StatusError](err)
	switch {
	case !ok && metadata.TimedOut(err):
		return fmt.Errorf("%w; Azure answers only what leaves by the primary ENI with its primary address: see ip route get 169.254.169.254", err)
	case !ok:
	case answer.Status == http.StatusBadRequest:
		return fmt.Errorf("%w to every version of the API from %s on; check that no proxy forwards the request", err, versions[len(versions)-1])
	case answer.Status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: Azure answers 5 requests a second of a VM; see which of its other programs ask so often", err)
	case answer.Status == http.StatusGone, answer.Status == http.StatusNotFound, answer.Status >= 500:
		return fmt.Errorf("%w, as it does while an ENI is attached, and for 70 seconds at most while the service is updated", err)
	}
	return err
}

func isStatus(err error, status int) bool {
	answer, ok := errors.AsType[*metadata.StatusError](err)
	return ok && answer.Status == status
}
