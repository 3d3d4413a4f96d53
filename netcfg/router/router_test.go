package router

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/ndp"
	"pgregory.net/rapid"
)

var (
	compare = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
	one     = netip.MustParseAddr("fe80::1")
	subnet  = netip.MustParsePrefix("2001:db8:0:1::/64")
)

// written is an advertisement as bytes, its options as they are given.
func written(t testing.TB, ra ndp.RouterAdvertisement, options ...ndp.Option) []byte {
	t.Helper()
	ra.Options = options
	b, err := ndp.MarshalMessage(&ra)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func usual() ndp.RouterAdvertisement {
	return ndp.RouterAdvertisement{RouterLifetime: 30 * time.Minute}
}

func onLink(p netip.Prefix) *ndp.PrefixInformation {
	return &ndp.PrefixInformation{Prefix: p.Addr(), PrefixLength: uint8(p.Bits()), OnLink: true, ValidLifetime: time.Hour, PreferredLifetime: time.Hour}
}

func TestParse(t *testing.T) {
	withdrawn, other := onLink(subnet), onLink(netip.MustParsePrefix("2001:db8:0:2::/64"))
	withdrawn.ValidLifetime, withdrawn.PreferredLifetime = 0, 0
	other.OnLink = false
	high, low, reserved := usual(), usual(), written(t, usual())
	high.RouterSelectionPreference, low.RouterSelectionPreference = ndp.High, ndp.Low
	reserved[5] |= 2 << 3
	plain := Advertisement{Router: one, Lifetime: 30 * time.Minute}
	with := func(change func(*Advertisement)) Advertisement {
		a := plain
		change(&a)
		return a
	}
	tests := map[string]struct {
		message []byte
		want    Advertisement
	}{
		"plain":      {written(t, usual()), plain},
		"no default": {written(t, ndp.RouterAdvertisement{}), with(func(a *Advertisement) { a.Lifetime = 0 })},
		"high":       {written(t, high), with(func(a *Advertisement) { a.Preference = High })},
		"low":        {written(t, low), with(func(a *Advertisement) { a.Preference = Low })},
		"reserved":   {reserved, plain},
		"a subnet":   {written(t, usual(), onLink(subnet), ndp.NewMTU(1400)), with(func(a *Advertisement) { a.Prefixes, a.MTU = []netip.Prefix{subnet}, 1400 })},
		"withdrawn":  {written(t, usual(), withdrawn), with(func(a *Advertisement) { a.Withdrawn = []netip.Prefix{subnet} })},
		"off link":   {written(t, usual(), other), plain},
		"no subnets": {written(t, usual(), onLink(netip.MustParsePrefix("fe80::/64")), onLink(netip.MustParsePrefix("ff00::/16")), onLink(netip.MustParsePrefix("::/0")), onLink(netip.MustParsePrefix("2001:db8::1/128"))), plain},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse(tt.message, one.WithZone("eth1"), 255)
			if diff := cmp.Diff(tt.want, got, compare); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	code := written(t, usual())
	code[1] = 1
	whole := written(t, usual(), onLink(subnet), ndp.NewMTU(1400))
	for name, tt := range map[string]struct {
		message []byte
		from    string
		hops    int
		want    string
	}{
		"forwarded": {whole, "fe80::1", 254, "hop limit of 254"},
		"no hops":   {whole, "fe80::1", -1, "hop limit of -1"},
		"global":    {whole, "2001:db8::1", 255, "not from a link-local"},
		"mapped":    {whole, "::ffff:169.254.0.1", 255, "not from a link-local"},
		"code":      {code, "fe80::1", 255, "code 0"},
		"cut off":   {whole[:len(whole)-3], "fe80::1", 255, "cannot be read"},
		"no body":   {whole[:2], "fe80::1", 255, "cannot be read"},
		"only type": {whole[:1], "fe80::1", 255, "code 0"},
		"small MTU": {written(t, usual(), ndp.NewMTU(1279)), "fe80::1", 255, "MTU 1279"},
		"large MTU": {written(t, usual(), ndp.NewMTU(9217)), "fe80::1", 255, "MTU 9217"},
	} {
		_, err := parse(tt.message, netip.MustParseAddr(tt.from), tt.hops)
		if err == nil || errors.Is(err, errOther) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.from) {
			t.Errorf("%s: got %v, want %q and %s", name, err, tt.want, tt.from)
		}
	}
	for _, m := range [][]byte{nil, solicitation(), {136, 0, 0, 0}} {
		if _, err := parse(m, one, 255); !errors.Is(err, errOther) {
			t.Errorf("%x: %v", m, err)
		}
	}
}

// TestParseGives: what a router says is what is read, whatever else it says.
func TestParseGives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := Advertisement{Router: one, Lifetime: time.Duration(rapid.IntRange(0, 65535).Draw(r, "lifetime")) * time.Second}
		options := []ndp.Option{&ndp.RecursiveDNSServer{Lifetime: time.Hour, Servers: []netip.Addr{one}}}
		for i := range rapid.IntRange(0, 4).Draw(r, "prefixes") {
			b := [16]byte{0x20, 1, 0xd, 0xb8, byte(i), rapid.Byte().Draw(r, "byte")}
			p := netip.PrefixFrom(netip.AddrFrom16(b), rapid.IntRange(48, 126).Draw(r, "bits"))
			want.Prefixes = append(want.Prefixes, p.Masked())
			options = append(options, onLink(p.Masked()))
		}
		if rapid.Bool().Draw(r, "with MTU") {
			want.MTU = rapid.IntRange(leastMTU, mostMTU).Draw(r, "MTU")
			options = append(options, ndp.NewMTU(uint32(want.MTU)))
		}
		got, err := parse(written(t, ndp.RouterAdvertisement{RouterLifetime: want.Lifetime}, options...), one, 255)
		if diff := cmp.Diff(want, got, compare); diff != "" || err != nil {
			r.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(written(f, usual(), onLink(subnet), ndp.NewMTU(1400)))
	f.Add(written(f, usual(), &ndp.DNSSearchList{Lifetime: time.Hour, DomainNames: []string{"example.com"}}))
	for _, s := range []string{"86000000400807080000000000000000", "860000004008070800000000000000001801000000000000", "8600000040080708000000000000000000"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parse(b, one, 255)
		if err != nil {
			return
		}
		if a.Router != one || a.MTU != 0 && (a.MTU < leastMTU || a.MTU > mostMTU) {
			t.Errorf("%+v", a)
		}
		for _, p := range a.Prefixes {
			if p != p.Masked() || !p.Addr().IsGlobalUnicast() || p.Addr().Is4() {
				t.Errorf("a subnet %s", p)
			}
		}
	})
}
