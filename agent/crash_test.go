package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"enid/metadata"
	"enid/netcfg"
)

// inBubble hides from rapid that there is a deadline, which a synctest bubble does not tell.
type inBubble struct{ rapid.TB }

// drawENIs draws what the cloud says: the primary and up to three other ENIs.
func drawENIs(t *rapid.T, label string) []metadata.Interface {
	var enis []metadata.Interface
	for i := range 4 {
		least := 0
		if i == 0 {
			least = 1
		}
		n := rapid.IntRange(least, 3).Draw(t, fmt.Sprintf("%s: addresses of ENI %d", label, i))
		if n > 0 {
			enis = append(enis, eni(i, []int{5, 6, 7}[:n]...))
		}
	}
	return enis
}

// quick is a host in which everything is decided after seconds, with the NICs of these ENIs.
func quick(t testing.TB, complain rapid.TB, enis ...metadata.Interface) *host {
	h := newHost(t)
	h.t = complain
	h.config.Metadata.Poll, h.config.Metadata.DetachAfter = time.Second, 2*time.Second
	h.plugFor(enis)
	h.cloud.says(enis...)
	return h
}

func (h *host) plugFor(enis []metadata.Interface) {
	for _, e := range enis {
		if !slices.ContainsFunc(h.Links, func(l netcfg.Link) bool { return l.MAC == e.MAC }) {
			h.plug(int(e.MAC[5]))
		}
	}
}

func addresses(enis []metadata.Interface) []string {
	var all []string
	for _, e := range enis {
		for _, a := range e.Addresses.Value {
			all = append(all, a.String())
		}
	}
	return all
}

// TestCrashAfterAnyOperation: killed after the nth operation of any change and started again, the agent
// converges; on the way no packet leaves by a wrong NIC and no address that stays is missing for an instant.
func TestCrashAfterAnyOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			before, after := drawENIs(rt, "before"), drawENIs(rt, "after")
			h := quick(t, rt, before...)
			h.start()
			defer func() { h.stop() }()
			h.after(4 * time.Second)
			h.wantAddresses(addresses(before)...)

			stays := slices.DeleteFunc(addresses(before), func(a string) bool { return !slices.Contains(addresses(after), a) })
			left := rapid.IntRange(1, 40).Draw(rt, "operations until the crash")
			poke := h.OnWrite
			h.OnWrite = func(op netcfg.Op) {
				poke(op)
				h.wantOwnWays(op.String())
				h.wantThere(stays, op.String())
				if left--; left == 0 {
					h.crash()
				}
			}
			h.change(func() { h.plugFor(after) })
			h.cloud.says(after...)
			h.after(time.Duration(rapid.IntRange(1, 4).Draw(rt, "seconds until the restart")) * time.Second)
			h.stop()
			left = 0 // the second start is left alone
			h.start()
			h.after(6 * time.Second)
			h.wantOnly(after)
		})
	})
}

// wantOnly checks that everything of these ENIs is there, and nothing of any other.
func (h *host) wantOnly(enis []metadata.Interface) {
	h.t.Helper()
	if s := h.agent.Status(); !s.Converged || !s.Metadata.Settled {
		h.t.Errorf("it does not converge: %+v", s)
	}
	h.wantAddresses(addresses(enis)...)
	h.wantWays("at the end")
	used := map[int]bool{0: true, 900: len(enis) > 1}
	for _, e := range enis {
		used[int(h.eni(int(e.MAC[5])).Slot)] = true
	}
	for _, r := range h.Routes {
		if r.Proto == h.Proto && !used[r.Table-20000] {
			h.t.Errorf("a route is left: %+v", r)
		}
	}
	for _, r := range h.Rules {
		if p := max(r.Priority, r.Goto); p > 33000 && !used[(p+2-33000)/10] {
			h.t.Errorf("a rule is left: %+v", r)
		}
	}
}

// wantOwnWays is wantWays, where no way at all is right too.
func (h *host) wantOwnWays(when string) {
	h.ways(when, func(link, own int) bool { return link == own || link == 0 })
}

func (h *host) wantThere(addresses []string, when string) {
	for _, a := range addresses {
		if !h.has(a) {
			h.t.Errorf("%s: %s is gone for a while", when, a)
		}
	}
}

// TestRestartRemovesNothing: after a restart no first answer, whatever it says or leaves out, takes anything
// away; nor do answers of which no two agree.
func TestRestartRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			enis := []metadata.Interface{eni(0, 5, 6), eni(1, 5, 6, 7), eni(2, 5)}
			h := quick(t, rt, enis...)
			h.start()
			defer func() { h.stop() }()
			h.after(4 * time.Second)
			h.stop()

			if rapid.Bool().Draw(rt, "the slots are lost") {
				h.config.StateDir = t.TempDir()
			}
			h.OnWrite = func(op netcfg.Op) {
				if op.Verb == netcfg.Del || op.Verb == netcfg.Restore {
					h.t.Errorf("after the restart: %s", op)
				}
			}
			h.cloud.set(drawAnswer(rt), nil, false)
			h.start()
			h.after(10 * time.Millisecond)
			h.cloud.fails(errors.New("down"))
			h.after(3 * time.Second)
			h.wantThere(addresses(enis), "at the end")
			h.wantWays("at the end")
		})
	})
}

// drawAnswer draws an answer about the ENIs 0 to 2 in which anything may be wrong.
func drawAnswer(t *rapid.T) metadata.Snapshot {
	s := metadata.Snapshot{Provider: "test", Complete: rapid.Bool().Draw(t, "complete")}
	for _, e := range drawENIs(t, "answer") {
		name := e.Name()
		if e.MAC == macOf(3) {
			continue // has no NIC
		}
		if rapid.Bool().Draw(t, name+": addresses unknown") {
			e.Addresses = metadata.Fact[[]netip.Addr]{}
		}
		if rapid.Bool().Draw(t, name+": subnets unknown") {
			e.Subnets, e.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
		}
		if rapid.Bool().Draw(t, name+": primary unknown") {
			e.Primary = metadata.Fact[bool]{}
		}
		s.Interfaces = append(s.Interfaces, e)
	}
	return s
}
