package cloud

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
)

// document is the interfaces document of the file provider.
type document struct {
	Interfaces []documentENI `json:"interfaces"`
}

// quoted is a string that YAML 1.1 might read as a number in base 60: digits and
// colons.
type quoted string

// MarshalYAML keeps the quotes.
func (q quoted) MarshalYAML() ([]byte, error) { return []byte(strconv.Quote(string(q))), nil }

type documentENI struct {
	MAC       quoted            `json:"mac"`
	ID        string            `json:"id"`
	Primary   bool              `json:"primary"`
	Subnets   []string          `json:"subnets"`
	Gateway   string            `json:"gateway"`
	Addresses []quoted          `json:"addresses"`
	Prefixes  []string          `json:"prefixes,omitempty"`
	Local     []string          `json:"local,omitempty"`
	VLAN      *documentVLAN     `json:"vlan,omitempty"`
	MTU       int               `json:"mtu,omitempty"`
	Public    map[string]string `json:"public,omitempty"`
}

type documentVLAN struct {
	Parent quoted `json:"parent"`
	ID     int    `json:"id"`
}

// Document is the instance's interfaces document in YAML: what a file for the
// file provider, or an overlay, should hold. It follows the delay, not the
// steps of propagation and not the faults.
func (c *Cloud) Document(instance string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	enis, err := c.shown(instance)
	if err != nil {
		return nil, err
	}
	return c.encodeYAML(enis), nil
}

// DocumentJSON is Document in JSON.
func (c *Cloud) DocumentJSON(instance string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	enis, err := c.shown(instance)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(c.documentOf(enis), "", "  ")
	return append(b, '\n'), err
}

func (c *Cloud) shown(instance string) ([]ENI, error) {
	in, err := c.instance(instance)
	if err != nil {
		return nil, fmt.Errorf("interfaces document of instance %q: %w", instance, err)
	}
	c.advance(in, time.Now())
	return in.history[0].enis, nil
}

func (c *Cloud) encodeYAML(enis []ENI) []byte {
	b, err := yaml.Marshal(c.documentOf(enis))
	if err != nil {
		panic(fmt.Sprintf("a document of strings and numbers cannot fail to encode: %v", err))
	}
	return b
}

func (c *Cloud) documentOf(enis []ENI) document {
	d := document{Interfaces: []documentENI{}}
	for _, e := range enis {
		d.Interfaces = append(d.Interfaces, documentENI{
			MAC: quoted(e.MAC.String()), ID: e.ID, Primary: e.Primary, MTU: e.MTU,
			Subnets: texts(c.documentRanges(e)), Gateway: e.Gateway.String(),
			Addresses: quotedTexts(e.Addresses), Prefixes: texts(e.Prefixes), Public: publicTexts(e.Public),
			Local: texts(e.delivered()), VLAN: c.documentVLAN(e),
		})
	}
	return d
}

// documentVLAN names the NIC that an ENI shares, nil where it has one of its own.
func (c *Cloud) documentVLAN(e ENI) *documentVLAN {
	parent, shares := c.enis[e.VLANParent]
	if !shares {
		return nil
	}
	return &documentVLAN{quoted(parent.MAC.String()), e.VLAN}
}

// documentRanges are the ENI's subnets: its own, then those of its other addresses.
func (c *Cloud) documentRanges(e ENI) []netip.Prefix {
	out := slices.Clone(e.Subnets)
	for _, a := range e.Addresses {
		if p, ok := c.subnets[e.AddressSubnets[a]].of(a); ok && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func texts[T fmt.Stringer](values []T) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

func quotedTexts(addrs []netip.Addr) []quoted {
	out := make([]quoted, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, quoted(a.String()))
	}
	return out
}

func publicTexts(public map[netip.Addr]netip.Addr) map[string]string {
	out := map[string]string{}
	for private, p := range public {
		out[private.String()] = p.String()
	}
	return out
}
