package ec2

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// scalar is a key with one word. Every ENI has the keys that are read with it, so one
// that is absent has not propagated: unknown, and the addresses say why.
func scalar(e *eni, field, key string) metadata.Fact[string] {
	value, err := metadata.Read(e.answers, e.dir+key, metadata.Word)
	if err == nil {
		return metadata.Is(value, origin)
	}
	if !errors.Is(err, metadata.ErrNotFound) {
		e.unread(field, err)
	}
	return metadata.Fact[string]{}
}

// list is a key with one value a line. Absent means none; a body that is empty, or has a
// line that cannot be read, is no answer at all.
func list[T comparable](e *eni, field, key string, parse func(string) (T, error)) metadata.Fact[[]T] {
	values, err := metadata.Read(e.answers, e.dir+key, func(body string) ([]T, error) { return lines(body, parse) })
	switch {
	case err == nil:
		return metadata.Is(values, origin)
	case errors.Is(err, metadata.ErrNotFound):
		return metadata.IsNone[[]T](origin)
	}
	e.unread(field, err)
	return metadata.Fact[[]T]{}
}

// join makes one fact of the two families' halves: what is readable counts, and the
// whole is known only where both halves are.
func join[T any](v4, v6 metadata.Fact[[]T]) metadata.Fact[[]T] {
	values := slices.Concat(v4.Value, v6.Value)
	switch whole := v4.Whole() && v6.Whole(); {
	case whole && len(values) == 0:
		return metadata.IsNone[[]T](origin)
	case whole:
		return metadata.Is(values, origin)
	case len(values) > 0:
		return metadata.HasAtLeast(values, origin)
	}
	return metadata.Fact[[]T]{}
}

// gateway is as much known as the subnets that it follows from.
func gateway(subnets metadata.Fact[[]netip.Prefix], of func(netip.Prefix) netip.Addr) metadata.Fact[[]netip.Addr] {
	if subnets.State != metadata.Known {
		return metadata.Fact[[]netip.Addr]{State: subnets.State, Origin: subnets.Origin}
	}
	router := of(subnets.Value[0])
	if !router.IsValid() {
		return metadata.Fact[[]netip.Addr]{}
	}
	return metadata.Is([]netip.Addr{router}, origin)
}

// firstHost is the VPC router's address in every IPv4 subnet; IMDS has no key for
// it. It is not valid in a prefix that is too small to be a subnet.
func firstHost(subnet netip.Prefix) netip.Addr {
	if subnet.Bits() > 30 {
		return netip.Addr{}
	}
	return subnet.Addr().Next()
}

// router6 is the VPC router in every IPv6 subnet: a constant, which amazon-vpc-cni-k8s
// relies on too. It is link-local (fe80::/10) but outside of fe80::/64, so a
// route through it must be onlink.
func router6(netip.Prefix) netip.Addr { return netip.MustParseAddr("fe80:ec2::1") }

// lines reads one value a line, each once.
func lines[T comparable](body string, parse func(string) (T, error)) ([]T, error) {
	var values []T
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(strings.TrimSpace(line), "/")
		if line == "" {
			continue
		}
		value, err := parse(line)
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

func ipv4(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%.80q is not an IPv4 address", s)
	}
	return a, nil
}

func ipv6(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%.80q is not an IPv6 address", s)
	}
	return a, nil
}

func prefix4(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%.80q is not an IPv4 prefix without host bits", s)
	}
	return p, nil
}

func prefix6(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() || p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%.80q is not an IPv6 prefix without host bits", s)
	}
	return p, nil
}
