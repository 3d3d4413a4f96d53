// Package ec2 reads the instance metadata of Amazon EC2 (IMDS), and of clouds that
// serve the same tree. The protocol is described in the EC2 user guide, "Instance
// metadata and user data"; what is said here about propagation was seen by
// amazon-ec2-net-utils and amazon-vpc-cni-k8s.
package ec2

import (
	"context"
	"fmt"
	"maps"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds IMDS over IPv4.
const DefaultEndpoint = "http://169.254.169.254"

// root is what every path below begins with.
const root = "/latest/meta-data/"

// origin is what status shows as the source of each fact.
const origin = "ec2"

// associationsPath, below a MAC, has one entry a public address.
const associationsPath = "ipv4-associations/"

var tree = metadata.MACTree{
	Origin:   origin,
	Root:     root,
	Primary:  "mac",
	Instance: "instance-id",
	MACs:     "network/interfaces/macs/",
}

// protocol is that of IMDSv2, with the longest life of a token that IMDS gives.
var protocol = metadata.TokenProtocol{
	Path:        "/latest/api/token",
	TTLHeader:   "X-Aws-Ec2-Metadata-Token-Ttl-Seconds",
	TokenHeader: "X-Aws-Ec2-Metadata-Token",
	TTL:         21600 * time.Second,
}

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
	tokens *metadata.Tokens
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
	return &Source{client: client, tokens: metadata.NewTokens(client, protocol)}, nil
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
	get, err := s.tokens.Begin(bounded)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	answers := gather(bounded, func(ctx context.Context, path string) (string, error) {
		return get(ctx, root+path)
	})
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	return parse(answers)
}

// gather asks level by level, because each level lists what the next one has.
func gather(ctx context.Context, get metadata.Get) metadata.Answers {
	answers := metadata.Gather(ctx, []string{tree.Primary, tree.Instance, tree.MACs}, get)
	dirs := tree.Dirs(answers)
	maps.Copy(answers, metadata.Gather(ctx, dirs, get))

	var leaves, associations []string
	for _, dir := range dirs {
		leaves = append(leaves, metadata.ToAsk(dir, answers.Of(dir), keys)...)
	}
	maps.Copy(answers, metadata.Gather(ctx, leaves, get))
	for _, dir := range dirs {
		associations = append(associations, associationPaths(dir, answers)...)
	}
	maps.Copy(answers, metadata.Gather(ctx, associations, get))
	return answers
}

// associationPaths are the paths of an ENI's public addresses.
func associationPaths(dir string, answers metadata.Answers) []string {
	var paths []string
	public, _ := metadata.Lines(metadata.IPv4)(answers.Of(dir + associationsPath).Body)
	for _, p := range public {
		paths = append(paths, dir+associationsPath+p.String())
	}
	return paths
}
