package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/metadata"
	"enid/metadata/lastgood"
	"enid/netcfg"
)

// reboot takes everything from the kernel that a reboot takes: enid's objects, its runtime directory, not
// what DHCP gives the primary again.
func (h *host) reboot(t *testing.T) {
	h.stop()
	links := h.Links
	h.Kernel = newHost(t).Kernel // with the primary and what DHCP gives it
	for _, l := range links[1:] {
		h.plug(int(l.MAC[5]))
	}
	h.OnWrite = func(netcfg.Op) { Poke(h.events.Kernel) }
	h.config.RuntimeDir, h.notify = t.TempDir(), &serviceManager{}
	h.logged.take()
}

// rebooted is a host that was rebooted while the metadata is down, which enid does not run on yet.
func rebooted(t *testing.T, enis ...metadata.Interface) *host {
	h := started(t, enis...)
	h.reboot(t)
	h.wantAddresses("10.0.0.5")
	h.cloud.fails(errors.New("down"))
	return h
}

// TestRebootWithoutMetadata: the ENIs come up as they were last known, at once, and say so until the metadata confirms
// them.
func TestRebootWithoutMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := rebooted(t, eni(0, 5, 6), eni(1, 5, 6), eni(2, 5))
		h.start()
		defer h.stop()
		began := time.Now()
		h.after(10 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.0.6", "10.0.1.5", "10.0.1.6", "10.0.2.5")
		h.wantWays("from the last good metadata")
		if ready := h.notify.times("ready"); len(ready) != 1 {
			t.Error("the start is held up")
		}
		s := h.agent.Status()
		if of := s.Metadata.LastGood; s.Metadata.OK || of.IsZero() || began.Sub(of) > 2*time.Hour || s.Metadata.Provider != "test" {
			t.Errorf("the status: %+v", s.Metadata)
		}
		for i := range 3 {
			if e := h.eni(i); !e.StaleSince.Equal(s.Metadata.LastGood) || e.Phase != PhaseConfigured {
				t.Errorf("ENI %d: stale since %s, %s", i, e.StaleSince, e.Phase)
			}
		}
		text := printed(t, h)
		for _, want := range []string{"no answer since the start, its last good one of", "stale since", "its last good answer is used"} {
			if !strings.Contains(text, want) {
				t.Errorf("the status lacks %q:\n%s", want, text)
			}
		}
		if _, metrics := h.get("/metrics"); !strings.Contains(metrics, `enid_eni_stale{eni="port-1"} 1`) || strings.Contains(metrics, "enid_metadata_age_seconds 0\n") {
			t.Error(metrics)
		}
		h.after(time.Hour) // nothing is lost with time
		h.cloud.says(eni(0, 5, 6), eni(1, 5, 6), eni(2, 5))
		writes := h.Writes
		h.after(2 * time.Minute)
		if s := h.agent.Status(); !s.Metadata.LastGood.IsZero() || !s.Metadata.OK || !h.eni(1).StaleSince.IsZero() || h.Writes != writes {
			t.Errorf("confirmed, and the status is %+v after %d writes", s.Metadata, h.Writes-writes)
		}
		h.logged.take()
	})
}

func printed(t *testing.T, h *host) string {
	var b strings.Builder
	if err := h.agent.Status().Print(&b, time.Now()); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestMetadataThatHangs: a service that swallows everything is waited for two seconds.
func TestMetadataThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := rebooted(t, eni(0, 5), eni(1, 5))
		h.cloud.set(metadata.Snapshot{}, nil, true)
		h.start()
		defer h.stop()
		h.after(recallAfter - time.Millisecond)
		h.wantAddresses("10.0.0.5")
		h.after(2 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
	})
}

// TestMetadataInTime: where it answers, the last good metadata is not used, whatever it says.
func TestMetadataInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := rebooted(t, eni(0, 5), eni(1, 5), eni(2, 5))
		h.cloud.says(eni(0, 5), eni(1, 6))
		h.cloud.takes = recallAfter / 2
		h.start()
		defer h.stop()
		h.after(10 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.1.6")
		h.stop()
		h.after(h.cloud.takes) // a question may be under way
	})
}

// TestMetadataSaysOtherwise: what was released meanwhile goes by the rules of every loss: two answers, or for an ENI
// with its NIC here the time of a detach.
func TestMetadataSaysOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := rebooted(t, eni(0, 5), eni(1, 5, 6), eni(2, 5))
		h.start()
		defer h.stop()
		h.after(time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6", "10.0.2.5")
		h.cloud.questions()
		h.cloud.says(eni(0, 5), eni(1, 5, 7))
		for h.cloud.waiting() {
			h.after(10 * time.Millisecond)
		}
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6", "10.0.1.7", "10.0.2.5")
		h.after(10 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.7", "10.0.2.5")
		if e := h.eni(2); e.StaleSince.IsZero() || e.AbsentSince.IsZero() {
			t.Errorf("an ENI that is not listed: %+v", e)
		}
		h.after(2 * time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.7")
		h.after(time.Minute)
		if d, err := lastgood.Load(h.agent.memory.path); err != nil || len(d.Interfaces) != 2 || len(d.Interfaces[1].Addresses.Value) != 2 {
			t.Errorf("kept: %+v, %v", d.Interfaces, err)
		}
	})
}

// TestRestartWithoutMetadata: with the kernel as it was there is nothing to do.
func TestRestartWithoutMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5, 6), eni(1, 5))
		h.stop()
		h.cloud.fails(errors.New("down"))
		before, writes := h.objects(), h.Writes
		h.start()
		defer h.stop()
		h.after(time.Hour)
		if h.Writes != writes || len(before.Addrs) != len(h.Addrs) || h.eni(1).StaleSince.IsZero() {
			t.Errorf("%d writes after a restart", h.Writes-writes)
		}
	})
}

// TestLastGoodRefused: of another instance, too old, of another provider, turned off or damaged it is not used, and
// the log says why once.
func TestLastGoodRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*testing.T, *host)
		log    string
	}{
		"another instance": {func(_ *testing.T, h *host) { h.Links[0].MAC = macOf(77) }, "of another instance"},
		"too old":          {func(_ *testing.T, h *host) { h.after(25 * time.Hour) }, "longer ago than metadata.max_age (24h0m0s)"},
		"another provider": {func(_ *testing.T, h *host) { h.config.Metadata.Provider = ProviderEC2 }, "this host asks ec2"},
		"off":              {func(_ *testing.T, h *host) { h.config.Metadata.MaxAge = 0 }, ""},
		"damaged": {func(t *testing.T, h *host) {
			write(t, filepath.Join(h.config.StateDir, "metadata.json"), `{"version": 1, "sha2`)
		}, "the last good metadata is not used, and written anew"},
		"gone": {func(t *testing.T, h *host) {
			if err := os.Remove(filepath.Join(h.config.StateDir, "metadata.json")); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := rebooted(t, eni(0, 5), eni(1, 5))
				tt.change(t, h)
				h.start()
				defer h.stop()
				h.after(time.Hour)
				h.wantAddresses("10.0.0.5")
				n := 0
				for _, line := range h.logged.take() {
					if strings.Contains(line, "last good") {
						n++
						if tt.log == "" || !strings.Contains(line, tt.log) {
							t.Errorf("the log says %s", line)
						}
					}
				}
				if want := min(len(tt.log), 1); n != want {
					t.Errorf("%d lines about it, want %d", n, want)
				}
			})
		})
	}
}

// TestLastGoodLater: a primary NIC that comes after the first failure is waited for.
func TestLastGoodLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := rebooted(t, eni(0, 5), eni(1, 5))
		links := h.Links
		h.Links = nil
		h.start()
		defer h.stop()
		h.after(5 * time.Second)
		h.change(func() { h.Links = links })
		h.after(20 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
	})
}
