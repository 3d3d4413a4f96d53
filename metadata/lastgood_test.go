package metadata

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestStateText(t *testing.T) {
	for _, s := range []State{Unknown, None, Known, AtLeast} {
		var got State
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &got); err != nil || got != s {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	var s State
	if err := json.Unmarshal([]byte(`"perhaps"`), &s); err == nil || s != Unknown {
		t.Errorf("%s, %v", s, err)
	}
}

// TestRemembered: what is remembered is believed and held, of a MAC once; answers change it as they change any
// belief: a loss waits for two, an ENI that is not listed for its time.
func TestRemembered(t *testing.T) {
	one, two := eni(1, "10.0.1.5", "10.0.1.6"), eni(2, "10.0.1.7")
	b := Remember([]Interface{two, one, eni(1, "10.0.1.99")})
	got := b.Interfaces()
	if len(got) != 2 || !got[0].Hold || !got[1].Hold || b.Settled() || b.Pending() {
		t.Fatalf("%+v", got)
	}
	if d := cmp.Diff([]Interface{one, two}, []Interface{got[0].Interface, got[1].Interface}, netipCmp); d != "" {
		t.Error(d)
	}
	less := answer(eni(1, "10.0.1.5"))
	for n, want := range []struct {
		addresses, enis int
		hold            bool
	}{{2, 2, true}, {1, 2, false}, {1, 1, false}} {
		b = b.Update(less, began.Add(time.Duration(n)*wait/2), wait)
		got := b.Interfaces()
		if len(got) != want.enis || len(got[0].Addresses.Value) != want.addresses || got[0].Hold != want.hold {
			t.Errorf("after %d answers: %+v, want %+v", n+1, got, want)
		}
	}
}

// TestRememberedLosesNothing: no single answer, whatever it says, takes anything away that was remembered.
func TestRememberedLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kept := []Interface{drawENI(t, 1, []string{"10.0.1.5"}), drawENI(t, 2, []string{"10.0.2.5"})}
		s := answer(damage(t, drawENI(t, 1, []string{"10.0.1.7"})))
		s.Complete = rapid.Bool().Draw(t, "complete")
		b := Remember(kept).Update(s, began, wait)
		for _, k := range kept {
			now := find(b, k.MAC)
			for _, a := range k.Addresses.Value {
				if !slices.Contains(now.Addresses.Value, a) || !now.Hold {
					t.Fatalf("%s is lost, or not held: %+v", a, now)
				}
			}
		}
	})
}
