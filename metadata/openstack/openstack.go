// Package openstack reads the metadata of OpenStack instances, and of Huawei Cloud, which serves the same
// document with two more keys on each link: from the metadata service, or from the config drive.
//
// The document network_data.json is described by Nova (nova/virt/netutils.py get_network_metadata, and the schema
// in its user guide, "Metadata"): a link for each port, a network for each address family of a port. It shows one
// address of a family and port, the first, and none at all where the subnet has a DHCP server, which is the usual
// case; so nothing is ever whole, and what is left out is for the network's DHCP server to say
// (metadata.Interface.ByDHCP). Nova answers from a cache of some 15 seconds, and has no long poll.
package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds the service over IPv4. Over IPv6 it is at
// http://[fe80::a9fe:a9fe%25eth0], with the NIC's name.
const DefaultEndpoint = "http://169.254.169.254"

// Paths of the service. The tree that EC2 gave the world has no list of NICs here, but the first fixed address.
const (
	networkPath  = "/openstack/latest/network_data.json"
	instancePath = "/openstack/latest/meta_data.json"
	localPath    = "/latest/meta-data/local-ipv4"
)

// protocol is Huawei Cloud's (ecs_03_2167, of one region alone). The lifetime is that of EC2; what is allowed
// there is not known.
var protocol = metadata.TokenProtocol{
	Path: "/meta-data/latest/api/token", TTLHeader: "X-Metadata-Token-Ttl-Seconds", TokenHeader: "X-Metadata-Token", TTL: 6 * time.Hour,
}

// driveScheme begins an endpoint that is a mounted config drive.
const driveScheme = "file://"

// Source is one endpoint, and the config drives that are looked for where it does not answer. It remembers what does
// not change while a port stays attached. It is not safe for concurrent use.
type Source struct {
	client *metadata.Client // nil: there is the drive alone
	tokens *metadata.Tokens
	wanted bool // the service wants tokens
	served bool // the service has answered
	drives []string
	kept   memory
}

// memory is what need not be asked for again.
type memory struct {
	instance string
	primary  metadata.MAC // zero: not known
}

// New makes a Source for an endpoint: scheme://host[:port] of a metadata service; or file:///folder where a config
// drive is mounted, which alone is read then; "" is DefaultEndpoint. A service that has never answered is stood in
// for by a config drive that somebody has mounted at /mnt/config or /media/configdrive: to find and mount the block
// device labelled config-2 is the host's business.
func New(endpoint string, dial metadata.Dial) (*Source, error) {
	if dir, ok := strings.CutPrefix(endpoint, driveScheme); ok {
		if !strings.HasPrefix(dir, "/") {
			return nil, fmt.Errorf("metadata endpoint %q: want file:///folder, such as file:///mnt/config, for a config drive", endpoint)
		}
		return &Source{drives: []string{dir}}, nil
	}
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	client, err := metadata.NewClient(endpoint, dial)
	if err != nil {
		return nil, err
	}
	return &Source{client: client, tokens: metadata.NewTokens(client, protocol), drives: mountPoints}, nil
}

// Requests counts the requests made so far by result, see metadata.Client.
func (s *Source) Requests() map[string]uint64 {
	if s.client == nil {
		return map[string]uint64{}
	}
	return s.client.Requests()
}

// Probe asks for meta_data.json, of the service or else of a config drive: nil where it holds the uuid of an
// instance.
func (s *Source) Probe(ctx context.Context) error {
	t, err := s.open(ctx, instancePath)
	if err != nil {
		return err
	}
	_, err = metadata.Read(metadata.Answers{instancePath: {Body: t.first}}, instancePath, uuid)
	if err != nil {
		return fmt.Errorf("%s: %w", t.origin, err)
	}
	return nil
}

// Fetch is an error where there is no list of links, or an empty one. Anything else that is wrong costs only the
// facts concerned and is told in Problems.
//
// It makes one request, whatever the number of ENIs and addresses; the first Fetch makes three, and each makes one
// more until it is known which ENI is the primary. Where the service wants a token, that is one more now and then.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	t, err := s.open(bounded, networkPath)
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	if err != nil {
		return metadata.Snapshot{}, err
	}
	answers := gather(bounded, t, s.kept)
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	snapshot, err := parse(answers, t, s.kept)
	if err == nil {
		s.kept.learn(snapshot)
	}
	return snapshot, err
}

// learn keeps the instance's id for good, and the primary while it is listed.
func (m *memory) learn(s metadata.Snapshot) {
	m.instance, m.primary = s.Instance, metadata.MAC{}
	for _, i := range s.Interfaces {
		if i.Primary.Value {
			m.primary = i.MAC
		}
	}
}

// tree is where a Fetch reads: the service, or a drive.
type tree struct {
	origin  string // what status shows as the source of each fact
	isDrive bool
	get     metadata.Get
	first   string // the body of the path that it was opened with
}

// open asks the service for a path, and looks for it on a drive where there is no such service. One that has
// answered before is only away: a drive says what was so at boot, which by then is worth less than what is
// believed.
func (s *Source) open(ctx context.Context, path string) (tree, error) {
	var refused error
	if s.client != nil {
		t, err := s.service(ctx, path)
		if err == nil {
			s.served = true
			return t, nil
		}
		if s.served || !isAway(err) {
			return tree{}, err
		}
		refused = err
	}
	for _, dir := range s.drives {
		d := drive(dir)
		body, err := d.get(ctx, path)
		if err == nil {
			return tree{"config drive " + dir, true, d.get, body}, nil
		}
		if !errors.Is(err, metadata.ErrNotFound) || s.client == nil {
			refused = errors.Join(refused, err)
		}
	}
	return tree{}, refused
}

// isAway reports whether nothing answered as a service of OpenStack would, or it has no such path.
func isAway(err error) bool {
	_, isStatus := errors.AsType[*metadata.StatusError](err)
	return !isStatus || errors.Is(err, metadata.ErrNotFound)
}

// service asks without a token until one is wanted, because Nova's and most of Huawei's services know none.
func (s *Source) service(ctx context.Context, path string) (tree, error) {
	plain := func(ctx context.Context, path string) (string, error) { return s.client.Get(ctx, path, nil) }
	if !s.wanted {
		body, err := plain(ctx, path)
		status, _ := errors.AsType[*metadata.StatusError](err)
		if status == nil || status.Status != http.StatusUnauthorized && status.Status != http.StatusForbidden {
			return tree{origin, false, plain, body}, err
		}
		s.wanted = true
	}
	get, err := s.tokens.Begin(ctx)
	var body string
	if err == nil {
		body, err = get(ctx, path)
	}
	s.wanted = err == nil // else the next Fetch begins without one again
	return tree{origin, false, get, body}, err
}

// gather asks for what is not known yet besides the network document.
func gather(ctx context.Context, t tree, known memory) metadata.Answers {
	var paths []string
	if known.instance == "" {
		paths = append(paths, instancePath)
	}
	if known.primary == (metadata.MAC{}) || !lists(t.first, known.primary) {
		paths = append(paths, localPath)
	}
	answers := metadata.Gather(ctx, paths, t.get)
	answers[networkPath] = metadata.Answer{Body: t.first}
	return answers
}
