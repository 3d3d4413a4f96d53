package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"enid/netcfg"
)

// TestReadyWhenConverged: the service manager hears of the start when an answer is applied.
func TestReadyWhenConverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.cloud.fails(errors.New("not yet"))
		h.start()
		defer h.stop()
		h.after(5 * time.Second)
		if ready := h.notify.times("ready"); len(ready) > 0 {
			t.Fatal("ready without an answer of the metadata")
		}
		h.cloud.says(eni(0, 5, 6))
		h.after(10 * time.Second)
		if ready := h.notify.times("ready"); len(ready) != 1 || !h.has("10.0.0.6") {
			t.Errorf("ready %v", ready)
		}
		h.after(time.Hour)
		if ready := h.notify.times("ready"); len(ready) != 1 {
			t.Errorf("ready was said %d times", len(ready))
		}
	})
}

// TestReadyInTime: a cloud that is down, or an ENI that cannot be configured, delays the start by half a
// minute and no more, however seldom the metadata is asked.
func TestReadyInTime(t *testing.T) {
	for name, trouble := range map[string]func(*host){
		"no answer": func(h *host) { h.cloud.fails(errors.New("down")); h.Links[0].Kind = "veth" },
		"it hangs":  func(h *host) { h.cloud.set(h.cloud.answer, nil, true) },
		"refused":   func(h *host) { h.Fail = func(netcfg.Op) error { return errors.New("no") } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.config.Metadata.Poll = time.Hour
				h.cloud.says(eni(0, 5, 6))
				trouble(h)
				begin := time.Now()
				h.start()
				defer h.stop()
				h.after(2 * time.Minute)
				ready := h.notify.times("ready")
				if len(ready) != 1 {
					t.Fatalf("ready %v", ready)
				}
				if took := ready[0].Sub(begin); took < readyTimeout || took > readyTimeout+time.Second {
					t.Errorf("ready after %s, want %s", took, readyTimeout)
				}
			})
		})
	}
}

// TestWatchdog: the loop pings in time, whatever else it has to do and however often.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.notify.interval = 15 * time.Second
		h.plug(1) // not in the metadata: the agent asks ten times a second
		h.cloud.says(eni(0, 5))
		last := time.Now()
		h.start()
		defer h.stop()
		h.after(time.Hour)
		pings := append(h.notify.times("watchdog"), time.Now())
		for _, at := range pings {
			if at.Sub(last) > 2*h.notify.interval-time.Second {
				t.Fatalf("no ping for %s; the service manager kills after %s", at.Sub(last), 2*h.notify.interval)
			}
			last = at
		}
	})
}

// TestWatchdogOfALoopThatHangs: nobody but the loop pings.
func TestWatchdogOfALoopThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		defer h.stop()
		h.notify.interval = time.Second
		release := make(chan struct{})
		h.Fail = func(netcfg.Op) error { <-release; return nil }
		h.cloud.says(eni(0, 5, 6))
		<-time.After(15 * time.Second)
		before := len(h.notify.times("watchdog"))
		<-time.After(time.Hour)
		if n := len(h.notify.times("watchdog")) - before; n > 0 {
			t.Errorf("%d pings while the loop hung", n)
		}
		close(release)
	})
}

// TestStopping: the end is said, and the kernel stays as it is.
func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5))
		writes := h.Writes
		h.stop()
		if len(h.notify.times("stopping")) != 1 || h.Writes != writes {
			t.Errorf("told %v, %d writes", h.notify.told, h.Writes-writes)
		}
	})
}
