// Package volcengine reads the instance metadata of Volcengine and BytePlus ECS. The protocol is described in
// the ECS documentation, "Instance metadata" (docs/6396/113780); the keys, and what is said here about NICs
// without keys, are those that cello, Volcengine's own CNI plugin, reads and says.
//
// Not known: whether private_ipv6s is served by now (cello says that it is not, and it is read where it is), how long an ENI takes
// to appear, how often the service may be asked, and whether directories of keys can be listed, so none is asked for.
package volcengine

import (
	"context"
	"fmt"
	"maps"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds the service.
const DefaultEndpoint = "http://100.96.0.96"

// origin is what status shows as the source of each fact.
const origin = "volcengine"

var tree = metadata.MACTree{
	Origin:   origin,
	Root:     "/latest/",
	Primary:  "mac",
	Instance: "instance_id",
	MACs:     "network/interfaces/macs",
}

// protocol is that of the hardened mode, with the life of a token that Volcengine's SDK asks for.
var protocol = metadata.TokenProtocol{
	Path:        "/latest/api/token",
	TTLHeader:   "X-Volc-Ecs-Metadata-Token-Ttl-Seconds",
	TokenHeader: "X-Volc-Ecs-Metadata-Token",
	TTL:         21600 * time.Second,
}

// The keys below a MAC, by name: those of IPv6 are spelled as cello has them.
const (
	idKey       = "network_interface_id"
	subnetKey   = "subnet_id"
	primaryKey  = "primary_ip_address"
	ipv4Key     = "private_ipv4s"
	ipv6Key     = "private_ipv6s"
	cidr4Key    = "subnet_cidr_block"
	gateway4Key = "gateway"
	gateway6Key = "ipv6-gateway"
)

// Source is one endpoint of the service. It keeps the session token between fetches, and what does not change.
type Source struct {
	client *metadata.Client
	tokens *metadata.Tokens
	memory memory
}

// memory is what need not be asked for with every Fetch.
type memory struct{ top, keys metadata.Kept }

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

// Probe asks once, and for a token before that, for the instance's id, at a path that no other cloud has. It is an
// error where the answer is none.
func (s *Source) Probe(ctx context.Context) error {
	get, err := s.tokens.Begin(ctx)
	if err != nil {
		return err
	}
	body, err := get(ctx, tree.Root+tree.Instance)
	if err != nil {
		return err
	}
	if _, err := metadata.Identifier(body); err != nil {
		return fmt.Errorf("%s%s: %w", tree.Root, tree.Instance, err)
	}
	return nil
}

// Fetch asks for everything that may have changed. It is an error where nothing is to be learnt: no token where one is
// wanted, no list of MACs, or an empty one. Anything else that is wrong costs only the facts
// concerned and is told in Problems.
//
// While nothing changes it makes 1 request and 2 for each NIC, one a family: 17 for 8 ENIs with IPv4, however many addresses they
// have. The first two make 2 more, and 5 for each ENI, 6 with IPv6; so do those after a change of an ENI's addresses, for
// that ENI, and every eight to ten minutes one for each key. The token is one more every six hours.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	get, err := s.tokens.Begin(bounded)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	answers := s.memory.gather(bounded, func(ctx context.Context, path string) (string, error) {
		return get(ctx, tree.Root+path)
	})
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	return parse(answers)
}

// gather asks for the lists of addresses first. A NIC that has none is asked nothing more: it may be one whose keys
// all fail. What is remembered of an ENI goes with its lists, so that it is never older than they are.
func (m *memory) gather(ctx context.Context, get metadata.Get) metadata.Answers {
	answers := m.top.Gather(ctx, []string{tree.Primary, tree.Instance, tree.MACs}, func(path string) bool { return path != tree.MACs }, get)
	dirs := tree.Dirs(answers)
	var lists, keys []string
	for _, dir := range dirs {
		lists = append(lists, dir+ipv4Key, dir+ipv6Key)
	}
	maps.Copy(answers, metadata.Gather(ctx, lists, get))

	dirOf := map[string]string{}
	for _, dir := range dirs {
		for _, path := range toAsk(dir, answers) {
			keys, dirOf[path] = append(keys, path), dir
		}
	}
	addresses := func(path string) string {
		dir := dirOf[path]
		return answers.Of(dir+ipv4Key).Body + "\n" + answers.Of(dir+ipv6Key).Body
	}
	maps.Copy(answers, m.keys.GatherWhile(ctx, keys, addresses, get))
	return answers
}

// toAsk are the paths of the other keys of an ENI that has addresses.
func toAsk(dir string, answers metadata.Answers) []string {
	var paths []string
	v4, v6 := answers.Of(dir+ipv4Key), answers.Of(dir+ipv6Key)
	if v4.Err != nil && v6.Err != nil {
		return nil
	}
	for _, key := range []string{idKey, subnetKey, primaryKey, cidr4Key, gateway4Key} {
		paths = append(paths, dir+key)
	}
	if v6.Err == nil {
		paths = append(paths, dir+gateway6Key)
	}
	return paths
}
