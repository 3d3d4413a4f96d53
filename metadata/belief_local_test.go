package metadata

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBeliefOfLocalRanges: most dialects never speak of local ranges and are whole without; where one does, what
// it could not read is kept, and a loss is believed when a second answer that knows says the same.
func TestBeliefOfLocalRanges(t *testing.T) {
	a := eni(1, "10.0.1.5")
	local := func(s ...string) Interface {
		return with(a, func(i *Interface) { i.Local = Is(prefixes(s...), "t") })
	}
	none := with(a, func(i *Interface) { i.Local.State = None })
	some := func(s ...string) Interface {
		return with(a, func(i *Interface) { i.Local = HasAtLeast(prefixes(s...), "t") })
	}
	one, two := "10.24.3.0/24", "10.24.4.0/24"
	for name, tt := range map[string]struct {
		answers       []Interface
		want          []string
		state         State
		hold, pending bool
	}{
		"a dialect without them":     {answers: []Interface{a, a}},
		"gain at once":               {answers: []Interface{none, none, local(one)}, want: []string{one}, state: Known},
		"loss waits":                 {answers: []Interface{local(one, two), local(one, two), local(one)}, want: []string{one, two}, state: Known, pending: true},
		"loss confirmed":             {answers: []Interface{local(one), local(one), none, none}, state: None},
		"not readable keeps":         {answers: []Interface{local(one), local(one), a, a, a}, want: []string{one}, state: Known},
		"silence confirms nothing":   {answers: []Interface{local(one), local(one), a, none}, want: []string{one}, state: Known, pending: true},
		"silence between two losses": {answers: []Interface{local(one), local(one), none, a, none}, want: []string{one}, state: Known, pending: true},
		"a part never loses":         {answers: []Interface{local(one, two), local(one, two), some(one), some(one), some(one)}, want: []string{one, two}, state: Known},
		"a part gains":               {answers: []Interface{local(one), local(one), some(two)}, want: []string{one, two}, state: AtLeast},
		"first of all not readable":  {answers: []Interface{a, a, local(one)}, want: []string{one}, state: Known},
		"in doubt at the start":      {answers: []Interface{local(one), local(two)}, want: []string{one, two}, state: AtLeast, hold: true, pending: true},
	} {
		t.Run(name, func(t *testing.T) {
			var b Belief
			for n, i := range tt.answers {
				b = b.Update(answer(i), began.Add(time.Duration(n)*time.Second), wait)
			}
			got := b.Interfaces()[0]
			if d := cmp.Diff(prefixes(tt.want...), got.Local.Value, netipCmp, equateEmpty); d != "" || got.Local.State != tt.state {
				t.Errorf("local %s, want %s: %s", got.Local.State, tt.state, d)
			}
			if got.Hold != tt.hold || b.Pending() != tt.pending {
				t.Errorf("hold %v, pending %v; want %v, %v", got.Hold, b.Pending(), tt.hold, tt.pending)
			}
		})
	}
}

// TestBeliefOfVLANs: that an ENI moves to another NIC, or gets one of its own, is believed at the second answer.
func TestBeliefOfVLANs(t *testing.T) {
	a := eni(2, "10.0.1.5")
	tag := func(id int) Interface {
		return with(a, func(i *Interface) { i.VLAN = Is(VLAN{mac(1), id}, "t") })
	}
	none := with(a, func(i *Interface) { i.VLAN = IsNone[VLAN]("t") })
	for name, tt := range map[string]struct {
		answers []Interface
		want    int // 0 for none known
		pending bool
	}{
		"a dialect without":  {answers: []Interface{a, a}},
		"first":              {answers: []Interface{tag(10), tag(10)}, want: 10},
		"not readable":       {answers: []Interface{tag(10), tag(10), a, a}, want: 10},
		"another waits":      {answers: []Interface{tag(10), tag(10), tag(11)}, want: 10, pending: true},
		"another, confirmed": {answers: []Interface{tag(10), tag(10), tag(11), tag(11)}, want: 11},
		"none waits":         {answers: []Interface{tag(10), tag(10), none}, want: 10, pending: true},
		"none, confirmed":    {answers: []Interface{tag(10), tag(10), none, none}},
	} {
		t.Run(name, func(t *testing.T) {
			var b Belief
			for n, i := range tt.answers {
				b = b.Update(answer(i), began.Add(time.Duration(n)*time.Second), wait)
			}
			if got := b.Interfaces()[0].VLAN.Value.ID; got != tt.want || b.Pending() != tt.pending {
				t.Errorf("VLAN %d, pending %v; want %d, %v", got, b.Pending(), tt.want, tt.pending)
			}
		})
	}
}
