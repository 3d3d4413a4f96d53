package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"enid/metadata"
)

const (
	addresses4 = "ipv4.ipAddress"
	addresses6 = "ipv6.ipAddress"
	subnet4    = "ipv4.subnet"
	subnet6    = "ipv6.subnet"
)

// half is a NIC in one family.
type half struct {
	Addresses json.RawMessage `json:"ipAddress"`
	Subnets   json.RawMessage `json:"subnet"`
}

// address is one of a NIC. What there is none of is "".
type address struct {
	Private string `json:"privateIpAddress"`
	Public  string `json:"publicIpAddress"`
}

type subnet struct {
	Address string `json:"address"`
	Length  string `json:"prefix"`
}

// addresses are those of a half, in its order: the primary first.
func addresses(name string, h half, parse func(string) (netip.Addr, error)) ([]netip.Addr, error) {
	listed, err := metadata.JSON[[]address](name, h.Addresses)
	if err != nil || len(listed) == 0 {
		return nil, err
	}
	var texts []string
	for _, a := range listed {
		texts = append(texts, a.Private)
	}
	return readAll(name, texts, parse)
}

// subnets are the IPv4 subnets of a half.
func subnets(h half) ([]netip.Prefix, error) {
	listed, err := metadata.JSON[[]subnet](subnet4, h.Subnets)
	if err != nil || len(listed) == 0 {
		return nil, err
	}
	var texts []string
	for _, s := range listed {
		texts = append(texts, s.Address+"/"+s.Length)
	}
	return readAll(subnet4, texts, metadata.Prefix4)
}

// readAll reads every text. An empty one stands for a value that is not there yet, so that there are more than can be
// read.
func readAll[T comparable](name string, texts []string, parse func(string) (T, error)) ([]T, error) {
	if slices.Contains(texts, "") {
		return nil, &metadata.BadAnswerError{Path: name, Err: errors.New("a value is empty")}
	}
	values, err := metadata.Items(texts, parse)
	if err != nil {
		return nil, &metadata.BadAnswerError{Path: name, Err: err}
	}
	return values, nil
}

// nic reads the facts of one NIC and collects what is wrong with them.
type nic struct {
	name     string
	problems []metadata.Problem
}

func (n *nic) unread(field string, err error) {
	n.problems = append(n.problems, metadata.Unread(n.name, field, err))
}

// facts are those of a NIC. Ids of ENIs and subnets, and MTUs, are not in this dialect; delegated prefixes do not
// exist in it.
func (n *nic) facts(mac metadata.MAC, e entry) metadata.Interface {
	v4, net4, public := n.ipv4(e.IPv4)
	v6, net6, router6 := n.ipv6(e.IPv6)
	return metadata.Interface{
		MAC:       mac,
		Addresses: metadata.JoinFamilies(origin, v4, v6),
		Subnets:   metadata.JoinFamilies(origin, net4, net6),
		Gateways:  metadata.JoinFamilies(origin, metadata.RouterOf(net4, metadata.FirstHost), router6),
		Prefixes:  metadata.IsNone[[]netip.Prefix](origin),
		Public:    public,
	}
}

// ipv4 is what every NIC has: an empty list is that of one which is not ready.
func (n *nic) ipv4(raw json.RawMessage) (v4 metadata.Fact[[]netip.Addr], net4 metadata.Fact[[]netip.Prefix], public metadata.Fact[map[netip.Addr]netip.Addr]) {
	h, err := metadata.JSON[half]("ipv4", raw)
	if err != nil {
		n.unread("addresses", err)
		return v4, net4, public
	}
	addrs, err := addresses(addresses4, h, metadata.IPv4)
	if v4 = known(n, "addresses", addresses4, addrs, err); v4.State == metadata.Known {
		public = n.public(h)
	}
	nets, err := subnets(h)
	return v4, known(n, "subnets", subnet4, nets, err), public
}

// known is a list that may not be empty.
func known[T any](n *nic, field, name string, values []T, err error) metadata.Fact[[]T] {
	if err == nil && len(values) == 0 {
		err = fmt.Errorf("%s is empty: %w", name, metadata.ErrNotFound)
	}
	if err != nil {
		n.unread(field, err)
		return metadata.Fact[[]T]{}
	}
	return metadata.Is(values, origin)
}

// ipv6 is none of it where the list of addresses is empty. The router is told nowhere: it advertises itself.
func (n *nic) ipv6(raw json.RawMessage) (v6 metadata.Fact[[]netip.Addr], net6 metadata.Fact[[]netip.Prefix], router6 metadata.Fact[[]netip.Addr]) {
	h, err := metadata.JSON[half]("ipv6", raw)
	var addrs []netip.Addr
	if err == nil {
		addrs, err = addresses(addresses6, h, metadata.IPv6)
	}
	switch {
	case err != nil:
		n.unread("addresses", err)
		return v6, net6, router6
	case len(addrs) == 0:
		none := metadata.IsNone[[]netip.Addr](origin)
		return none, metadata.IsNone[[]netip.Prefix](origin), none
	}
	return metadata.Is(addrs, origin), n.network6(addrs[0], h), router6
}

// network6 is the IPv6 subnet, of which the documentation says nothing. Where there is one, cloud-init
// reads its length and nothing else, and so does this: it is the subnet of the primary address.
func (n *nic) network6(primary netip.Addr, h half) metadata.Fact[[]netip.Prefix] {
	listed, err := metadata.JSON[[]subnet](subnet6, h.Subnets)
	if errors.Is(err, metadata.ErrNotFound) || err == nil && len(listed) == 0 {
		return metadata.Fact[[]netip.Prefix]{}
	}
	var length int
	if err == nil {
		length, err = strconv.Atoi(listed[0].Length)
	}
	if err == nil && (length < 1 || length > 126) {
		err = fmt.Errorf("a subnet of length %d", length)
	}
	if err != nil {
		n.unread("subnets", &metadata.BadAnswerError{Path: subnet6, Err: err})
		return metadata.Fact[[]netip.Prefix]{}
	}
	return metadata.Is([]netip.Prefix{netip.PrefixFrom(primary, length).Masked()}, origin)
}

// public maps private to public addresses. That none is told does not say that there is none: some kinds of public
// address are told in another part of the metadata alone.
func (n *nic) public(h half) metadata.Fact[map[netip.Addr]netip.Addr] {
	listed, _ := metadata.JSON[[]address](addresses4, h.Addresses) // it was read before
	byPrivate := map[netip.Addr]netip.Addr{}
	for _, a := range listed {
		if a.Public == "" {
			continue
		}
		private, err := metadata.IPv4(a.Private)
		public, bad := metadata.IPv4(a.Public)
		if err := errors.Join(err, bad); err != nil {
			n.unread("public", &metadata.BadAnswerError{Path: addresses4, Err: err})
			continue
		}
		byPrivate[private] = public
	}
	if len(byPrivate) == 0 {
		return metadata.Fact[map[netip.Addr]netip.Addr]{}
	}
	return metadata.HasAtLeast(byPrivate, origin)
}
