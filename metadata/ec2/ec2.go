// Package ec2 reads the instance metadata of Amazon EC2 (IMDS), and of clouds that
// serve the same tree. The protocol is described in the EC2 user guide, "Instance
// metadata and user data"; what is said here about propagation was seen by
// amazon-ec2-net-utils and amazon-vpc-cni-k8s.
package ec2

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds IMDS over IPv4.
const DefaultEndpoint = "http://169.254.169.254"

// Paths below root. Each entry of macsPath is a MAC address with a slash.
const (
	root             = "/latest/meta-data/"
	macPath          = "mac" // the primary ENI's
	instancePath     = "instance-id"
	macsPath         = "network/interfaces/macs/"
	associationsPath = "ipv4-associations/" // below a MAC: one entry a public address
)

// keys are what is asked for below a MAC, where its directory lists it.
// device-number is not among them: until an ENI has propagated it reads 0, the
// primary's number.
var keys = []string{
	"interface-id", "subnet-id",
	"local-ipv4s", "subnet-ipv4-cidr-block", "ipv4-prefix",
	"ipv6s", "subnet-ipv6-cidr-blocks", "ipv6-prefix",
	associationsPath,
}

// Source is one IMDS endpoint. It keeps the session token between fetches.
type Source struct {
	client *metadata.Client
	tokens *tokens
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
	return &Source{client: client, tokens: &tokens{client: client}}, nil
}

// Requests counts the requests made so far by result, see metadata.Client.
func (s *Source) Requests() map[string]uint64 { return s.client.Requests() }

// Fetch asks once for everything. It is an error where nothing is to be learnt: no token, no
// list of MACs, or an empty one. Anything else that is wrong costs only the facts
// concerned and is told in Problems.
//
// It makes 3 requests, one for each ENI, one for each key that an ENI has (4 with IPv4
// alone, 6 with IPv6 too, one more for delegated prefixes of a family and for public
// addresses), and one for each public address: 43 for 8 ENIs with IPv4. The token is one
// more every six hours.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	before, err := s.tokens.current(bounded)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	answers := gather(bounded, func(ctx context.Context, path string) (string, error) {
		return s.tokens.get(ctx, root+path, before)
	})
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	return parse(answers)
}

// gather asks level by level, because each level lists what the next one has.
func gather(ctx context.Context, get func(ctx context.Context, path string) (string, error)) metadata.Answers {
	answers := metadata.Gather(ctx, []string{macPath, instancePath, macsPath}, get)
	listed, _ := macs(answers.Of(macsPath).Body)

	var dirs, leaves, associations []string
	for _, m := range listed {
		dirs = append(dirs, m.dir)
	}
	maps.Copy(answers, metadata.Gather(ctx, dirs, get))
	for _, dir := range dirs {
		leaves = append(leaves, toAsk(dir, answers.Of(dir))...)
	}
	maps.Copy(answers, metadata.Gather(ctx, leaves, get))
	for _, dir := range dirs {
		associations = append(associations, associationPaths(dir, answers)...)
	}
	maps.Copy(answers, metadata.Gather(ctx, associations, get))
	return answers
}

// toAsk are the paths to ask for below a MAC's directory: the keys that it lists;
// none where the directory itself is absent; and all where the listing was
// not readable or names nothing that we know, for then it may be at fault and the
// keys need not be.
func toAsk(dir string, listing metadata.Answer) []string {
	if listing.Absent() {
		return nil
	}
	names := map[string]bool{}
	for name := range strings.Lines(listing.Body) {
		names[strings.TrimSpace(name)] = true
	}
	var some, all []string
	for _, key := range keys {
		all = append(all, dir+key)
		if names[key] {
			some = append(some, dir+key)
		}
	}
	if len(some) == 0 {
		return all
	}
	return some
}

// associationPaths are the paths of an ENI's public addresses.
func associationPaths(dir string, answers metadata.Answers) []string {
	var paths []string
	public, _ := lines(answers.Of(dir+associationsPath).Body, ipv4)
	for _, p := range public {
		paths = append(paths, dir+associationsPath+p.String())
	}
	return paths
}
