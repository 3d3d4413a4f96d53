package metadata

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// primary is a right answer about the primary interface, with an id.
func primary() Interface {
	return with(eni(1, "10.0.1.5", "10.0.1.6"), func(i *Interface) {
		i.ID, i.Primary = Is("eni-1", "t"), Is(true, "t")
	})
}

// second is a right answer about another one.
func second(addresses ...string) Interface {
	return with(eni(2, addresses...), func(i *Interface) {
		i.ID, i.Primary = Is("eni-2", "t"), Is(false, "t")
	})
}

// TestValidateInterface changes one thing in a right answer. Whatever is not
// named in want stays as it was.
func TestValidateInterface(t *testing.T) {
	addresses := func(s ...string) func(*Interface) {
		return func(i *Interface) { i.Addresses = Is(addrs(s...), "t") }
	}
	gateways := func(s ...string) func(*Interface) {
		return func(i *Interface) { i.Gateways = Is(addrs(s...), "t") }
	}
	subnets := func(s ...string) func(*Interface) {
		return func(i *Interface) { i.Subnets = Is(prefixes(s...), "t") }
	}
	delegated := func(s ...string) func(*Interface) {
		return func(i *Interface) { i.Prefixes = Is(prefixes(s...), "t") }
	}
	local := func(s ...string) func(*Interface) {
		return func(i *Interface) { i.Local = Is(prefixes(s...), "t") }
	}
	vlan := func(parent byte, id int) func(*Interface) {
		return func(i *Interface) { i.VLAN = Is(VLAN{mac(parent), id}, "t") }
	}
	noLocal := func(i *Interface) { i.Local = Fact[[]netip.Prefix]{} }
	noVLAN := func(i *Interface) { i.VLAN = Fact[VLAN]{} }
	mtu := func(n int) func(*Interface) { return func(i *Interface) { i.MTU = Is(n, "t") } }
	both := func(f ...func(*Interface)) func(*Interface) {
		return func(i *Interface) {
			for _, f := range f {
				f(i)
			}
		}
	}
	atLeast := func(i *Interface) { i.Addresses.State = AtLeast }
	noAddress := func(i *Interface) { i.Addresses = Fact[[]netip.Addr]{} }
	noGateway := func(i *Interface) { i.Gateways = Fact[[]netip.Addr]{} }
	noMTU := func(i *Interface) { i.MTU = Fact[int]{} }
	noSubnet := func(i *Interface) { i.Subnets = Fact[[]netip.Prefix]{} }
	noPrefix := func(i *Interface) { i.Prefixes = Fact[[]netip.Prefix]{} }
	left := both(addresses("10.0.1.5"), atLeast)
	dual := both(subnets("10.0.1.0/24", "2001:db8::/64"), addresses("10.0.1.5", "2001:db8::5"))
	for name, tt := range map[string]struct {
		given, want func(*Interface)
		field       string
		reason      string // "" where nothing is wrong
	}{
		"right":                        {given: dual, want: dual},
		"loopback":                     {addresses("10.0.1.5", "127.0.0.1"), left, "addresses", ReasonBadAddress},
		"multicast":                    {addresses("10.0.1.5", "ff02::1"), left, "addresses", ReasonBadAddress},
		"unspecified":                  {addresses("0.0.0.0", "10.0.1.5"), left, "addresses", ReasonBadAddress},
		"link-local IPv4":              {addresses("10.0.1.5", "169.254.1.1"), left, "addresses", ReasonBadAddress},
		"link-local IPv6":              {addresses("10.0.1.5", "fe80::5"), left, "addresses", ReasonBadAddress},
		"metadata":                     {addresses("10.0.1.5", "169.254.169.254"), left, "addresses", ReasonBadAddress},
		"metadata of Alibaba Cloud":    {both(noSubnet, addresses("10.0.1.5", "100.100.100.200")), both(noSubnet, left), "addresses", ReasonBadAddress},
		"metadata of EC2 in IPv6":      {both(noSubnet, addresses("10.0.1.5", "fd00:ec2::254")), both(noSubnet, left), "addresses", ReasonBadAddress},
		"network address":              {addresses("10.0.1.5", "10.0.1.0"), left, "addresses", ReasonNotAHost},
		"broadcast address":            {addresses("10.0.1.5", "10.0.1.255"), left, "addresses", ReasonNotAHost},
		"anycast address":              {both(subnets("10.0.1.0/24", "2001:db8::/64"), addresses("10.0.1.5", "2001:db8::")), both(subnets("10.0.1.0/24", "2001:db8::/64"), left), "addresses", ReasonNotAHost},
		"last address in IPv6":         {given: both(subnets("2001:db8::/120", "10.0.1.0/24"), addresses("2001:db8::ff")), want: both(subnets("2001:db8::/120", "10.0.1.0/24"), addresses("2001:db8::ff"))},
		"edges of a /31":               {given: both(subnets("10.0.1.6/31"), gateways("10.0.1.7"), addresses("10.0.1.6")), want: both(subnets("10.0.1.6/31"), gateways("10.0.1.7"), addresses("10.0.1.6"))},
		"the gateway's":                {addresses("10.0.1.5", "10.0.1.1"), left, "addresses", ReasonIsGateway},
		"outside every subnet":         {addresses("10.0.1.5", "10.0.2.5"), left, "addresses", ReasonOutsideSubnet},
		"outside, subnets unknown":     {given: both(noSubnet, addresses("10.0.2.5")), want: both(noSubnet, addresses("10.0.2.5"))},
		"no address is left":           {addresses("127.0.0.1"), noAddress, "addresses", ReasonBadAddress},
		"empty list":                   {addresses(), noAddress, "addresses", ReasonNoAddress},
		"none":                         {func(i *Interface) { i.Addresses = IsNone[[]netip.Addr]("t") }, noAddress, "addresses", ReasonNoAddress},
		"mapped":                       {given: addresses("::ffff:10.0.1.5"), want: addresses("10.0.1.5")},
		"twice":                        {given: addresses("10.0.1.5", "10.0.1.6", "10.0.1.5", "::ffff:10.0.1.6"), want: addresses("10.0.1.5", "10.0.1.6")},
		"gateway off link":             {gateways("10.0.2.1"), noGateway, "gateway", ReasonGatewayOffLink},
		"gateway off link, unknown":    {given: both(noSubnet, gateways("10.0.2.1")), want: both(noSubnet, gateways("10.0.2.1"))},
		"gateway of lone addresses":    {given: both(subnets("10.0.1.5/32", "10.0.1.6/32"), gateways("10.0.1.1")), want: both(subnets("10.0.1.5/32", "10.0.1.6/32"), gateways("10.0.1.1"))},
		"gateway of another family":    {both(subnets("10.0.1.0/24", "2001:db8::5/128"), addresses("10.0.1.5", "2001:db8::5"), gateways("10.0.2.1", "2001:db8::1")), both(subnets("10.0.1.0/24", "2001:db8::5/128"), addresses("10.0.1.5", "2001:db8::5"), func(i *Interface) { i.Gateways = HasAtLeast(addrs("2001:db8::1"), "t") }), "gateway", ReasonGatewayOffLink},
		"link-local gateway":           {given: gateways("10.0.1.1", "fe80::1"), want: gateways("10.0.1.1", "fe80::1")},
		"one of two gateways off link": {gateways("10.0.1.1", "2001:db8::1"), func(i *Interface) { i.Gateways = HasAtLeast(addrs("10.0.1.1"), "t") }, "gateway", ReasonGatewayOffLink},
		"loopback gateway":             {gateways("127.0.0.1"), noGateway, "gateway", ReasonBadGateway},
		"two gateways":                 {gateways("10.0.1.1", "10.0.1.2"), noGateway, "gateway", ReasonTwoGateways},
		"subnet is everything":         {subnets("0.0.0.0/0"), noSubnet, "subnets", ReasonBadSubnet},
		"loopback subnet":              {subnets("127.0.0.0/8"), noSubnet, "subnets", ReasonBadSubnet},
		"multicast subnet":             {subnets("10.0.1.0/24", "ff00::/8"), func(i *Interface) { i.Subnets.State = AtLeast }, "subnets", ReasonBadSubnet},
		"subnet with host bits":        {subnets("10.0.1.5/24"), noSubnet, "subnets", ReasonHostBits},
		"mapped subnet":                {given: subnets("::ffff:10.0.1.0/120"), want: subnets("10.0.1.0/24")},
		"invalid subnet":               {func(i *Interface) { i.Subnets = Is([]netip.Prefix{{}}, "t") }, noSubnet, "subnets", ReasonBadSubnet},
		"prefix":                       {given: delegated("10.0.1.32/28", "10.0.1.32/28"), want: delegated("10.0.1.32/28")},
		"prefix with host bits":        {delegated("10.0.1.33/28"), noPrefix, "prefixes", ReasonHostBits},
		"prefix is everything":         {delegated("::/0"), noPrefix, "prefixes", ReasonBadPrefix},
		"local":                        {given: both(dual, local("10.24.3.0/24", "::ffff:10.24.4.0/120", "2001:db8:9::/96")), want: both(dual, local("10.24.3.0/24", "10.24.4.0/24", "2001:db8:9::/96"))},
		"local in its own subnet":      {given: local("10.0.1.16/28"), want: local("10.0.1.16/28")},
		"local over its own address":   {given: local("10.0.1.5/32"), want: local("10.0.1.5/32")},
		"local with host bits":         {local("10.24.3.1/24"), noLocal, "local", ReasonHostBits},
		"local too wide":               {local("64.0.0.0/7", "10.24.3.0/24"), both(local("10.24.3.0/24"), func(i *Interface) { i.Local.State = AtLeast }), "local", ReasonBadLocal},
		"local over the metadata":      {local("100.100.100.0/24"), noLocal, "local", ReasonLocalSwallows},
		"local over the gateway":       {local("10.0.1.0/28"), noLocal, "local", ReasonLocalSwallows},
		"local over the subnet":        {both(noGateway, local("10.0.0.0/16")), both(noGateway, noLocal), "local", ReasonLocalSwallows},
		"local and delegated":          {both(delegated("10.24.3.16/28"), local("10.24.3.0/24")), both(delegated("10.24.3.16/28"), noLocal), "local", ReasonPrefixOverlap},
		"VLAN":                         {given: vlan(9, 4094), want: vlan(9, 4094)},
		"VLAN 0":                       {vlan(9, 0), noVLAN, "vlan", ReasonVLAN},
		"VLAN 4095":                    {vlan(9, 4095), noVLAN, "vlan", ReasonVLAN},
		"VLAN on itself":               {vlan(1, 10), noVLAN, "vlan", ReasonVLAN},
		"VLAN without a parent":        {func(i *Interface) { i.VLAN = Is(VLAN{ID: 10}, "t") }, noVLAN, "vlan", ReasonVLAN},
		"no VLAN":                      {given: func(i *Interface) { i.VLAN = IsNone[VLAN]("t") }, want: func(i *Interface) { i.VLAN = IsNone[VLAN]("t") }},
		"MTU":                          {given: mtu(9001), want: mtu(9001)},
		"MTU too small":                {mtu(575), noMTU, "mtu", ReasonMTU},
		"MTU too large":                {mtu(9217), noMTU, "mtu", ReasonMTU},
		"MTU too small for IPv6":       {both(dual, mtu(1279)), both(dual, noMTU), "mtu", ReasonMTU},
	} {
		t.Run(name, func(t *testing.T) {
			got := Validate(answer(with(primary(), tt.given)))
			if d := cmp.Diff([]Interface{with(primary(), tt.want)}, got.Interfaces, netipCmp); d != "" {
				t.Error(d)
			}
			if tt.reason == "" {
				if len(got.Problems) > 0 {
					t.Errorf("problems %v", got.Problems)
				}
				return
			}
			if len(got.Problems) != 1 || got.Problems[0].Reason != tt.reason || got.Problems[0].Field != tt.field || got.Problems[0].Interface != "eni-1" {
				t.Errorf("problems %+v, want %s of %s of eni-1", got.Problems, tt.reason, tt.field)
			}
		})
	}
}

// TestValidateAnswer is about what interfaces say of each other.
func TestValidateAnswer(t *testing.T) {
	prefix := func(i Interface, p string) Interface {
		i.Prefixes = Is(prefixes(p), "t")
		return i
	}
	local := func(i Interface, p string) Interface {
		i.Local = Is(prefixes(p), "t")
		return i
	}
	tagged := func(i Interface) Interface {
		i.VLAN = Is(VLAN{mac(1), 10}, "t")
		return i
	}
	third := with(eni(3, "10.0.1.10"), func(i *Interface) { i.ID, i.Primary = Is("eni-3", "t"), Is(false, "t") })
	noLocal := func(i *Interface) { i.Local = Fact[[]netip.Prefix]{} }
	noPrefix := func(i *Interface) { i.Prefixes = Fact[[]netip.Prefix]{} }
	noPrimary := func(i *Interface) { i.Primary = Fact[bool]{} }
	for name, tt := range map[string]struct {
		given, want Snapshot
		problems    []string // interface, reason
	}{
		"sorted":               {answer(second("10.0.1.9"), primary()), answer(primary(), second("10.0.1.9")), nil},
		"empty":                {Snapshot{Complete: true}, Snapshot{}, []string{" no-interfaces"}},
		"incomplete and empty": {Snapshot{}, Snapshot{}, nil},
		"one MAC twice": {
			answer(primary(), second("10.0.1.9"), with(second("10.0.1.10"), func(i *Interface) { i.MAC = mac(1) })),
			Snapshot{Interfaces: []Interface{{MAC: mac(1)}, second("10.0.1.9")}},
			[]string{"02:00:00:00:00:01 duplicate-mac", " no-primary"},
		},
		"one MAC three times": {
			answer(primary(), primary(), primary()), Snapshot{Interfaces: []Interface{{MAC: mac(1)}}},
			[]string{"02:00:00:00:00:01 duplicate-mac", " no-primary"},
		},
		"address on two": {
			answer(primary(), second("10.0.1.9", "10.0.1.6")),
			answer(
				with(primary(), func(i *Interface) { i.Addresses = HasAtLeast(addrs("10.0.1.5"), "t") }),
				with(second(), func(i *Interface) { i.Addresses = HasAtLeast(addrs("10.0.1.9"), "t") }),
			),
			[]string{"eni-1 address-on-two-interfaces", "eni-2 address-on-two-interfaces"},
		},
		"prefix over an address of another": {
			answer(primary(), prefix(second("10.0.1.9"), "10.0.1.0/29")),
			answer(primary(), with(second("10.0.1.9"), noPrefix)),
			[]string{"eni-2 prefix-overlap"},
		},
		"prefix over its own address": {
			answer(primary(), prefix(second("10.0.1.33"), "10.0.1.32/28")),
			answer(primary(), prefix(second("10.0.1.33"), "10.0.1.32/28")), nil,
		},
		"prefixes overlap": {
			answer(prefix(primary(), "10.0.1.32/27"), prefix(second("10.0.1.9"), "10.0.1.32/28")),
			answer(with(primary(), noPrefix), with(second("10.0.1.9"), noPrefix)),
			[]string{"eni-1 prefix-overlap", "eni-2 prefix-overlap"},
		},
		"local range on two": {
			answer(local(primary(), "10.24.0.0/16"), local(second("10.0.1.9"), "10.24.3.0/24")),
			answer(with(primary(), noLocal), with(second("10.0.1.9"), noLocal)),
			[]string{"eni-1 prefix-overlap", "eni-2 prefix-overlap"},
		},
		"local range over an address of another": {
			answer(local(primary(), "10.0.1.8/29"), second("10.0.1.9")),
			answer(with(primary(), noLocal), second("10.0.1.9")), []string{"eni-1 prefix-overlap"},
		},
		"local range over a prefix of another": {
			answer(local(primary(), "10.24.0.0/16"), prefix(second("10.0.1.9"), "10.24.3.0/24")),
			answer(with(primary(), noLocal), prefix(second("10.0.1.9"), "10.24.3.0/24")), []string{"eni-1 prefix-overlap"},
		},
		"local range over the subnet of another": {
			answer(with(primary(), func(i *Interface) {
				i.Subnets, i.Gateways, i.Local = Is(prefixes("10.0.0.0/24"), "t"), IsNone[[]netip.Addr]("t"), Is(prefixes("10.0.1.0/24"), "t")
				i.Addresses = Is(addrs("10.0.0.5"), "t")
			}), with(second(), func(i *Interface) { i.Addresses = Fact[[]netip.Addr]{} })),
			answer(with(primary(), func(i *Interface) {
				i.Subnets, i.Gateways = Is(prefixes("10.0.0.0/24"), "t"), IsNone[[]netip.Addr]("t")
				i.Addresses = Is(addrs("10.0.0.5"), "t")
			}), with(second(), func(i *Interface) { i.Addresses = Fact[[]netip.Addr]{} })), []string{"eni-1 local-swallows"},
		},
		"one tag twice": {
			answer(primary(), tagged(second("10.0.1.9")), tagged(third)), answer(primary(), second("10.0.1.9"), third),
			[]string{"eni-2 bad-vlan", "eni-3 bad-vlan"},
		},
		"two primaries": {
			answer(primary(), with(second("10.0.1.9"), func(i *Interface) { i.Primary.Value = true })),
			answer(with(primary(), noPrimary), with(second("10.0.1.9"), noPrimary)), []string{" two-primaries"},
		},
		"no primary": {answer(second("10.0.1.9")), answer(second("10.0.1.9")), []string{" no-primary"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Validate(tt.given)
			var problems []string
			for _, p := range got.Problems {
				problems = append(problems, p.Interface+" "+p.Reason)
				if p.Reason == ReasonTwoENIs && !(strings.Contains(p.Text, "eni-1") && strings.Contains(p.Text, "eni-2")) {
					t.Errorf("%q does not name both", p.Text)
				}
			}
			if !slices.Equal(problems, tt.problems) {
				t.Errorf("problems %q, want %q", problems, tt.problems)
			}
			got.Problems = nil
			if d := cmp.Diff(tt.want, got, netipCmp, equateEmpty); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestValidateProperties: whatever the answer, what is left can be believed, nothing
// is invented, what lost something is not whole, and a second pass changes nothing.
func TestValidateProperties(t *testing.T) {
	addr := rapid.SampledFrom(addrs("10.0.1.0", "10.0.1.1", "10.0.1.5", "10.0.1.6", "10.0.1.255", "10.0.2.5", "::ffff:10.0.1.5", "127.0.0.1", "169.254.169.254", "fe80::1", "2001:db8::", "2001:db8::5", "::", "ff02::1"))
	block := rapid.SampledFrom(prefixes("10.0.1.0/24", "10.0.1.0/29", "10.0.1.5/24", "10.0.1.32/28", "0.0.0.0/0", "2001:db8::/64", "10.0.1.6/31", "127.0.0.0/8"))
	rapid.Check(t, func(t *rapid.T) {
		s := Snapshot{Complete: rapid.Bool().Draw(t, "complete")}
		for n := range rapid.IntRange(0, 4).Draw(t, "interfaces") {
			s.Interfaces = append(s.Interfaces, Interface{
				MAC:       mac(byte(rapid.IntRange(1, 5).Draw(t, "mac"))),
				ID:        Is(fmt.Sprint("eni-", n), "t"),
				Primary:   Is(rapid.Bool().Draw(t, "primary"), "t"),
				Subnets:   drawList(t, block),
				Gateways:  drawList(t, addr),
				Addresses: drawList(t, addr),
				Prefixes:  drawList(t, block),
				Local:     drawList(t, block),
				VLAN:      Is(VLAN{mac(byte(rapid.IntRange(1, 5).Draw(t, "parent"))), rapid.IntRange(-1, 4096).Draw(t, "vlan")}, "t"),
				MTU:       Is(rapid.IntRange(500, 10000).Draw(t, "mtu"), "t"),
			})
		}
		before := make([]Interface, 0, len(s.Interfaces))
		for _, i := range s.Interfaces {
			before = append(before, i.Clone())
		}
		got := Validate(s)
		if d := cmp.Diff(before, s.Interfaces, netipCmp, equateEmpty); d != "" {
			t.Fatalf("the argument changed: %s", d)
		}
		if d := cmp.Diff(got, Validate(got), netipCmp); d != "" {
			t.Fatalf("the second pass changed: %s", d)
		}
		owner := map[netip.Addr]MAC{}
		for n, i := range got.Interfaces {
			if n > 0 && got.Interfaces[n-1].MAC.String() >= i.MAC.String() {
				t.Fatalf("not sorted: %v", got.Interfaces)
			}
			if i.Addresses.Whole() && len(i.Addresses.Value) == 0 {
				t.Fatalf("an empty list is an answer: %v", i)
			}
			for _, a := range i.Addresses.Value {
				if other, taken := owner[a]; taken || a.Is4In6() || !a.IsGlobalUnicast() {
					t.Fatalf("%s of %v is believed, also of %v", a, i.MAC, other)
				}
				owner[a] = i.MAC
			}
			for _, p := range i.Local.Value {
				for _, o := range got.Interfaces {
					if slices.ContainsFunc(o.Gateways.Value, p.Contains) || slices.ContainsFunc(o.Prefixes.Value, p.Overlaps) || o.MAC != i.MAC && slices.ContainsFunc(o.Addresses.Value, p.Contains) {
						t.Fatalf("%s of %s hides something of %+v", p, i.MAC, o)
					}
				}
			}
			for _, b := range before {
				if b.ID == i.ID && i.Addresses.Whole() && len(i.Addresses.Value) < distinct(b.Addresses.Value) {
					t.Fatalf("%v lost an address and is whole: %v", b, i)
				}
			}
		}
	})
}

func drawList[T any](t *rapid.T, one *rapid.Generator[T]) Fact[[]T] {
	state := rapid.SampledFrom([]State{Unknown, None, Known, Known, AtLeast}).Draw(t, "state")
	if state == Unknown || state == None {
		return Fact[[]T]{State: state}
	}
	return Fact[[]T]{state, rapid.SliceOfN(one, 0, 3).Draw(t, "list"), "t"}
}

func distinct(all []netip.Addr) int {
	seen := map[netip.Addr]bool{}
	for _, a := range all {
		seen[a.Unmap()] = true
	}
	return len(seen)
}
