package aliyun

import (
	"fmt"
	"strings"

	"enid/metadata"
)

// parse makes a Snapshot of what the service said.
func parse(answers metadata.Answers) (metadata.Snapshot, error) { return tree.Parse(answers, facts) }

// facts reads one ENI. There is no key for the MTU, and none for public addresses of an ENI.
func facts(e *metadata.Entry, mac metadata.MAC) metadata.Interface {
	i := metadata.Interface{MAC: mac}
	if e.Absent("") {
		e.Missing("", "")
		return i
	}
	i.ID = metadata.Scalar(e, "id", idKey, metadata.Identifier)
	e.Name = i.Name()
	i.SubnetID = metadata.Scalar(e, "subnetId", subnetKey, metadata.Identifier)

	v4, v6 := metadata.List(e, "addresses", ipv4Key, list(metadata.IPv4)), metadata.List(e, "addresses", ipv6Key, listOrNone(metadata.IPv6))
	net4, net6 := one(e, "subnets", cidr4Key, metadata.Prefix4), one(e, "subnets", cidr6Key, metadata.Prefix6)
	gate4, gate6 := one(e, "gateway", gateway4Key, metadata.IPv4), one(e, "gateway", gateway6Key, metadata.IPv6)
	// An ENI that has ipv6s and neither of the IPv4 addresses' keys has IPv6 alone; its vSwitch may have both.
	// Anything else that lacks them is still propagating. The gateway is never guessed: it is not the first host.
	if onlyIPv6 := v4.State == metadata.None && e.Absent(primaryKey) && v6.State == metadata.Known; !onlyIPv6 {
		v4 = metadata.Required(e, v4, "addresses", ipv4Key)
		net4 = metadata.Required(e, net4, "subnets", cidr4Key)
		gate4 = metadata.Required(e, gate4, "gateway", gateway4Key)
	}
	if v6.State == metadata.Known {
		net6 = metadata.Required(e, net6, "subnets", cidr6Key)
		gate6 = metadata.Required(e, gate6, "gateway", gateway6Key)
	}
	i.Addresses = metadata.JoinFamilies(origin, metadata.PrimaryFirst(e, v4, primaryKey), v6)
	i.Subnets = metadata.JoinFamilies(origin, net4, net6)
	i.Gateways = metadata.JoinFamilies(origin, gate4, gate6)
	i.Prefixes = metadata.JoinFamilies(origin,
		metadata.List(e, "prefixes", prefix4Key, listOrNone(metadata.Prefix4)),
		metadata.List(e, "prefixes", prefix6Key, listOrNone(metadata.Prefix6)))
	return i
}

func one[T any](e *metadata.Entry, field, key string, parse func(string) (T, error)) metadata.Fact[[]T] {
	return metadata.List(e, field, key, metadata.One(parse))
}

// list makes a reader of a list: ["a","b"] as private-ipv4s are written, [a,b] as ipv6s are, or one value a line.
// Which of them the prefixes are is not known. A bracket without the other is a body that was cut off.
func list[T comparable](parse func(string) (T, error)) func(body string) ([]T, error) {
	return func(body string) ([]T, error) {
		text := strings.TrimSpace(body)
		inner, opened := strings.CutPrefix(text, "[")
		inner, closed := strings.CutSuffix(inner, "]")
		if opened != closed {
			return nil, fmt.Errorf("%.80q is half a list", text)
		}
		var items []string
		for item := range strings.FieldsFuncSeq(inner, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
			items = append(items, unquote(strings.TrimSpace(item)))
		}
		return metadata.Items(items, parse)
	}
}

// listOrNone is list where [] says that there is none. No sample has that: a key of which there is none is a 404.
func listOrNone[T comparable](parse func(string) (T, error)) func(body string) ([]T, error) {
	return func(body string) ([]T, error) {
		if strings.Join(strings.Fields(body), "") == "[]" {
			return nil, nil
		}
		return list(parse)(body)
	}
}

func unquote(item string) string {
	if inner, ok := strings.CutPrefix(item, `"`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); ok {
			return inner
		}
	}
	return item
}
