package metadata

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Lines makes a reader of bodies with one value a line, each once. A slash at the end of
// a line is not the value's: directories are listed with one. A body that is empty, or
// has a line that parse refuses, is an error.
func Lines[T comparable](parse func(string) (T, error)) func(body string) ([]T, error) {
	return func(body string) ([]T, error) {
		var items []string
		for line := range strings.Lines(body) {
			items = append(items, strings.TrimSuffix(strings.TrimSpace(line), "/"))
		}
		return Items(items, parse)
	}
}

// One makes a reader of bodies with one value, where a fact may have several.
func One[T any](parse func(string) (T, error)) func(body string) ([]T, error) {
	return func(body string) ([]T, error) {
		value, err := parse(strings.TrimSpace(body))
		return []T{value}, err
	}
}

// Items parses each item that is not empty, and keeps of equal values the first. That
// there is no item, and that one is refused, are errors.
func Items[T comparable](items []string, parse func(string) (T, error)) ([]T, error) {
	var values []T
	for _, item := range items {
		if item == "" {
			continue
		}
		value, err := parse(item)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		return nil, errors.New("the answer is empty, which does not say that there is none")
	}
	return values, nil
}

// IPv4 reads an IPv4 address.
func IPv4(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%.80q is not an IPv4 address", s)
	}
	return a, nil
}

// IPv6 reads an IPv6 address without a zone that is no IPv4 address in IPv6's form.
func IPv6(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%.80q is not an IPv6 address", s)
	}
	return a, nil
}

// Prefix4 reads an IPv4 prefix without host bits. 0.0.0.0/0 is nobody's subnet and an error.
func Prefix4(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%.80q is not an IPv4 prefix without host bits", s)
	}
	return p, nil
}

// Prefix6 reads an IPv6 prefix without host bits. ::/0 is nobody's subnet and an error.
func Prefix6(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() || p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%.80q is not an IPv6 prefix without host bits", s)
	}
	return p, nil
}

// JoinFamilies makes one fact of the two families' halves: what is readable counts, and
// the whole is known only where both halves are.
func JoinFamilies[T any](origin string, v4, v6 Fact[[]T]) Fact[[]T] {
	values := slices.Concat(v4.Value, v6.Value)
	switch whole := v4.Whole() && v6.Whole(); {
	case whole && len(values) == 0:
		return IsNone[[]T](origin)
	case whole:
		return Is(values, origin)
	case len(values) > 0:
		return HasAtLeast(values, origin)
	}
	return Fact[[]T]{}
}

// RouterOf is the gateway that follows from an ENI's subnets of one family, where the
// cloud has no key for it: it is as much known as they are. An invalid address of says
// that it is not known.
func RouterOf(subnets Fact[[]netip.Prefix], of func(netip.Prefix) netip.Addr) Fact[[]netip.Addr] {
	if len(subnets.Value) == 0 {
		return Fact[[]netip.Addr]{State: subnets.State, Origin: subnets.Origin}
	}
	router := of(subnets.Value[0])
	if !router.IsValid() {
		return Fact[[]netip.Addr]{}
	}
	return Fact[[]netip.Addr]{State: subnets.State, Value: []netip.Addr{router}, Origin: subnets.Origin}
}

// FirstHost is the first host's address of an IPv4 subnet, which on some clouds is
// always the router's. It is not valid in a prefix that is too small to be a subnet.
func FirstHost(subnet netip.Prefix) netip.Addr {
	if subnet.Bits() > 30 {
		return netip.Addr{}
	}
	return subnet.Addr().Next()
}
