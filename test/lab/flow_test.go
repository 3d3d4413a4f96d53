package lab

import (
	"net/netip"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	at := func(ms ...int) []time.Time {
		var times []time.Time
		for _, m := range ms {
			times = append(times, time.UnixMilli(int64(m)))
		}
		return times
	}
	const ok, lost = true, false
	tests := map[string]struct {
		sent     []time.Time
		answered []bool
		want     FlowReport
	}{
		"nothing sent":     {},
		"nothing lost":     {at(0, 1, 90), []bool{ok, ok, ok}, FlowReport{Sent: 3}},
		"two gaps":         {at(0, 1, 2, 5, 6, 7), []bool{ok, lost, lost, ok, lost, ok}, FlowReport{6, 3, 4 * time.Millisecond}},
		"lost to the end":  {at(0, 1, 2, 9), []bool{ok, ok, lost, lost}, FlowReport{4, 2, 7 * time.Millisecond}},
		"lost at the head": {at(0, 3), []bool{lost, ok}, FlowReport{2, 1, 3 * time.Millisecond}},
	}
	for name, tt := range tests {
		if got := summarize(tt.sent, tt.answered); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestFlow(t *testing.T) {
	l, vm, _ := newLab(t)
	check(t, vm.ServeEcho())
	count := func(f *Flow) int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.sent)
	}
	for _, a := range []netip.Addr{addr("10.0.0.5"), addr("2001:db8::5")} {
		in, err := l.Outside().Flow(t.Context(), netip.Addr{}, a)
		check(t, err)
		out, err := vm.Flow(t.Context(), a, l.Outside().Addr(a))
		check(t, err)
		await(t, func() bool { return count(in) > 50 && count(out) > 50 })
		for _, f := range []*Flow{in, out} {
			if r := f.Stop(); r.Lost > 0 || r.Sent < 50 {
				t.Errorf("%s, undisturbed: %s", a, r)
			}
		}
	}

	f, err := l.Outside().Flow(t.Context(), netip.Addr{}, addr("10.0.0.5"))
	check(t, err)
	check(t, l.SetAllowed(mac0, nil))
	before := count(f)
	await(t, func() bool { return count(f) > before+20 })
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32")))
	if r := f.Stop(); r.Lost < 20 || r.LongestGap == 0 {
		t.Errorf("20 packets without an allowed source: %s", r)
	}
}

// An answer comes from the address that was asked, also where the route prefers another.
func TestUDPEchoSource(t *testing.T) {
	l, vm, _ := newLab(t)
	check(t, vm.ServeEcho())
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.6/32", "2001:db8::5/128", "2001:db8::6/128")))
	check(t, vm.addAddrs("eth0", prefixes("10.0.0.6/32", "2001:db8::6/128")...))
	for _, a := range []netip.Addr{addr("10.0.0.6"), addr("2001:db8::6")} {
		f, err := l.Outside().Flow(t.Context(), netip.Addr{}, a) // a connected socket: hears a alone
		check(t, err)
		await(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.sent) > 10 })
		if r := f.Stop(); r.Lost > 0 {
			t.Errorf("%s: %s", a, r)
		}
	}
}
