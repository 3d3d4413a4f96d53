package openapi

import (
	"net/netip"
)

// value is what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// address reads an optional IPv4 address; an empty text is none.
func address(name, text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, invalid("%s %q: want an IPv4 address", name, text)
	}
	return a, nil
}

func addresses(name string, texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, t := range texts {
		a, err := address(name, t)
		if err != nil {
			return nil, err
		}
		if !a.IsValid() {
			return nil, invalid("%s: an address in the list is empty", name)
		}
		out = append(out, a)
	}
	return out, nil
}

func prefixes(name string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, t := range texts {
		p, err := prefix(name, t)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func prefix(name, text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, invalid("%s %q: want an IPv4 prefix, for example 10.0.1.0/24", name, text)
	}
	return p, nil
}

// needs refuses an empty parameter.
func needs(name, text string) error {
	if text == "" {
		return invalid("Parameter '%s' is required", name)
	}
	return nil
}
