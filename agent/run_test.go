package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enid/metadata"
	"enid/netcfg"
)

var (
	compareAddrs   = cmpopts.EquateComparable(netip.Addr{})
	compareObjects = cmp.Options{compareConfig, cmpopts.EquateComparable(netcfg.Addr{}, netcfg.Route{}, netcfg.Rule{})}
	anyOrder       = cmp.Options{
		cmpopts.SortSlices(func(a, b netcfg.Addr) bool { return fmt.Sprint(a) < fmt.Sprint(b) }),
		cmpopts.SortSlices(func(a, b netcfg.Route) bool { return fmt.Sprint(a) < fmt.Sprint(b) }),
		cmpopts.SortSlices(func(a, b netcfg.Rule) bool { return fmt.Sprint(a) < fmt.Sprint(b) }),
		cmpopts.SortSlices(func(a, b netcfg.Setting) bool { return fmt.Sprint(a) < fmt.Sprint(b) }),
	}
)

func TestSteadyStateIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5, 6), eni(1, 5, 6))
		defer h.stop()
		h.wantAddresses("10.0.0.5", "10.0.0.6", "10.0.1.5", "10.0.1.6")
		before, writes := h.objects(), h.Writes
		h.cloud.questions()
		h.after(time.Hour)
		h.wantLog()
		if h.Writes != writes {
			t.Errorf("%d writes in an hour in which nothing changed", h.Writes-writes)
		}
		if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" {
			t.Error(diff)
		}
		if n := len(h.cloud.questions()); n < 399 || n > 451 {
			t.Errorf("%d questions in an hour, want one every 8 to 9 seconds", n)
		}
	})
}

func TestOutageChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5, 6), eni(1, 5, 6))
		defer h.stop()
		before := h.objects()
		for i := range 30 {
			h.cloud.fails(fmt.Errorf("answer %d makes no sense", i))
			h.after(10 * time.Second) // one poll at least
		}
		if s := h.agent.Status(); s.Metadata.OK || s.Metadata.Error == "" || s.Metadata.Settled != true {
			t.Errorf("the status of the metadata is %+v", s.Metadata)
		}
		h.wantLog(`level=WARN msg="metadata does not answer, everything stays as it is" error="answer 0`)
		h.cloud.set(metadata.Snapshot{}, nil, true)
		h.after(time.Minute)
		h.cloud.says(eni(0, 5, 6), eni(1, 5, 6))
		h.after(15 * time.Second)
		h.wantLog(`level=INFO msg="metadata answers again" after=5m`)
		if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" {
			t.Error(diff)
		}
		if s := h.agent.Status(); !s.Metadata.OK || s.Metadata.Error != "" {
			t.Errorf("the status of the metadata is %+v", s.Metadata)
		}
	})
}

// TestStrangeAnswersRemoveNothing: an answer that is no error, but not an answer either.
func TestStrangeAnswersRemoveNothing(t *testing.T) {
	unknown := eni(1, 5)
	unknown.Addresses = metadata.Fact[[]netip.Addr]{}
	part := eni(1, 5)
	part.Addresses.State = metadata.AtLeast
	empty := eni(1, 5)
	empty.Addresses = metadata.Is([]netip.Addr{}, "test")
	bare := metadata.Interface{MAC: macOf(1)}
	tests := map[string]metadata.Snapshot{
		"nothing":         {Provider: "test", Complete: true},
		"not complete":    {Provider: "test", Interfaces: []metadata.Interface{eni(0, 5, 6)}},
		"unknown":         {Provider: "test", Complete: true, Interfaces: []metadata.Interface{eni(0, 5, 6), unknown}},
		"only a part":     {Provider: "test", Complete: true, Interfaces: []metadata.Interface{eni(0, 5, 6), part}},
		"an empty list":   {Provider: "test", Complete: true, Interfaces: []metadata.Interface{eni(0, 5, 6), empty}},
		"a MAC, no facts": {Provider: "test", Complete: true, Interfaces: []metadata.Interface{eni(0, 5, 6), bare}},
		"a MAC twice":     {Provider: "test", Complete: true, Interfaces: []metadata.Interface{eni(0, 5, 6), eni(1, 5), eni(1, 6)}},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := started(t, eni(0, 5, 6), eni(1, 5, 6))
				defer h.stop()
				before, writes := h.objects(), h.Writes
				h.cloud.set(answer, nil, false)
				h.after(time.Hour)
				if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" || h.Writes != writes {
					t.Errorf("%d writes\n%s", h.Writes-writes, diff)
				}
			})
		})
	}
}

func TestAddressGoesWithTheSecondWholeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5, 6))
		defer h.stop()
		answers := 0
		h.OnWrite = func(op netcfg.Op) {
			if a, ok := op.Object.(netcfg.Addr); ok && op.Verb == netcfg.Del {
				answers = len(h.cloud.questions())
				t.Logf("%s removed", a.Prefix)
			}
		}
		h.cloud.questions()
		h.cloud.says(eni(0, 5), eni(1, 5))
		h.after(12 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		if answers != 2 {
			t.Errorf("removed at answer %d, want the second", answers)
		}
		h.wantLog(`level=INFO msg=changed eni=port-1 nic=eth1 phase=configured removed=10.0.1.6`)
	})
}

// TestAddressComesAtOnce: what is added needs no second answer.
func TestAddressComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5))
		defer h.stop()
		h.cloud.says(eni(0, 5, 6), eni(1, 5, 6))
		h.cloud.questions()
		for h.cloud.waiting() {
			h.after(time.Millisecond)
		}
		h.wantAddresses("10.0.0.5", "10.0.0.6", "10.0.1.5", "10.0.1.6")
	})
}

func TestDetachWithTheNICStillThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5), eni(2, 5))
		defer h.stop()
		h.cloud.questions()
		h.cloud.says(eni(0, 5), eni(2, 5))
		for h.cloud.waiting() {
			h.after(100 * time.Millisecond)
		}
		first := h.cloud.questions()[0]
		h.after(time.Until(first.Add(h.config.Metadata.DetachAfter - 100*time.Millisecond)))
		if e := h.eni(1); !h.has("10.0.1.5") || e.AbsentSince.IsZero() || !hasProblem(e.Problems, "not-listed") {
			t.Errorf("before the time is over: %+v", e)
		}
		h.after(1200 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.2.5")
		h.wantNothingOf(1)
		if len(h.agent.Status().ENIs) != 2 {
			t.Errorf("the status still has %d ENIs", len(h.agent.Status().ENIs))
		}
	})
}

// TestDetachWithTheNICGone: when the NIC goes, everything of its ENI does, whatever the metadata says.
func TestDetachWithTheNICGone(t *testing.T) {
	for _, listed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := started(t, eni(0, 5), eni(1, 5), eni(2, 5))
			defer h.stop()
			if !listed {
				h.cloud.says(eni(0, 5), eni(2, 5))
				h.after(15 * time.Second)
			}
			h.change(func() { h.Unplug(primaryNIC + 1) })
			h.after(10 * time.Millisecond)
			h.wantAddresses("10.0.0.5", "10.0.2.5")
			h.wantNothingOf(1)
			if listed && h.eni(1).Phase != netcfg.Waiting {
				t.Errorf("the phase is %s", h.eni(1).Phase)
			}
		})
	}
}

func TestRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5))
		defer h.stop()
		before := h.objects()
		h.change(func() {
			h.Rules = slices.DeleteFunc(h.Rules, func(r netcfg.Rule) bool { return r.OIF != "" })
			h.Routes = slices.DeleteFunc(h.Routes, func(r netcfg.Route) bool { return r.Table == 20001 && r.Dst.Bits() == 0 })
		})
		h.after(10 * time.Millisecond)
		if diff := cmp.Diff(before.Rules, h.Rules, compareObjects); diff != "" {
			t.Error(diff)
		}
		if len(before.Routes) != len(h.Routes) {
			t.Errorf("%d routes, want %d", len(h.Routes), len(before.Routes))
		}
		h.wantLog(`level=INFO msg=changed eni=port-1 nic=eth1 phase=configured operations=2`)
	})
}

// TestRunTwice: of two agents with one runtime directory the second does nothing.
func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		defer h.stop()
		second := New(Options{Config: h.config, Log: h.agent.log, Kernel: h.Kernel, Source: h.cloud, Notify: h.notify})
		if err := second.Run(context.Background(), NewEvents(), Reloader{}); !errors.Is(err, ErrRunning) {
			t.Errorf("the second says %v", err)
		}
	})
}

// TestReportAfterTheEnd: what runs beside the loop may end later than it.
func TestReportAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		h.agent.Report("http-unavailable", errors.New("the port is taken"))
		h.after(10 * time.Millisecond)
		h.agent.Report("http-unavailable", nil)
		h.after(10 * time.Millisecond)
		h.wantLog(`level=WARN msg="the port is taken"`, `level=INFO msg="over: the port is taken"`)
		h.stop()
		for range 100 {
			h.agent.Report("http-unavailable", errors.New("too late"))
		}
	})
}

func hasProblem(problems []metadata.Problem, reason string) bool {
	return slices.ContainsFunc(problems, func(p metadata.Problem) bool { return p.Reason == reason })
}

// wantNothingOf checks that no rule, route or setting of a slot is left.
func (h *host) wantNothingOf(slot int) {
	h.t.Helper()
	base := 33000 + 10*slot
	for _, r := range h.Rules {
		if r.Priority >= base && r.Priority < base+10 || r.Goto >= base && r.Goto < base+10 {
			h.t.Errorf("a rule is left: %+v", r)
		}
	}
	for _, r := range h.Routes {
		if r.Table == 20000+slot {
			h.t.Errorf("a route is left: %+v", r)
		}
	}
	for _, s := range h.Settings {
		if s.Link == primaryNIC+slot && s.Knob == netcfg.LinkGroup && s.Value != "0" {
			h.t.Errorf("a setting is left: %+v", s)
		}
	}
}
