package netcfg

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestWithin: what the search finds is what a look at every route would find.
func TestWithin(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		texts := []string{"0.0.0.0", "10.0.0.0", "10.0.1.0", "10.0.1.5", "128.0.0.0", "255.255.255.255", "::", "fe80::", "2001:db8::1"}
		a := netip.MustParseAddr(rapid.SampledFrom(texts).Draw(t, "address"))
		return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
	})
	route := rapid.Custom(func(t *rapid.T) Route {
		return Route{Table: MainTable, Dst: prefix.Draw(t, "destination"), Link: rapid.IntRange(1, 3).Draw(t, "link"),
			Metric: rapid.IntRange(0, 2).Draw(t, "metric")}
	})
	rapid.Check(t, func(t *rapid.T) {
		h := Host{Routes: rapid.SliceOfN(route, 0, 30).Draw(t, "routes")}
		slices.SortFunc(h.Routes, ByNIC)
		link, p := rapid.IntRange(0, 4).Draw(t, "link asked"), prefix.Draw(t, "prefix asked")
		want := keep(h.Routes, func(r Route) bool {
			return r.Link == link && r.Dst.Bits() >= p.Bits() && p.Contains(r.Dst.Addr())
		})
		if diff := cmp.Diff(want, h.within(link, p), equate); diff != "" {
			t.Fatalf("within %d %s (-want +got):\n%s", link, p, diff)
		}
	})
}
