package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"enid/metadata"
	"enid/netcfg"
)

// fight is a host on which a foe deletes rules of ours every so often.
func fight(t *testing.T, by ...netcfg.Opponent) (h *host, strike func()) {
	h = newHost(t)
	h.opponents = func(time.Time) []netcfg.Opponent { return by }
	h.plug(1)
	h.cloud.says(eni(0, 5), eni(1, 5))
	h.start()
	h.after(2 * time.Minute)
	h.logged.take()
	return h, func() {
		h.change(func() { h.Rules = slices.DeleteFunc(h.Rules, func(r netcfg.Rule) bool { return r.OIF != "" }) })
	}
}

// whole reports whether the rules that the foe deletes are there.
func (h *host) whole() bool {
	h.Protos()
	return slices.ContainsFunc(h.Rules, func(r netcfg.Rule) bool { return r.OIF == "eth1" })
}

// TestReloads: a manager that deletes everything of ours twenty times, at any pace, and takes its time for
// it, does not slow the repairs, and is no fight.
func TestReloads(t *testing.T) {
	for _, pace := range []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 45 * time.Second} {
		t.Run(pace.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, strike := fight(t)
				defer h.stop()
				for i := range 20 {
					for range 4 { // while it deletes, we already repair
						strike()
						h.after(5 * time.Millisecond)
					}
					h.after(30 * time.Millisecond)
					if !h.whole() {
						t.Fatalf("reload %d is not repaired", i)
					}
					h.after(pace - 50*time.Millisecond)
				}
				if hasProblem(h.agent.Status().Problems, "fought") {
					t.Error("it is taken for a fight")
				}
			})
		})
	}
}

// TestStorm: who deletes on and on is repaired at growing intervals, named once, and forgiven after a
// minute of calm; what the metadata says is done at once all the while.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, strike := fight(t, netcfg.Opponent{Name: "nasty", PID: 4711, Processes: 1, Removed: 77})
		defer h.stop()
		began, writes, repairs := time.Now(), h.Writes, []time.Duration{}
		for time.Since(began) < 10*time.Minute {
			if h.whole() {
				repairs = append(repairs, time.Since(began))
				strike()
			}
			h.after(5 * time.Millisecond)
		}
		// Polls come every 9 to 10 seconds and repair too.
		if n := len(repairs); n < 100 || n > 450 {
			t.Errorf("%d repairs in ten minutes", n)
		}
		if gap := repairs[len(repairs)-1] - repairs[len(repairs)-2]; gap < 8*time.Second {
			t.Errorf("repairs come every %s at the end", gap)
		}
		if n := h.Writes - writes; n > 1000 {
			t.Errorf("%d writes", n)
		}
		fights, lines := 0, h.logged.take()
		if n := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "fought") }); n < 0 || len(lines)-n > 4 {
			t.Errorf("%d lines in the log, of the fight in line %d: it goes on and on", len(lines), n)
		}
		for _, line := range lines {
			if strings.Contains(line, "fought") {
				fights++
				if !strings.Contains(line, "nasty, process id 4711, removed 77 objects") {
					t.Errorf("the log does not say who fights: %s", line)
				}
			}
		}
		if fights != 1 {
			t.Errorf("the log tells %d times of the fight, want once", fights)
		}

		h.cloud.questions()
		h.cloud.says(eni(0, 5), eni(1, 5, 6))
		strike()
		for h.cloud.waiting() {
			h.after(time.Millisecond)
		}
		if !h.has("10.0.1.6") || !h.whole() {
			t.Error("an answer of the metadata waits for the pause")
		}
		h.logged.take()
		h.after(pauseAtMost + calm + time.Second)
		if hasProblem(h.agent.Status().Problems, "fought") {
			t.Error("the fight is not over")
		}
		if got := h.logged.take(); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "over: what enid adds is removed") }) {
			t.Errorf("the log does not tell of the end:\n%s", strings.Join(got, "\n"))
		}
		strike()
		h.after(10 * time.Millisecond)
		if !h.whole() {
			t.Error("after the fight a repair does not come at once")
		}
	})
}

// TestReloadBreaksThePause: who asks for a look gets it.
func TestReloadBreaksThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, strike := fight(t)
		defer h.stop()
		h.agent.config.Metadata.Poll = time.Hour
		h.reload.Load = nil
		for range 3000 {
			strike()
			h.after(10 * time.Millisecond)
		}
		strike()
		h.after(100 * time.Millisecond)
		if h.whole() {
			t.Fatal("there is no pause")
		}
		h.agent.Report("test", fmt.Errorf("a look, please"))
		h.after(time.Millisecond)
		if !h.whole() {
			t.Error("the pause is not broken")
		}
	})
}

// TestStormByItself: the properties of the pauses, whatever the times between repairs.
func TestStormByItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s storm
		now := time.Unix(1_700_000_000, 0)
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(90*time.Second)), 0, 200).Draw(t, "extra")
		small := rapid.Bool().Draw(t, "small")
		for i, extra := range gaps {
			gap := s.pause() + time.Duration(extra)
			if small {
				gap = s.pause() + time.Duration(extra)%quickly
			}
			now = now.Add(gap)
			before := s
			s = s.repaired(now)
			if i < 25 && s.pause() > pauseInHaste {
				t.Fatalf("repair %d has to wait %s", i, s.pause())
			}
			if s.pause() > pauseAtMost || s.pause() < pauseAfterRun {
				t.Fatalf("a pause of %s", s.pause())
			}
			if gap >= calm && (s.bouts != 1 || s.pause() != pauseAfterRun || !s.since.Equal(now)) {
				t.Fatalf("calm does not end the row: %+v", s)
			}
			if small && s.pause() < before.pause() {
				t.Fatalf("the pause shrinks from %s to %s in the heat of a fight", before.pause(), s.pause())
			}
			if !small && extra > int64(quickly) && s.pause() > before.pause() {
				t.Fatalf("the pause grows from %s to %s although nothing hurries", before.pause(), s.pause())
			}
		}
	})
}

// TestSlowFight: who comes back every few seconds for ever is named too, and is repaired at once.
func TestSlowFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, strike := fight(t, netcfg.Opponent{Name: "", PID: 99, Processes: 60, Removed: 60}, netcfg.Opponent{Name: netcfg.KernelItself, Removed: 1})
		defer h.stop()
		for i := range 60 {
			strike()
			h.after(30 * time.Millisecond)
			if !h.whole() {
				t.Fatalf("strike %d is not repaired", i)
			}
			h.after(20 * time.Second)
		}
		want := "the last with netlink port id 99, removed 60 objects and the kernel itself removed 1 object ("
		if !slices.ContainsFunc(h.agent.Status().Problems, func(p metadata.Problem) bool { return p.Reason == "fought" && strings.Contains(p.Text, want) }) {
			t.Errorf("the problems are %v", h.agent.Status().Problems)
		}
	})
}

func TestFoughtText(t *testing.T) {
	for _, c := range []struct {
		by   []netcfg.Opponent
		want string
	}{
		{nil, ": nobody who removes was seen, so settings or chains are changed, or routes replaced; enid goes on"},
		{[]netcfg.Opponent{{Name: "ip", PID: 7, Processes: 30, Removed: 31}}, ": 30 short-lived processes ip, the last with id 7, removed 31 objects; enid goes on"},
	} {
		if got := foughtText(c.by); !strings.Contains(got, c.want) {
			t.Errorf("got %s\nwant …%s…", got, c.want)
		}
	}
}
