// Package oci reads the instance metadata of Oracle Cloud Infrastructure (IMDS, version 2). The protocol is described
// in Oracle's documentation, "Getting Instance Metadata"; what is said here about values that there are none of, and
// about bare metal, was seen by cloud-init, oci-utils and NetworkManager.
//
// Secondary IPv4 addresses of a VNIC are not in the metadata. The IPv4 addresses that are told are therefore never
// known to be all: the ENI may gain and never loses an address, until an overlay document lists them. A VNIC that is
// detached is taken down all the same, as the list of VNICs is whole.
package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds the service over IPv4. Over IPv6 it is http://[fd00:c1::a9fe:a9fe].
const DefaultEndpoint = "http://169.254.169.254"

const (
	vnicsPath    = "/opc/v2/vnics/"
	instancePath = "/opc/v2/instance/id"
)

// Source is one endpoint. It keeps the instance's id.
type Source struct {
	client *metadata.Client
	id     metadata.Once
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

// Fetch asks once for everything: one request, however many VNICs there are, and one more for the instance's id until
// that is known. It is an error where nothing is to be learnt: no answer, or one that lists no VNIC that can be
// read. Anything else that is wrong costs only the facts concerned and is told in Problems.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	body, err := s.get(bounded, vnicsPath)
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	if err != nil {
		return metadata.Snapshot{}, explain(err)
	}
	snapshot, err := parse(body)
	if err == nil {
		// The id is shown, and never needed: without it there is no problem.
		snapshot.Instance = s.id.Get(bounded, func(ctx context.Context) (string, error) { return s.get(ctx, instancePath) })
	}
	return snapshot, err
}

// Probe asks once for the VNICs, and is an error where the answer is not Oracle's list of them.
func (s *Source) Probe(ctx context.Context) error {
	body, err := s.get(ctx, vnicsPath)
	if err != nil {
		return explain(err)
	}
	_, err = parse(body)
	return err
}

func (s *Source) get(ctx context.Context, path string) (string, error) {
	return s.client.Get(ctx, path, http.Header{"Authorization": {"Bearer Oracle"}})
}

// explain adds to an error what Oracle means by it.
func explain(err error) error {
	answer, ok := errors.AsType[*metadata.StatusError](err)
	switch {
	case !ok && metadata.TimedOut(err):
		return fmt.Errorf("%w; Oracle answers only what leaves by the primary VNIC: see ip route get 169.254.169.254", err)
	case ok && (answer.Status == http.StatusBadRequest || answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden):
		return fmt.Errorf("%w; check that no proxy forwards the request", err)
	}
	return err
}
