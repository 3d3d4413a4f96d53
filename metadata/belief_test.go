package metadata

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var (
	netipCmp    = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	equateEmpty = cmpopts.EquateEmpty()
	began       = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	wait        = time.Minute
)

func mac(n byte) MAC { return MAC{2, 0, 0, 0, 0, n} }

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// eni is a whole answer about one interface.
func eni(n byte, addresses ...string) Interface {
	return Interface{
		MAC: mac(n), Subnets: Is(prefixes("10.0.1.0/24"), "t"), Gateways: Is(addrs("10.0.1.1"), "t"),
		Addresses: Is(addrs(addresses...), "t"), Prefixes: IsNone[[]netip.Prefix]("t"),
	}
}

func with(i Interface, change func(*Interface)) Interface {
	change(&i)
	return i
}

func answer(interfaces ...Interface) Snapshot {
	return Snapshot{Interfaces: interfaces, Complete: true}
}

// TestBeliefOfAnInterface feeds answers about one interface and checks what is
// believed after the last.
func TestBeliefOfAnInterface(t *testing.T) {
	noPrefixes := func(i *Interface) { i.Prefixes = Fact[[]netip.Prefix]{} }
	atLeast := func(i *Interface) { i.Addresses.State = AtLeast }
	unknown := func(i *Interface) { i.Addresses = Fact[[]netip.Addr]{} }
	mtu := func(n int) func(*Interface) { return func(i *Interface) { i.MTU = Is(n, "t") } }
	gateway := func(s string) func(*Interface) { return func(i *Interface) { i.Gateways = Is(addrs(s), "t") } }
	ab, a, abc := eni(1, "10.0.1.5", "10.0.1.6"), eni(1, "10.0.1.5"), eni(1, "10.0.1.5", "10.0.1.6", "10.0.1.7")
	ba := eni(1, "10.0.1.6", "10.0.1.5")
	for name, tt := range map[string]struct {
		answers       []Interface
		want          []string
		mtu           int
		gateway       string
		hold, pending bool
	}{
		"first answer":                   {answers: []Interface{ab}, want: []string{"10.0.1.5", "10.0.1.6"}, hold: true, pending: true},
		"second answer confirms":         {answers: []Interface{ab, ab}, want: []string{"10.0.1.5", "10.0.1.6"}},
		"gain at once":                   {answers: []Interface{ab, ab, abc}, want: []string{"10.0.1.5", "10.0.1.6", "10.0.1.7"}},
		"loss waits":                     {answers: []Interface{ab, ab, a}, want: []string{"10.0.1.5", "10.0.1.6"}, pending: true},
		"loss confirmed":                 {answers: []Interface{ab, ab, a, a}, want: []string{"10.0.1.5"}},
		"loss taken back":                {answers: []Interface{ab, ab, a, ab, a}, want: []string{"10.0.1.5", "10.0.1.6"}, pending: true},
		"loss confirmed past a damage":   {answers: []Interface{ab, ab, a, with(a, unknown), a}, want: []string{"10.0.1.5"}},
		"other loss and gain":            {answers: []Interface{ab, ab, eni(1, "10.0.1.5", "10.0.1.8")}, want: []string{"10.0.1.5", "10.0.1.6", "10.0.1.8"}, pending: true},
		"order waits":                    {answers: []Interface{ab, ab, ba}, want: []string{"10.0.1.5", "10.0.1.6"}, pending: true},
		"order confirmed":                {answers: []Interface{ab, ab, ba, ba}, want: []string{"10.0.1.6", "10.0.1.5"}},
		"new primary waits":              {answers: []Interface{a, a, ba}, want: []string{"10.0.1.5", "10.0.1.6"}, pending: true},
		"unknown keeps and holds":        {answers: []Interface{ab, ab, with(ab, unknown)}, want: []string{"10.0.1.5", "10.0.1.6"}, hold: true},
		"part gains":                     {answers: []Interface{ab, ab, with(eni(1, "10.0.1.9"), atLeast)}, want: []string{"10.0.1.5", "10.0.1.6", "10.0.1.9"}, hold: true},
		"not whole never loses":          {answers: []Interface{ab, ab, with(a, noPrefixes), with(a, noPrefixes), with(a, noPrefixes)}, want: []string{"10.0.1.5", "10.0.1.6"}, hold: true},
		"empty is not an answer":         {answers: []Interface{ab, ab, eni(1), eni(1)}, want: []string{"10.0.1.5", "10.0.1.6"}, hold: true},
		"whole again, nothing is held":   {answers: []Interface{ab, ab, with(ab, unknown), ab}, want: []string{"10.0.1.5", "10.0.1.6"}},
		"scalar waits":                   {answers: []Interface{with(a, mtu(1500)), with(a, mtu(1500)), with(a, mtu(9000))}, want: []string{"10.0.1.5"}, mtu: 1500, pending: true},
		"scalar confirmed":               {answers: []Interface{with(a, mtu(1500)), with(a, mtu(9000)), with(a, mtu(9000))}, want: []string{"10.0.1.5"}, mtu: 9000},
		"scalar left out":                {answers: []Interface{with(a, mtu(1500)), a, a}, want: []string{"10.0.1.5"}, mtu: 1500},
		"gateway waits":                  {answers: []Interface{a, a, with(a, gateway("10.0.1.2"))}, want: []string{"10.0.1.5"}, gateway: "10.0.1.1", pending: true},
		"gateway confirmed":              {answers: []Interface{a, a, with(a, gateway("10.0.1.2")), with(a, gateway("10.0.1.2"))}, want: []string{"10.0.1.5"}, gateway: "10.0.1.2"},
		"never confirmed, hold":          {answers: []Interface{ab, a}, want: []string{"10.0.1.5", "10.0.1.6"}, hold: true, pending: true},
		"only damage since the start":    {answers: []Interface{with(a, atLeast)}, want: []string{"10.0.1.5"}, hold: true},
		"IPv6 beside is a gain":          {answers: []Interface{ab, ab, eni(1, "2001:db8::5", "10.0.1.5", "10.0.1.6")}, want: []string{"2001:db8::5", "10.0.1.5", "10.0.1.6"}},
		"losing one family waits as all": {answers: []Interface{eni(1, "10.0.1.5", "2001:db8::5"), eni(1, "10.0.1.5")}, want: []string{"10.0.1.5", "2001:db8::5"}, hold: true, pending: true},
	} {
		t.Run(name, func(t *testing.T) {
			var b Belief
			for n, i := range tt.answers {
				b = b.Update(answer(i), began.Add(time.Duration(n)*time.Second), wait)
			}
			got := b.Interfaces()[0]
			if d := cmp.Diff(addrs(tt.want...), got.Addresses.Value, netipCmp); d != "" {
				t.Errorf("addresses: %s", d)
			}
			if got.Hold != tt.hold || b.Pending() != tt.pending {
				t.Errorf("hold %v, pending %v; want %v, %v", got.Hold, b.Pending(), tt.hold, tt.pending)
			}
			if got.MTU.Value != tt.mtu {
				t.Errorf("mtu %d, want %d", got.MTU.Value, tt.mtu)
			}
			if tt.gateway != "" && !slices.Equal(got.Gateways.Value, addrs(tt.gateway)) {
				t.Errorf("gateways %v, want %s", got.Gateways.Value, tt.gateway)
			}
		})
	}
}

// TestBeliefOfTheList feeds lists, ten seconds apart, with a wait of twenty.
func TestBeliefOfTheList(t *testing.T) {
	one, two := eni(1, "10.0.1.5"), eni(2, "10.0.1.6")
	both, only, none := answer(one, two), answer(one), Snapshot{Complete: true}
	part := Snapshot{Interfaces: []Interface{one}}
	for name, tt := range map[string]struct {
		answers  []Snapshot
		want     []byte
		settled  bool
		deadline int // seconds, 0 for none
	}{
		"nothing":                      {},
		"first":                        {answers: []Snapshot{both}, want: []byte{1, 2}},
		"settles":                      {answers: []Snapshot{both, both, both}, want: []byte{1, 2}, settled: true},
		"absent":                       {answers: []Snapshot{both, only, only}, want: []byte{1, 2}, deadline: 30},
		"gone":                         {answers: []Snapshot{both, only, only, only}, want: []byte{1}, settled: true},
		"back":                         {answers: []Snapshot{both, only, only, both}, want: []byte{1, 2}},
		"absent again waits again":     {answers: []Snapshot{both, only, only, both, only, only}, want: []byte{1, 2}, deadline: 60},
		"incomplete starts anew":       {answers: []Snapshot{both, only, only, part, only, only}, want: []byte{1, 2}, deadline: 60},
		"incomplete has no deadline":   {answers: []Snapshot{both, only, part}, want: []byte{1, 2}},
		"incomplete never forgets":     {answers: []Snapshot{both, part, part, part, part, part}, want: []byte{1, 2}},
		"empty is not an answer":       {answers: []Snapshot{both, none, none, none, none, none}, want: []byte{1, 2}},
		"a new one starts anew":        {answers: []Snapshot{both, only, only, answer(one, eni(3, "10.0.1.7"))}, want: []byte{1, 2, 3}, deadline: 50},
		"order of a list is no matter": {answers: []Snapshot{both, answer(two, one), both}, want: []byte{1, 2}, settled: true},
	} {
		t.Run(name, func(t *testing.T) {
			var b Belief
			for n, s := range tt.answers {
				b = b.Update(s, began.Add(time.Duration(n)*10*time.Second), 20*time.Second)
			}
			var got []byte
			absent := false
			for _, i := range b.Interfaces() {
				got = append(got, i.MAC[5])
				absent = absent || !i.AbsentSince.IsZero()
			}
			if !slices.Equal(got, tt.want) || b.Settled() != tt.settled {
				t.Errorf("believed %v, settled %v; want %v, %v", got, b.Settled(), tt.want, tt.settled)
			}
			deadline, ok := b.NextDeadline()
			if ok != (tt.deadline > 0) || ok && !deadline.Equal(began.Add(time.Duration(tt.deadline)*time.Second)) {
				t.Errorf("deadline %v, %v; want %d s", deadline, ok, tt.deadline)
			}
			if ok && !absent {
				t.Error("a deadline, but nothing is absent")
			}
		})
	}
}

// drawENI is a right answer: always, and some more.
func drawENI(t *rapid.T, n byte, always []string) Interface {
	extra := rapid.SliceOfNDistinct(rapid.IntRange(20, 40), 0, 4, rapid.ID).Draw(t, "extra")
	all := slices.Clone(always)
	for _, e := range extra {
		all = append(all, fmt.Sprintf("10.0.%d.%d", n, e))
	}
	return with(eni(n, all...), func(i *Interface) {
		i.MTU = Is(rapid.SampledFrom([]int{1500, 9000}).Draw(t, "mtu"), "t")
		i.Primary = Is(n == 1, "t")
	})
}

// damage is an answer that says less than right, and says that it does.
func damage(t *rapid.T, right Interface) Interface {
	i := right.Clone()
	switch rapid.IntRange(0, 4).Draw(t, "damage") {
	case 0:
		i.Addresses = Fact[[]netip.Addr]{}
	case 1:
		i.Addresses = HasAtLeast(i.Addresses.Value[:rapid.IntRange(0, len(i.Addresses.Value)).Draw(t, "kept")], "t")
	case 2:
		i.Prefixes = Fact[[]netip.Prefix]{}
	case 3:
		i.Subnets, i.MTU = Fact[[]netip.Prefix]{}, Fact[int]{}
	case 4:
		i.Addresses = Is([]netip.Addr{}, "t")
	}
	return i
}

// TestBeliefSurvivesWrongAnswers: whatever single answers get wrong, an address
// that is in all right answers is never missing once it was gained, and an
// interface that all right answers list is never forgotten.
func TestBeliefSurvivesWrongAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Belief
		now := began
		always := []string{"10.0.1.5", "10.0.1.6"}
		right := drawENI(t, 1, always)
		known := []netip.Addr(nil) // of always, what was gained
		wrongBefore := false
		for range rapid.IntRange(1, 30).Draw(t, "answers") {
			s := answer(right)
			switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case kind == 0:
				right = drawENI(t, 1, always)
				s = answer(right)
			case kind == 1:
				s = answer(damage(t, right))
			case kind == 2 && !wrongBefore:
				s = answer(drawENI(t, 1, always[:rapid.IntRange(0, 1).Draw(t, "kept")]))
				wrongBefore = len(s.Interfaces[0].Addresses.Value) > 0 // else it is not whole
			case kind == 3:
				s = Snapshot{Interfaces: []Interface{eni(9, "10.0.9.9")}}
			}
			whole := len(s.Interfaces) == 1 && s.Interfaces[0].MAC == mac(1) && s.Interfaces[0].Whole()
			if whole && slices.Equal(s.Interfaces[0].Addresses.Value, right.Addresses.Value) {
				wrongBefore = false
			}
			before := b.Interfaces()
			old := b
			b = b.Update(s, now, wait)
			if d := cmp.Diff(before, old.Interfaces(), netipCmp); d != "" {
				t.Fatalf("Update changed its receiver: %s", d)
			}
			now = now.Add(10 * time.Second)
			believed := find(b, mac(1))
			for _, a := range known {
				if !slices.Contains(believed.Addresses.Value, a) {
					t.Fatalf("%s is lost: %v", a, believed)
				}
			}
			for _, a := range addrs(always...) {
				if slices.Contains(believed.Addresses.Value, a) && !slices.Contains(known, a) {
					known = append(known, a)
				}
			}
		}
		for range 2 {
			b = b.Update(answer(right), now, wait)
		}
		got := find(b, mac(1))
		if d := cmp.Diff(right, got.Interface, netipCmp); d != "" || got.Hold || b.Pending() {
			t.Fatalf("two right answers are not believed: %s hold %v pending %v", d, got.Hold, b.Pending())
		}
		b = b.Update(answer(right), now.Add(wait), wait)
		if !b.Settled() || len(b.Interfaces()) != 1 {
			t.Fatalf("settled %v with %v", b.Settled(), b.Interfaces())
		}
	})
}

func find(b Belief, m MAC) Believed {
	for _, i := range b.Interfaces() {
		if i.MAC == m {
			return i
		}
	}
	return Believed{}
}
