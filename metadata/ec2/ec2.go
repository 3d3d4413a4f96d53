// Package ec2 reads the instance metadata of Amazon EC2 (IMDS), and of clouds that
// serve the same tree. The protocol is described in the EC2 user guide, "Instance
// metadata and user data"; what is said here about propagation was seen by
// amazon-ec2-net-utils and amazon-vpc-cni-k8s.
package ec2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds IMDS over IPv4, DefaultEndpoint6 where it does over IPv6 if that is switched
// on for it (EC2 user guide, "Retrieve instance metadata").
const (
	DefaultEndpoint  = "http://169.254.169.254"
	DefaultEndpoint6 = "http://[fd00:ec2::254]"
)

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
var keys = metadata.TreeKeys{
	Addresses: []string{"local-ipv4s", "ipv6s"},
	Changing:  []string{"ipv4-prefix", "ipv6-prefix", associationsPath},
	Stable:    []string{"interface-id", "subnet-id", "subnet-ipv4-cidr-block", "subnet-ipv6-cidr-blocks"},
}

// Source is IMDS at one endpoint or two. It keeps the session tokens between fetches, and what does not change. It is
// not safe for concurrent use.
type Source struct {
	endpoints []endpoint
	first     int // the endpoint to ask first: the one that answered last
	memory    memory
}

type endpoint struct {
	client *metadata.Client
	tokens *metadata.Tokens
}

// memory is what need not be asked for with every Fetch.
type memory struct {
	tree    metadata.TreeMemory
	publics metadata.Kept // whose a public address is, while the ENI's list of them and of its own reads the same
}

// New makes a Source for an endpoint scheme://host[:port], which is the only one asked; "" is DefaultEndpoint, and
// DefaultEndpoint6 where nobody answers at that.
func New(at string, dial metadata.Dial) (*Source, error) {
	all := []string{at}
	if at == "" {
		all = []string{DefaultEndpoint, DefaultEndpoint6}
	}
	s := &Source{}
	for _, one := range all {
		client, err := metadata.NewClient(one, dial)
		if err != nil {
			return nil, err
		}
		s.endpoints = append(s.endpoints, endpoint{client, metadata.NewTokens(client, protocol)})
	}
	return s, nil
}

// Requests counts the requests made so far by result, see metadata.Client.
func (s *Source) Requests() map[string]uint64 {
	sum := map[string]uint64{}
	for _, e := range s.endpoints {
		for result, n := range e.client.Requests() {
			sum[result] += n
		}
	}
	return sum
}

// begin is the way to ask for the time of one Fetch, of the first endpoint where somebody answers, whatever it is.
func (s *Source) begin(ctx context.Context) (metadata.Get, error) {
	var errs []error
	for range s.endpoints {
		get, err := s.endpoints[s.first].tokens.Begin(ctx)
		if err == nil {
			return get, nil
		}
		errs = append(errs, err)
		if !silent(err) {
			break
		}
		s.next()
	}
	return nil, errors.Join(errs...)
}

// next makes another endpoint, if there is one, the first to be asked.
func (s *Source) next() { s.first = (s.first + 1) % len(s.endpoints) }

// silent reports whether nobody answered.
func silent(err error) bool {
	_, answered := errors.AsType[*metadata.StatusError](err)
	return err != nil && !answered && !errors.Is(err, context.Canceled)
}

// Fetch asks once for everything. It is an error where nothing is to be learnt: no token, no
// list of MACs, or an empty one. Anything else that is wrong costs only the facts
// concerned and is told in Problems.
//
// While nothing changes it makes 1 request, and for each ENI one for its directory and one for each list that it
// has (local-ipv4s, ipv6s, ipv4-prefix, ipv6-prefix, ipv4-associations/): 17 for 8 ENIs with IPv4, however many
// addresses they have. The first two make 2 more, 3 for each ENI, 4 with IPv6 too, and one for each public address;
// so do those after a change of an ENI's addresses, for that ENI, and every eight to ten minutes one for each key. The
// token is one more every six hours.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	get, err := s.begin(bounded)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	answers := s.memory.gather(bounded, func(ctx context.Context, path string) (string, error) {
		return get(ctx, root+path)
	})
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	if silent(answers.Of(tree.MACs).Err) {
		s.next() // the token was from before
	}
	return parse(answers)
}

func (m *memory) gather(ctx context.Context, get metadata.Get) metadata.Answers {
	answers := m.tree.Gather(ctx, tree, keys, get)
	var paths []string
	dirOf := map[string]string{}
	for _, dir := range tree.Dirs(answers) {
		for _, path := range associationPaths(dir, answers) {
			paths, dirOf[path] = append(paths, path), dir
		}
	}
	lists := func(path string) string {
		dir := dirOf[path]
		return answers.Of(dir+associationsPath).Body + "\n" + answers.Of(dir+"local-ipv4s").Body
	}
	maps.Copy(answers, m.publics.GatherWhile(ctx, paths, lists, get))
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
