// Package aliyun reads the instance metadata of Alibaba Cloud ECS. The protocol is
// described in the ECS user guide, "View instance metadata"; what is said here about the form of the
// values was seen by NetworkManager's nm-cloud-setup, cloud-init and terway.
//
// Not known: how long an ENI takes to appear, how often the service may be asked, and whether
// it answers on secondary ENIs. The document meta-data/all, which newer regions have, is not
// read: nobody says that it has all of the keys, so one that it lacks could not be told from one that there is none of.
package aliyun

import (
	"context"
	"fmt"
	"time"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds the service over IPv4. It is at http://[fd00:100::100:200] too.
const DefaultEndpoint = "http://100.100.100.200"

// origin is what status shows as the source of each fact.
const origin = "aliyun"

var tree = metadata.MACTree{
	Origin:   origin,
	Root:     "/latest/meta-data/",
	Primary:  "mac",
	Instance: "instance-id",
	MACs:     "network/interfaces/macs/",
}

// protocol is that of the hardened mode, with the longest life of a token that there is.
var protocol = metadata.TokenProtocol{
	Path:        "/latest/api/token",
	TTLHeader:   "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds",
	TokenHeader: "X-Aliyun-Ecs-Metadata-Token",
	TTL:         21600 * time.Second,
}

// The keys below a MAC, of which its directory lists those that there are.
const (
	idKey        = "network-interface-id"
	subnetKey    = "vswitch-id"
	primaryKey   = "primary-ip-address"
	ipv4Key      = "private-ipv4s"
	ipv6Key      = "ipv6s"
	prefix4Key   = "ipv4-prefixes"
	prefix6Key   = "ipv6-prefixes"
	cidr4Key     = "vswitch-cidr-block"
	cidr6Key     = "vswitch-ipv6-cidr-block"
	gateway4Key  = "gateway"
	gateway6Key  = "ipv6-gateway"
	probeVSwitch = "vswitch-cidr-block" // of the primary ENI, at the top
)

var keys = metadata.TreeKeys{
	Addresses: []string{ipv4Key, ipv6Key},
	Changing:  []string{prefix4Key, prefix6Key},
	Stable:    []string{idKey, subnetKey, primaryKey, cidr4Key, cidr6Key, gateway4Key, gateway6Key},
}

// Source is one endpoint of the service. It keeps the session token between fetches, and what does not change.
type Source struct {
	client *metadata.Client
	tokens *metadata.Tokens
	memory metadata.TreeMemory
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

// Probe asks once, and for a token before that, and is an error where the answer is not what only Alibaba Cloud
// gives: the range of the primary ENI's vSwitch, of which other clouds with the same tree have no key.
func (s *Source) Probe(ctx context.Context) error {
	get, err := s.tokens.Begin(ctx)
	if err != nil {
		return err
	}
	body, err := get(ctx, tree.Root+probeVSwitch)
	if err != nil {
		return err
	}
	if _, err := metadata.Prefix4(body); err != nil {
		return fmt.Errorf("%s%s: %w", tree.Root, probeVSwitch, err)
	}
	return nil
}

// Fetch asks for everything that may have changed. It is an error where nothing is to be learnt: no token, no
// list of MACs, or an empty one. Anything else that is wrong costs only the facts
// concerned and is told in Problems.
//
// While nothing changes it makes 1 request, one for each ENI, and one for each of its lists (private-ipv4s, ipv6s,
// ipv4-prefixes, ipv6-prefixes): 17 for 8 ENIs with IPv4, however many addresses they have. The first two
// make 2 more, and 5 for each ENI, 7 with IPv6; so do those after a change of an ENI's
// addresses, for that ENI, and every eight to ten minutes one for each key. The token is one more every six hours.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	get, err := s.tokens.Begin(bounded)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	answers := s.memory.Gather(bounded, tree, keys, func(ctx context.Context, path string) (string, error) {
		return get(ctx, tree.Root+path)
	})
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	return parse(answers)
}
