package lab

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGuardRules(t *testing.T) {
	got := guardSet(port{name: "p1", nic: NIC{MAC: mac1, Allowed: prefixes("10.0.1.5/32", "10.0.1.32/28", "10.0.1.40/32", "2001:db8::5/128")}})
	for _, want := range []string{
		"flush chain bridge lab p1\n",
		"add rule bridge lab p1 ether saddr != 02:29:96:8f:00:01 goto spoofed\n",
		"add rule bridge lab p1 ip saddr { 10.0.1.5/32, 10.0.1.32/28 } accept\n",
		"@th,208,48 != 0x0229968f0001 goto spoofed\n",
		"@th,64,128 != { 0xfe800000000000000000000000000000-0xfebfffffffffffffffffffffffffffff, 0x20010db8000000000000000000000005 } goto spoofed\n",
		"add rule bridge lab p1 ip6 saddr { fe80::/10, 2001:db8::5/128 } accept\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in:\n%s", want, got)
		}
	}
}

// What is allowed is what was asked for, and nft finds no conflict in it.
func TestSources(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "host")})
		return netip.PrefixFrom(a, rapid.IntRange(26, 32).Draw(t, "bits"))
	})
	rapid.Check(t, func(t *rapid.T) {
		allowed := rapid.SliceOfN(prefix, 0, 6).Draw(t, "allowed")
		v4, _ := sources(allowed)
		for i, p := range v4 {
			for _, q := range v4[i+1:] {
				if p.Overlaps(q) {
					t.Fatalf("%s and %s overlap", p, q)
				}
			}
		}
		within := func(in []netip.Prefix, a netip.Addr) bool {
			for _, p := range in {
				if p.Contains(a) {
					return true
				}
			}
			return false
		}
		for i := range 256 {
			if a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}); within(v4, a) != within(allowed, a) {
				t.Fatalf("%s is in %v or in %v, not in both", a, v4, allowed)
			}
		}
	})
}

func TestHostAddresses(t *testing.T) {
	tests := []struct{ prefix, first, last string }{
		{"10.0.1.0/24", "10.0.1.1", "10.0.1.254"},
		{"10.0.16.0/20", "10.0.16.1", "10.0.31.254"},
		{"10.0.1.8/29", "10.0.1.9", "10.0.1.14"},
		{"2001:db8:0:1::/64", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"},
		{"2001:db8::8/125", "2001:db8::9", "2001:db8::f"},
	}
	for _, tt := range tests {
		p := netip.MustParsePrefix(tt.prefix)
		if firstHost(p) != addr(tt.first) || lastHost(p) != addr(tt.last) {
			t.Errorf("%s: got %s and %s, want %s and %s", p, firstHost(p), lastHost(p), tt.first, tt.last)
		}
	}
}
