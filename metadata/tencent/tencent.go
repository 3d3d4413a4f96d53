// Package tencent reads the instance metadata of Tencent Cloud's CVM. The keys are those of the vendor's document
// "Instance metadata" (product/213/4934): a text tree without tokens, whose paths know upper and lower case.
//
// It has no key for an ENI's id, so the MAC names the ENI; none for IPv6, so only IPv4 is known here; and no delegated
// prefixes, as the cloud has none. How fast the service follows a change, and how much it may be asked, is
// not documented.
package tencent

import (
	"context"
	"fmt"

	"enid/metadata"
)

// DefaultEndpoint is where an instance finds the service: its address, because the documented
// name, metadata.tencentyun.com, needs a DNS that works, and without the ENIs there may be none. Where the address is not
// served, the name may be set as the endpoint.
const DefaultEndpoint = "http://169.254.0.23"

// root is what every path below begins with.
const root = "/latest/meta-data/"

// origin is what status shows as the source of each fact.
const origin = "tencent"

var tree = metadata.MACTree{
	Origin:   origin,
	Root:     root,
	Primary:  "mac",
	Instance: "instance-id",
	MACs:     "network/interfaces/macs/",
}

// Keys below a MAC. The entries of listKey are directories, one for each address, with the keys below them.
const (
	listKey    = "local-ipv4s/"
	primaryKey = "primary-local-ipv4"
	subnetKey  = "subnet-id"
	publicsKey = "public-ipv4s"

	gatewayKey = "gateway" // below an address
	maskKey    = "subnet-mask"
	publicKey  = "public-ipv4"
)

// Source is one endpoint. It keeps between fetches what does not change.
type Source struct {
	client *metadata.Client
	memory memory
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

// Fetch asks once for everything that may have changed. It is an error where nothing is to be learnt: no list of
// MACs, or an empty one. Anything else that is wrong costs only the facts concerned and is told in Problems.
//
// It makes 3 requests and one for each ENI, 11 for 8 of them, however many addresses these have: its addresses are
// asked for each time, and the public ones of one ENI in turn, since they are only shown. Four more are made for an ENI
// that is new, until two answers said the same, and the one about its primary address each time that its list changes. A
// secondary address of another subnet than the ENI's costs one more in the same way; so does each address of an ENI
// that has public addresses besides the primary's, when it is its turn.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	answers := s.memory.gather(bounded, s.get)
	if ctx.Err() != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata fetch: %w", context.Cause(ctx))
	}
	return parse(answers)
}

// Probe is nil where this service answers as it should: with a list of MACs, of which the first has a key that no other cloud's
// tree has. There is nothing to authenticate with. It makes two requests.
func (s *Source) Probe(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, metadata.FetchTimeout)
	defer cancel()
	body, err := s.get(bounded, tree.MACs)
	if err != nil {
		return fmt.Errorf("no Tencent Cloud metadata: %w", err)
	}
	listed, _ := tree.List(body)
	if len(listed) == 0 {
		return fmt.Errorf("no Tencent Cloud metadata: %s%s lists no MAC address, it says %.80q", root, tree.MACs, body)
	}
	path := listed[0].Dir + primaryKey
	answers := metadata.Gather(bounded, []string{path}, s.get)
	if _, err := metadata.Read(answers, path, metadata.IPv4); err != nil {
		return fmt.Errorf("no Tencent Cloud metadata: %w", err)
	}
	return nil
}

func (s *Source) get(ctx context.Context, path string) (string, error) {
	return s.client.Get(ctx, root+path, nil)
}
