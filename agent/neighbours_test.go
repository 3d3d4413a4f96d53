package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/netcfg"
)

// hearing is a host whose other network managers note what they are told, and when: before how many
// addresses of ours were there.
func hearing(t *testing.T) (h *host, told func() [][]string) {
	h = newHost(t)
	var all [][]string
	h.neighbours = func(macs []string) error {
		all = append(all, slices.Clone(macs))
		return nil
	}
	return h, func() [][]string {
		h.Protos()
		defer func() { all = nil }()
		return all
	}
}

func wantTold(t *testing.T, when string, got [][]string, want ...[]string) {
	t.Helper()
	if diff := cmp.Diff(want, got, compareConfig); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// TestNeighboursHear: they are told of the secondary ENIs, once, before anything is on the NICs, also of one whose
// NIC is not there yet; never of the primary.
func TestNeighboursHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, told := hearing(t)
		first := 0
		spare := h.neighbours
		h.neighbours = func(macs []string) error {
			if len(macs) > 0 && first == 0 {
				first = len(h.Addrs)
			}
			return spare(macs)
		}
		h.plug(2)
		h.cloud.says(eni(0, 5), eni(1, 5), eni(2, 5))
		h.start()
		defer h.stop()
		h.after(2 * time.Minute)
		wantTold(t, "the start", told(), nil, []string{macOf(1).String(), macOf(2).String()})
		if first != 1 {
			t.Errorf("%d addresses were there when they were told, want the primary's own", first)
		}
		h.after(5 * time.Minute)
		wantTold(t, "nothing new", told())
		h.after(10 * time.Minute)
		wantTold(t, "a full look", told(), []string{macOf(1).String(), macOf(2).String()})
		h.cloud.says(eni(0, 5), eni(2, 5))
		h.after(2 * time.Minute)
		wantTold(t, "one goes", told(), []string{macOf(2).String()})
	})
}

// TestNeighboursAreNotSure: of an ENI that may be the primary, or that enid keeps off, nobody is told.
func TestNeighboursAreNotSure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, told := hearing(t)
		unsure := eni(1, 5)
		unsure.Primary = metadata.Fact[bool]{}
		h.config.Interfaces = []InterfaceRule{{Match{MAC: macOf(2)}, InterfaceConfig{Ignore: true}}}
		h.plug(1)
		h.plug(2)
		h.cloud.says(eni(0, 5), unsure, eni(2, 5), eni(3, 5))
		h.start()
		defer h.stop()
		h.after(2 * time.Minute)
		wantTold(t, "the start", told(), nil, []string{macOf(3).String()})
	})
}

// TestNeighboursOff: then what was said before is taken back.
func TestNeighboursOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, told := hearing(t)
		h.plug(1)
		h.cloud.says(eni(0, 5), eni(1, 5))
		h.reload = Reloader{
			Load: func() (Config, error) {
				off := h.config
				off.Neighbours = Off
				return off, nil
			},
			Source: func(Config) (Source, error) { return h.cloud, nil },
		}
		h.start()
		defer h.stop()
		h.after(time.Minute)
		told()
		Poke(h.events.Reload)
		h.after(time.Minute)
		wantTold(t, "off", told(), nil)
	})
}

// TestNeighboursDeaf: that they cannot be told is a problem, tried again with each pass, and nothing else.
func TestNeighboursDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		deaf := errors.New("/run/systemd/network: read-only file system")
		h.neighbours = func([]string) error { return deaf }
		h.plug(1)
		h.cloud.says(eni(0, 5), eni(1, 5))
		h.start()
		defer h.stop()
		h.after(time.Minute)
		s := h.agent.Status()
		if !hasProblem(s.Problems, "neighbours-not-told") || !s.Converged || h.eni(1).Phase != PhaseConfigured {
			t.Errorf("the status is %+v", s)
		}
		h.Protos()
		deaf = nil
		h.after(15 * time.Second)
		if s := h.agent.Status(); len(s.Problems) > 0 {
			t.Errorf("the problems are %v", s.Problems)
		}
	})
}

// TestNeighboursAfterCleanup: nothing of ours is left for them to read.
func TestNeighboursAfterCleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, told := hearing(t)
		h.plug(1)
		h.cloud.says(eni(0, 5), eni(1, 5))
		h.start()
		h.after(time.Minute)
		h.stop()
		told()
		a := New(Options{Config: h.config, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Kernel: h.Kernel, Source: h.cloud, Notify: h.notify, Neighbours: h.neighbours})
		if err := a.Cleanup(context.Background(), func(netcfg.Result) {}); err != nil {
			t.Fatal(err)
		}
		wantTold(t, "cleanup", told(), nil)
	})
}
