package jdcloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"
)

// apiOrigin is what status shows as the source of facts from the OpenAPI.
const apiOrigin = "openapi"

// apiENI is what the OpenAPI says about one ENI. What it does not say is Unknown, a list of which some
// entry is unreadable AtLeast.
type apiENI struct {
	subnet    string                  // id, "" where unreadable
	primary   netip.Addr              // zero where unreadable
	addresses []netip.Addr            // the secondary ones, sorted: the order in which they are listed is not promised
	whole     bool                    // addresses are all of them
	foreign   map[string][]netip.Addr // secondary addresses of other subnets, by the subnet's id
	prefixes  metadata.Fact[[]netip.Prefix]
	public    map[netip.Addr]netip.Addr
	problems  []metadata.Problem // without the ENI's name, which is the metadata's to tell
}

// rawENI is the form of an ENI in an answer, field by field, so that one that is garbage costs no other. The
// SDK's models.NetworkInterface (v1.64.0) is not used for it: it knows no subnet of a single address (in the
// API since 2026-04), and does not tell a field that is missing from an empty one.
type rawENI struct {
	NetworkInterfaceID string          `json:"networkInterfaceId"`
	SubnetID           json.RawMessage `json:"subnetId"`
	PrimaryIP          json.RawMessage `json:"primaryIp"`
	SecondaryIPs       json.RawMessage `json:"secondaryIps"`
	SecondaryCidrs     json.RawMessage `json:"secondaryCidrs"`
}

// rawIP is the form of an address. Its elastic one is translated outside of the guest, or, in the mode EIP_VISIBLE,
// is the guest's for its owner to configure: in no mode an address for enid.
type rawIP struct {
	PrivateIPAddress string `json:"privateIpAddress"`
	ElasticIPAddress string `json:"elasticIpAddress"`
	SubnetID         string `json:"subnetId"`
}

// parseENIs reads a page of describeNetworkInterfaces: the ENIs by id, and how many there are in all. An entry that is no
// ENI is left out; whoever misses it says so.
func parseENIs(result json.RawMessage) (map[string]apiENI, int, error) {
	var page struct {
		NetworkInterfaces []json.RawMessage `json:"networkInterfaces"`
		TotalCount        json.RawMessage   `json:"totalCount"`
	}
	if err := json.Unmarshal(result, &page); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errNotJSON, err)
	}
	total, _ := decode[int](page.TotalCount)
	enis := map[string]apiENI{}
	for _, raw := range page.NetworkInterfaces {
		var r rawENI
		if json.Unmarshal(raw, &r) != nil || r.NetworkInterfaceID == "" {
			continue
		}
		if _, twice := enis[r.NetworkInterfaceID]; !twice {
			enis[r.NetworkInterfaceID] = r.parse()
		}
	}
	return enis, total, nil
}

func (r rawENI) parse() apiENI {
	e := apiENI{public: map[netip.Addr]netip.Addr{}, foreign: map[string][]netip.Addr{}}
	var err error
	if e.subnet, err = decode[string](r.SubnetID); err != nil {
		e.unread("subnetId", "subnetId", err)
	}
	primary, err := decode[rawIP](r.PrimaryIP)
	if err == nil {
		e.primary, err = e.address(primary)
	}
	if err != nil {
		e.unread("addresses", "primaryIp", err)
	}
	e.secondaries(r.SecondaryIPs)
	e.blocks(r.SecondaryCidrs)
	return e
}

// secondaries reads the secondary addresses, and which other subnets they are of.
func (e *apiENI) secondaries(raw json.RawMessage) {
	list, err := decode[[]json.RawMessage](raw)
	if err != nil {
		e.unread("addresses", "secondaryIps", err)
		return
	}
	e.whole = true
	for _, item := range list {
		ip, err := decode[rawIP](item)
		var a netip.Addr
		if err == nil {
			a, err = e.address(ip)
		}
		if err != nil {
			e.whole = false
			e.unread("addresses", "secondaryIps", err)
			continue
		}
		e.addresses = append(e.addresses, a)
		if ip.SubnetID != "" && ip.SubnetID != e.subnet {
			e.foreign[ip.SubnetID] = append(e.foreign[ip.SubnetID], a)
		}
	}
	slices.SortFunc(e.addresses, netip.Addr.Compare)
	e.addresses = slices.Compact(e.addresses)
	for _, addresses := range e.foreign {
		slices.SortFunc(addresses, netip.Addr.Compare)
	}
}

// blocks reads the secondary blocks, which are delegated prefixes.
func (e *apiENI) blocks(raw json.RawMessage) {
	list, err := decode[[]json.RawMessage](raw)
	if err != nil {
		e.unread("prefixes", "secondaryCidrs", err)
		return
	}
	var prefixes []netip.Prefix
	whole := true
	for _, item := range list {
		text, err := decode[string](item)
		var p netip.Prefix
		if err == nil {
			p, err = ipv4Prefix(text)
		}
		if err != nil {
			whole = false
			e.unread("prefixes", "secondaryCidrs", err)
			continue
		}
		prefixes = append(prefixes, p)
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	e.prefixes = listFact(slices.Compact(prefixes), whole)
}

// address is the private address of ip; the elastic one that belongs to it is noted. The public address of the
// mode EIP_VISIBLE is refused in the place of a private one.
func (e *apiENI) address(ip rawIP) (netip.Addr, error) {
	private, err := netip.ParseAddr(ip.PrivateIPAddress)
	if err != nil || !private.Is4() {
		return netip.Addr{}, fmt.Errorf("privateIpAddress %.40q is not an IPv4 address", ip.PrivateIPAddress)
	}
	public, err := netip.ParseAddr(ip.ElasticIPAddress)
	if err == nil && public == private {
		return netip.Addr{}, fmt.Errorf("privateIpAddress %s is the elastic address", private)
	}
	if err == nil {
		e.public[private] = public
	}
	return private, nil
}

func ipv4Prefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%.40q is not an IPv4 prefix without host bits", text)
	}
	return p, nil
}

// unread notes once a field why what it says is not known.
func (e *apiENI) unread(field, key string, err error) {
	p := metadata.Problem{Field: field, Reason: "bad-answer", Text: fmt.Sprintf("the OpenAPI's %s cannot be read: %v; what is configured is kept until it can", key, err)}
	if !slices.ContainsFunc(e.problems, func(q metadata.Problem) bool { return q.Field == field }) {
		e.problems = append(e.problems, p)
	}
}

// listFact is a list of which all entries are known or only these. A whole one that is empty is the fact
// that there are none.
func listFact[T any](list []T, whole bool) metadata.Fact[[]T] {
	switch {
	case len(list) > 0 && whole:
		return metadata.Is(list, apiOrigin)
	case len(list) > 0:
		return metadata.HasAtLeast(list, apiOrigin)
	case whole:
		return metadata.IsNone[[]T](apiOrigin)
	}
	return metadata.Fact[[]T]{}
}

// decode reads a field. One that is not there says nothing, also where null, the form of an empty list in Go, would
// say something.
func decode[T any](raw json.RawMessage) (T, error) {
	var v T
	if len(raw) == 0 {
		return v, errors.New("it is not in the answer")
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return *new(T), fmt.Errorf("%.60q: %w", raw, err)
	}
	return v, nil
}

// parseSubnet reads the range of a subnet in an answer of describeSubnet. It does not change after creation.
func parseSubnet(result json.RawMessage, id string) (netip.Prefix, error) {
	var answer struct {
		Subnet struct {
			SubnetID      string `json:"subnetId"`
			AddressPrefix string `json:"addressPrefix"`
		} `json:"subnet"`
	}
	if err := json.Unmarshal(result, &answer); err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: %w", errNotJSON, err)
	}
	if answer.Subnet.SubnetID != id {
		return netip.Prefix{}, fmt.Errorf("the answer is about %.40q", answer.Subnet.SubnetID)
	}
	p, err := ipv4Prefix(answer.Subnet.AddressPrefix)
	if err == nil && p.Bits() > 30 {
		err = fmt.Errorf("%s has no room for a gateway and an ENI", p)
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("addressPrefix: %w", err)
	}
	return p, nil
}
