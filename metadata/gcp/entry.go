package gcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// entry reads the facts of one interface.
type entry struct {
	path     string // in the document, to say in problems
	name     string
	keys     map[string]json.RawMessage
	problems []metadata.Problem
}

func (e *entry) unread(field string, err error) {
	e.problems = append(e.problems, metadata.Unread(e.name, field, err))
}

// missing is the problem of a key that this interface must have and has not.
func (e *entry) missing(field, key string) {
	e.unread(field, fmt.Errorf("%s.%s: %w", e.path, key, metadata.ErrNotFound))
}

// facts reads everything but who is primary and whose NIC it is. The id is the interface's name in the Compute
// Engine API, nic0 and so on, and for a dynamic interface one made in the same way.
//
// An interface's address stands alone on its NIC (/32, /128), as DHCP says it too: the subnet is not on the link, and
// the network answers for its gateway only. So the subnets told here are the addresses themselves, and everything
// goes by the gateway; the key subnetmask is not read. The id of the subnet is not in the metadata.
func (e *entry) facts(mac metadata.MAC, id string) metadata.Interface {
	e.name = id
	i := metadata.Interface{MAC: mac, ID: metadata.Is(id, origin), Prefixes: metadata.IsNone[[]netip.Prefix](origin)}
	v4, v6 := one(e, "addresses", "ip", metadata.IPv4), e.ipv6()
	gateway4, gateway6 := one(e, "gateway", "gateway", metadata.IPv4), one(e, "gateway", "gatewayIpv6", metadata.IPv6)
	if v4.State == metadata.None && v6.State == metadata.None {
		v4, gateway4 = metadata.Fact[[]netip.Addr]{}, metadata.Fact[[]netip.Addr]{}
		e.missing("addresses", "ip")
	}
	if v4.State == metadata.Known && gateway4.State == metadata.None {
		gateway4 = metadata.Fact[[]netip.Addr]{}
		e.missing("gateway", "gateway")
	}
	// The router of IPv6 also makes itself known on the link, but not that there is none.
	if v6.State == metadata.Known && gateway6.State == metadata.None {
		gateway6 = metadata.Fact[[]netip.Addr]{}
		e.missing("gateway", "gatewayIpv6")
	}
	i.Addresses = metadata.JoinFamilies(origin, v4, v6)
	i.Subnets = metadata.JoinFamilies(origin, alone(v4), alone(v6))
	i.Gateways = metadata.JoinFamilies(origin, gateway4, gateway6)
	i.Local = e.local(i.Addresses)
	i.MTU = e.mtu()
	i.Public = e.public(v4)
	return i
}

// ipv6 are the addresses, which the server tells by themselves and with the length of their range. Some servers have
// only one of the two.
func (e *entry) ipv6() metadata.Fact[[]netip.Addr] {
	plain := list(e, "addresses", "ipv6s", metadata.IPv6)
	if plain.State != metadata.None {
		return plain
	}
	return list(e, "addresses", "ipv6", func(s string) (netip.Addr, error) {
		address, _, _ := strings.Cut(s, "/")
		return metadata.IPv6(address)
	})
}

// localKeys are the lists of what is delivered to an interface besides its addresses.
var localKeys = []string{"ipAliases", "forwardedIps", "forwardedIpv6s", "targetInstanceIps"}

// says reports whether one of the keys is there.
func (e *entry) says(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { _, there := e.keys[key]; return there })
}

// local are the ranges of the interface that the network delivers to the instance as they are: alias ranges, also of
// one address, and the addresses of load balancers and of protocol forwarding. google-guest-agent makes all of them
// local by routes and configures none as an address, and where it runs it does so still. An alias of one address is
// treated in the same way: as an address it would bring a route of the kernel's own, which the agent's stands
// in the way of, or takes with it when it goes.
func (e *entry) local(own metadata.Fact[[]netip.Addr]) metadata.Fact[[]netip.Prefix] {
	all := metadata.IsNone[[]netip.Prefix](origin)
	for _, key := range localKeys {
		all = metadata.JoinFamilies(origin, all, list(e, "local", key, block))
	}
	var kept []netip.Prefix
	for _, p := range all.Value {
		if !slices.Contains(kept, p) && !(p.IsSingleIP() && slices.Contains(own.Value, p.Addr())) {
			kept = append(kept, p)
		}
	}
	if all.Value = kept; len(kept) == 0 && all.State == metadata.Known {
		return metadata.IsNone[[]netip.Prefix](origin)
	}
	return all
}

func (e *entry) mtu() metadata.Fact[int] {
	raw := e.keys["mtu"]
	if empty(raw) {
		return metadata.Fact[int]{}
	}
	var bytes int
	if err := json.Unmarshal(raw, &bytes); err != nil {
		e.bad("mtu", "mtu", errors.New("it is not a whole number"))
		return metadata.Fact[int]{}
	}
	return metadata.Is(bytes, origin)
}

// public is the external address that the network translates to the interface's own. There is at most one: more
// entries of accessConfigs are not known to exist, and the first with an address counts.
func (e *entry) public(own metadata.Fact[[]netip.Addr]) metadata.Fact[map[netip.Addr]netip.Addr] {
	raw := e.keys["accessConfigs"]
	var configs []struct {
		External string `json:"externalIp"`
	}
	if !empty(raw) {
		if err := json.Unmarshal(raw, &configs); err != nil {
			e.bad("public", "accessConfigs", errors.New("it is not a list of access configurations"))
			return metadata.Fact[map[netip.Addr]netip.Addr]{}
		}
	}
	for _, c := range configs {
		if c.External == "" {
			continue
		}
		external, err := metadata.IPv4(c.External)
		if err != nil {
			e.bad("public", "accessConfigs", err)
			return metadata.Fact[map[netip.Addr]netip.Addr]{}
		}
		if own.State != metadata.Known {
			return metadata.Fact[map[netip.Addr]netip.Addr]{}
		}
		return metadata.Is(map[netip.Addr]netip.Addr{own.Value[0]: external}, origin)
	}
	return metadata.IsNone[map[netip.Addr]netip.Addr](origin)
}

func (e *entry) bad(field, key string, err error) {
	e.unread(field, &metadata.BadAnswerError{Path: e.path + "." + key, Err: err})
}

// one is a key with one text, as a list of it. Absent means none.
func one[T comparable](e *entry, field, key string, parse func(string) (T, error)) metadata.Fact[[]T] {
	raw := e.keys[key]
	if empty(raw) {
		return metadata.IsNone[[]T](origin)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		e.bad(field, key, errors.New("it is not a text"))
		return metadata.Fact[[]T]{}
	}
	return texts(e, field, key, []string{text}, parse)
}

// list is a key with a list of texts. Absent and empty mean none.
func list[T comparable](e *entry, field, key string, parse func(string) (T, error)) metadata.Fact[[]T] {
	raw := e.keys[key]
	if empty(raw) {
		return metadata.IsNone[[]T](origin)
	}
	var items []string
	if err := json.Unmarshal(raw, &items); err != nil {
		e.bad(field, key, errors.New("it is not a list of texts"))
		return metadata.Fact[[]T]{}
	}
	return texts(e, field, key, items, parse)
}

// texts are the values of texts; one that is none spoils the list, for it may have been cut.
func texts[T comparable](e *entry, field, key string, items []string, parse func(string) (T, error)) metadata.Fact[[]T] {
	if len(strings.Join(items, "")) == 0 {
		return metadata.IsNone[[]T](origin)
	}
	values, err := metadata.Items(items, parse)
	if err != nil {
		e.bad(field, key, err)
		return metadata.Fact[[]T]{}
	}
	return metadata.Is(values, origin)
}

// alone are the addresses as the subnets that they are here.
func alone(addrs metadata.Fact[[]netip.Addr]) metadata.Fact[[]netip.Prefix] {
	f := metadata.Fact[[]netip.Prefix]{State: addrs.State, Origin: addrs.Origin}
	for _, a := range addrs.Value {
		f.Value = append(f.Value, netip.PrefixFrom(a, a.BitLen()))
	}
	return f
}

// block reads a range, or an address as the range of it alone.
func block(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := metadata.Prefix4(s)
	if err != nil {
		p, err = metadata.Prefix6(s)
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%.80q is not a range without host bits", s)
	}
	return p, nil
}
