package document

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"enid/metadata"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

var entryKeys = []string{"mac", "id", "primary", "subnets", "gateway", "addresses", "prefixes", "local", "vlan", "mtu", "public"}

// MTU limits, in bytes: every IPv4 host takes 576, no cloud's NIC takes more than 9216.
const minMTU, maxMTU = 576, 9216

// entry decodes one ENI and says where its MAC is written. ok is false where
// there is no MAC to know it by.
func (d *decoder) entry(n ast.Node) (i metadata.Interface, at *token.Position, ok bool) {
	values := map[string]ast.Node{}
	pairs, ok := d.pairs(n, "an interface", entryKeys...)
	if !ok {
		return i, nil, false
	}
	for _, pair := range pairs {
		key := d.key(pair)
		if !slices.Contains(entryKeys, key) {
			d.unknownKey(pair, entryKeys)
			continue
		}
		values[key] = pair.Value
	}
	if mac := values["mac"]; mac != nil {
		at = position(mac)
		i.MAC, ok = parsed(d, mac, "mac", metadata.ParseMAC)
	} else {
		d.fail(n, `an interface without "mac"; the MAC address says which ENI is meant, write it down`)
		ok = false
	}
	d.scalars(&i, values)
	d.lists(&i, values)
	d.gateway(&i, values["gateway"], values["addresses"])
	d.public(&i, values["public"])
	d.vlan(&i, values["vlan"])
	return i, at, ok
}

func (d *decoder) scalars(i *metadata.Interface, values map[string]ast.Node) {
	if n := values["id"]; n != nil {
		i.ID = known(parsed(d, n, "id", parseID))
	}
	if n := values["primary"]; n != nil {
		i.Primary = known(parsed(d, n, "primary", parseBool))
	}
	if n := values["mtu"]; n != nil {
		i.MTU = known(parsed(d, n, "mtu", parseMTU))
	}
}

func (d *decoder) lists(i *metadata.Interface, values map[string]ast.Node) {
	if n := values["subnets"]; n != nil {
		i.Subnets = known(list(d, n, "subnets", parsePrefix))
		d.notEmpty(n, "subnets", len(i.Subnets.Value))
	}
	if n := values["addresses"]; n != nil {
		i.Addresses = known(list(d, n, "addresses", parseAddr))
		i.Prefixes, i.Local = metadata.IsNone[[]netip.Prefix](""), metadata.IsNone[[]netip.Prefix]("")
		d.notEmpty(n, "addresses", len(i.Addresses.Value))
	}
	for key, fact := range map[string]*metadata.Fact[[]netip.Prefix]{"prefixes": &i.Prefixes, "local": &i.Local} {
		n := values[key]
		if n == nil {
			continue
		}
		*fact = known(list(d, n, key, parsePrefix))
		if len(fact.Value) == 0 {
			*fact = metadata.IsNone[[]netip.Prefix]("")
		}
	}
}

// gateway decodes an address or a list of at most one a family, and adds the
// default for the families that have a subnet and no gateway.
func (d *decoder) gateway(i *metadata.Interface, n, addresses ast.Node) {
	var given []netip.Addr
	if n != nil {
		var ok bool
		if given, ok = d.gateways(n); !ok {
			return
		}
		if len(given) == 0 {
			i.Gateways = metadata.IsNone[[]netip.Addr]("")
			return
		}
	}
	guessed := firstHosts(i.Subnets.Value, given)
	for _, g := range guessed {
		if slices.Contains(i.Addresses.Value, g) {
			d.fail(addresses, `addresses: %s is the first host of its subnet, which is the gateway where "gateway" is left out; write the gateway down, or correct the address`, g)
		}
	}
	if all := append(given, guessed...); len(all) > 0 {
		i.Gateways = metadata.Is(all, "")
	}
}

func (d *decoder) gateways(n ast.Node) ([]netip.Addr, bool) {
	if n.Type() != ast.SequenceType {
		a, ok := parsed(d, n, "gateway", parseAddr)
		return []netip.Addr{a}, ok
	}
	all, ok := list(d, n, "gateway", parseAddr)
	families := map[bool]netip.Addr{}
	for _, a := range all {
		if first, taken := families[a.Is4()]; taken {
			d.fail(n, "gateway: %s and %s are of one family; an ENI has one gateway a family, keep one", first, a)
			return nil, false
		}
		families[a.Is4()] = a
	}
	return all, ok
}

// public decodes private: public. A private address has to be one of the ENI's.
func (d *decoder) public(i *metadata.Interface, n ast.Node) {
	if n == nil {
		return
	}
	pairs, ok := d.pairs(n, "public", "10.0.1.5: 203.0.113.7")
	if ok {
		i.Public = metadata.IsNone[map[netip.Addr]netip.Addr]("")
	}
	for _, pair := range pairs {
		private, ok := parsed(d, pair.Key, "public", parseAddr)
		public, ok2 := parsed(d, pair.Value, "public", parseAddr)
		switch {
		case !ok || !ok2:
			continue
		case i.Addresses.State == metadata.Known && !slices.Contains(i.Addresses.Value, private):
			d.fail(pair.Key, "public: %s is not in addresses; want a private address of this interface", private)
			continue
		case i.Public.Value == nil:
			i.Public = metadata.Is(map[netip.Addr]netip.Addr{}, "")
		}
		if _, twice := i.Public.Value[private]; twice {
			d.fail(pair.Key, "public: %s is there twice; keep one", private)
		}
		i.Public.Value[private] = public
	}
}

func (d *decoder) notEmpty(n ast.Node, field string, length int) {
	if seq, ok := n.(*ast.SequenceNode); ok && len(seq.Values) == 0 && length == 0 {
		d.fail(n, "%s: an empty list is not an answer; leave the key out or remove the interface", field)
	}
}

func parseID(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", fmt.Errorf("is empty; want the ENI's id, or leave the key out")
	}
	return s, nil
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%q is neither true nor false; write one of them", s)
	}
	return s == "true", nil
}

func parseMTU(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < minMTU || n > maxMTU {
		return 0, fmt.Errorf("%q is not an MTU; want a number of bytes from %d to %d", s, minMTU, maxMTU)
	}
	return n, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch p, errPrefix := netip.ParsePrefix(s); {
	case err != nil && errPrefix == nil:
		return a, fmt.Errorf("%q has a prefix length; want the address alone, %s", s, p.Addr())
	case err != nil:
		return a, fmt.Errorf("%q is not an IP address; want one such as 10.0.1.5 or 2001:db8:1::5", s)
	case a.Zone() != "":
		return a, fmt.Errorf("%q has a zone; want %s", s, a.WithZone(""))
	case a.Is4In6():
		return a, fmt.Errorf("%q is an IPv4 address in IPv6 form; want %s", s, a.Unmap())
	}
	return a, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch a, errAddr := netip.ParseAddr(s); {
	case err != nil && errAddr == nil:
		return p, fmt.Errorf("%q has no prefix length; want one such as %s/%d", s, a, a.BitLen())
	case err != nil:
		return p, fmt.Errorf("%q is not a prefix; want one such as 10.0.1.0/24 or 2001:db8:1::/64", s)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 prefix in IPv6 form; want the IPv4 form, such as 10.0.1.0/24", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q has host bits set; want %s", s, p.Masked())
	}
	return p, nil
}
