package metadata

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFirstHost(t *testing.T) {
	for subnet, want := range map[string]string{"172.31.32.0/20": "172.31.32.1", "10.0.0.0/8": "10.0.0.1", "10.0.0.4/30": "10.0.0.5", "10.0.0.4/31": "invalid IP", "255.255.255.255/32": "invalid IP"} {
		if got := FirstHost(netip.MustParsePrefix(subnet)).String(); got != want {
			t.Errorf("%s: got %s, want %s", subnet, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	v4 := Lines(IPv4)
	for body, want := range map[string]string{
		"10.0.0.1":                       "10.0.0.1",
		" 10.0.0.2/\r\n\n10.0.0.1\n":     "10.0.0.2 10.0.0.1",
		"10.0.0.1\n10.0.0.2\n10.0.0.1\n": "10.0.0.1 10.0.0.2",
		"":                               "error",
		" \r\n":                          "error",
		"/\n":                            "error",
		"10.0.0.1\n10.0.0.":              "error",
		"::ffff:10.0.0.1":                "error",
	} {
		var got string
		values, err := v4(body)
		for n, a := range values {
			if n > 0 {
				got += " "
			}
			got += a.String()
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
	}
}

func TestReaders(t *testing.T) {
	for _, tt := range []struct {
		text           string
		v4, v6, n4, n6 bool
	}{
		{"10.0.0.1", true, false, false, false},
		{"2001:db8::1", false, true, false, false},
		{"fe80::1%eth0", false, false, false, false},
		{"::ffff:10.0.0.1", false, false, false, false},
		{"10.0.0.0/24", false, false, true, false},
		{"10.0.0.1/24", false, false, false, false},
		{"0.0.0.0/0", false, false, false, false},
		{"2001:db8::/64", false, false, false, true},
		{"2001:db8::1/64", false, false, false, false},
		{"::/0", false, false, false, false},
		{"::ffff:10.0.0.0/120", false, false, false, false},
		{"", false, false, false, false},
	} {
		_, not4 := IPv4(tt.text)
		_, not6 := IPv6(tt.text)
		_, notNet4 := Prefix4(tt.text)
		_, notNet6 := Prefix6(tt.text)
		got := []bool{not4 == nil, not6 == nil, notNet4 == nil, notNet6 == nil}
		if diff := cmp.Diff([]bool{tt.v4, tt.v6, tt.n4, tt.n6}, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestListOfMACs(t *testing.T) {
	for _, path := range []string{"macs", "macs/"} {
		listed, bad := MACTree{MACs: path}.List("0A:00:00:00:00:02/\r\n\n0a-00-00-00-00-01\neth0/\n0a0000000002\n")
		want := []ListedMAC{{MAC{10, 0, 0, 0, 0, 1}, "macs/0a-00-00-00-00-01/"}, {MAC{10, 0, 0, 0, 0, 2}, "macs/0A:00:00:00:00:02/"}}
		if diff := cmp.Diff(want, listed); diff != "" || !cmp.Equal(bad, []string{"eth0"}) {
			t.Errorf("%v (-want +got):\n%s", bad, diff)
		}
	}
}

func TestToAsk(t *testing.T) {
	keys := []string{"id", "list", "dir/"}
	all := []string{"m/id", "m/list", "m/dir/"}
	for name, tt := range map[string]struct {
		listing Answer
		want    []string
	}{
		"listed":         {Answer{Body: "list\r\nmac\ndir/\n"}, []string{"m/list", "m/dir/"}},
		"absent":         {Answer{Err: ErrNotFound}, nil},
		"unreadable":     {Answer{Err: errors.New("down")}, all},
		"nothing known":  {Answer{Body: "mac\n"}, all},
		"empty":          {Answer{}, all},
		"no exact match": {Answer{Body: "id/\nlists\ndir\n"}, all},
	} {
		if diff := cmp.Diff(tt.want, ToAsk("m/", tt.listing, keys)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The whole of two halves is known where both are, and none of what either has is lost.
func TestJoinFamilies(t *testing.T) {
	half := rapid.Custom(func(t *rapid.T) Fact[[]int] {
		switch State(rapid.IntRange(0, 3).Draw(t, "state")) {
		case None:
			return IsNone[[]int]("o")
		case Known:
			return Is(rapid.SliceOfN(rapid.Int(), 1, 3).Draw(t, "values"), "o")
		case AtLeast:
			return HasAtLeast(rapid.SliceOfN(rapid.Int(), 1, 3).Draw(t, "values"), "o")
		}
		return Fact[[]int]{}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := half.Draw(t, "v4"), half.Draw(t, "v6")
		got := JoinFamilies("o", a, b)
		values := append(append([]int(nil), a.Value...), b.Value...)
		if got.Whole() != (a.Whole() && b.Whole()) || !cmp.Equal(values, got.Value) {
			t.Fatalf("%+v and %+v: %+v", a, b, got)
		}
		if (len(values) == 0) != (got.State == None || got.State == Unknown) {
			t.Fatalf("%+v and %+v: state %s", a, b, got.State)
		}
	})
}

func TestRouterOf(t *testing.T) {
	subnet := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	for _, tt := range []struct {
		subnets Fact[[]netip.Prefix]
		want    State
	}{
		{Is(subnet, "o"), Known},
		{IsNone[[]netip.Prefix]("o"), None},
		{Fact[[]netip.Prefix]{}, Unknown},
		{HasAtLeast(subnet, "o"), AtLeast},
		{Is([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/32")}, "o"), Unknown},
	} {
		if got := RouterOf(tt.subnets, FirstHost); got.State != tt.want || len(got.Value) > 0 && got.Value[0] != FirstHost(subnet[0]) {
			t.Errorf("%+v: got %+v", tt.subnets, got)
		}
	}
}
