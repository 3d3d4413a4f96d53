package agent

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/netcfg"
)

// TestOneENIFails: the others are configured in the same pass, the status says why it is not and since when, and it
// is tried again ever less often, until it works.
func TestOneENIFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.config.Metadata.Poll = time.Hour
		for i := 1; i <= 3; i++ {
			h.plug(i)
		}
		h.cloud.says(eni(0, 5), eni(1, 5), eni(2, 5), eni(3, 5))
		var tries []time.Time
		h.Fail = func(op netcfg.Op) error {
			if r, ok := op.Object.(netcfg.Route); ok && r.Link == primaryNIC+2 && r.Via.IsValid() {
				tries = append(tries, time.Now())
				return errors.New("the gateway is not to my taste")
			}
			return nil
		}
		begin := time.Now()
		h.start()
		defer h.stop()
		h.after(10 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.3.5")
		h.after(time.Hour)
		for _, i := range []int{0, 1, 3} {
			if e := h.eni(i); e.Phase != PhaseConfigured || len(e.Problems) > 0 {
				t.Errorf("ENI %d: %s %v", i, e.Phase, e.Problems)
			}
		}
		e := h.eni(2)
		if e.Phase != PhaseFailed || e.Since.Sub(begin) > time.Second {
			t.Errorf("it is %s since %s after the start", e.Phase, e.Since.Sub(begin))
		}
		if len(e.Problems) != 1 || e.Problems[0].Reason != "kernel-refused" || !strings.Contains(e.Problems[0].Text, "not to my taste") {
			t.Errorf("its problems are %v", e.Problems)
		}
		if n := len(tries); n < 60 || n > 150 {
			t.Errorf("%d tries in an hour, want one every 30 to 60 seconds after the first few", n)
		}
		if s := h.agent.Status(); s.Converged || !strings.HasPrefix(s.Sentence(), "3 ENIs configured, 1 not") {
			t.Errorf("the status says %q", s.Sentence())
		}
		refusals := slices.DeleteFunc(h.logged.take(), func(l string) bool { return !strings.Contains(l, "not to my taste") })
		if len(refusals) != 1 {
			t.Errorf("logged %d times, want once: %q", len(refusals), refusals)
		}
		h.Fail = nil
		h.after(retryMost)
		if e := h.eni(2); e.Phase != PhaseConfigured || len(e.Problems) > 0 || !h.has("10.0.2.5") || !h.agent.Status().Converged {
			t.Errorf("it is %s with %v", e.Phase, e.Problems)
		}
		h.wantLog(`level=INFO msg=changed eni=port-2 nic=eth2 phase=configured added=10.0.2.5`)
	})
}

func TestKernelUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5, 6), eni(1, 5))
		defer h.stop()
		before, known := h.objects(), h.agent.Status().ENIs
		h.change(func() { h.Broken = errors.New("the dump was interrupted") })
		h.cloud.says(eni(0, 5), eni(2, 5))
		h.after(5 * time.Minute)
		if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" {
			t.Error(diff)
		}
		s := h.agent.Status()
		if s.Converged || !hasProblem(s.Problems, "kernel-unreadable") {
			t.Errorf("the status is %+v", s)
		}
		if len(s.ENIs) != len(known) || s.ENIs[1].Phase != PhaseConfigured {
			t.Errorf("the status of the ENIs is %+v, want what was known last", s.ENIs)
		}
		h.wantLog(`level=WARN msg="the kernel cannot be read, nothing is changed: the dump was interrupted"`)
		h.Protos()
		h.Broken = nil
		h.after(retryMost)
		h.wantAddresses("10.0.0.5")
		if s := h.agent.Status(); !s.Converged || len(s.Problems) > 0 {
			t.Errorf("the status is %+v", s)
		}
	})
}

// TestFight: where somebody deletes a rule of ours as often as it is put back, the agent slows down, says so,
// and still repairs the rest.
func TestFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5), eni(2, 5))
		defer h.stop()
		foe := func() {
			h.Rules = slices.DeleteFunc(h.Rules, func(r netcfg.Rule) bool { return r.OIF == "eth1" })
		}
		h.OnWrite = func(netcfg.Op) { foe(); Poke(h.events.Kernel) }
		writes := h.Writes
		h.change(foe)
		h.after(time.Minute)
		if n := h.Writes - writes; n < 30 || n > 1000 {
			t.Errorf("%d writes in a minute of a fight", n)
		}
		if e := h.eni(1); e.Phase != PhaseFailed || !hasProblem(e.Problems, "not-converged") {
			t.Errorf("ENI 1 is %s with %v", e.Phase, e.Problems)
		}
		if e := h.eni(2); e.Phase != PhaseConfigured {
			t.Errorf("ENI 2 is %s", e.Phase)
		}
		h.change(func() {
			h.Addrs = slices.DeleteFunc(h.Addrs, func(a netcfg.Addr) bool { return a.Link == primaryNIC+2 })
		})
		h.after(11 * time.Second) // the next poll
		if !h.has("10.0.2.5") {
			t.Error("the address of another ENI is not put back")
		}
		h.OnWrite = nil
		h.after(15 * time.Second)
		if e := h.eni(1); e.Phase != PhaseConfigured || !h.agent.Status().Converged {
			t.Errorf("ENI 1 is %s after the fight", e.Phase)
		}
	})
}

// TestStateDirUnwritable: without a place for the slots nothing is changed, and the status says why.
func TestStateDirUnwritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.plug(1)
		h.config.StateDir = "/proc/1/no-such-directory"
		h.cloud.says(eni(0, 5), eni(1, 5))
		h.start()
		defer h.stop()
		h.after(time.Minute)
		s := h.agent.Status()
		if h.Writes > 0 || s.Converged || !hasProblem(s.Problems, "state-not-saved") {
			t.Errorf("%d writes, the status is %+v", h.Writes, s)
		}
	})
}

// TestStatusAddresses: an address that is not there is said to be missing, whoever should put it there.
func TestStatusAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5, 6), eni(1, 5))
		defer h.stop()
		h.change(func() {
			h.Addrs = slices.DeleteFunc(h.Addrs, func(a netcfg.Addr) bool { return a.Prefix.Addr().String() == "10.0.0.5" })
		})
		h.after(10 * time.Millisecond)
		e := h.eni(0)
		want := []AddressStatus{{Address: netip.MustParseAddr("10.0.0.5")}, {Address: netip.MustParseAddr("10.0.0.6"), Present: true}}
		if diff := cmp.Diff(want, e.Addresses, compareAddrs); diff != "" || !hasProblem(e.Problems, "primary-address-missing") {
			t.Errorf("%v\n%s", e.Problems, diff)
		}
	})
}

// TestPublishedStatusStays: who holds a status may read it while the next ones are made.
func TestPublishedStatusStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5))
		defer h.stop()
		s := h.agent.Status()
		e := s.ENIs[1]
		origins := len(e.Origins)
		h.cloud.says(eni(0, 5), func() metadata.Interface { i := eni(1, 5, 6); i.MTU = metadata.Is(9000, "other"); return i }())
		h.after(time.Minute)
		if len(e.Addresses) != 1 || len(e.Origins) != origins || len(s.ENIs) != 2 || h.agent.Status() == s {
			t.Errorf("the status that was published has become %+v", s)
		}
	})
}
