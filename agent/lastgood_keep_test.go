package agent

import (
	"errors"
	"net/netip"
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

// TestLastGoodIsWritten: when something has changed and two answers agree, else once an hour; never by a plan.
func TestLastGoodIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5))
		defer h.stop()
		path := h.agent.memory.path
		answered := func() time.Time {
			d, err := lastgood.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			return d.Answered
		}
		first := answered()
		h.after(50 * time.Minute)
		if now := answered(); !now.Equal(first) {
			t.Errorf("written again after %s, though nothing has changed", now.Sub(first))
		}
		h.after(15 * time.Minute)
		second := answered()
		if age := time.Since(second); age > 20*time.Minute || second.Equal(first) {
			t.Errorf("confirmed %s ago", age)
		}
		h.cloud.says(eni(0, 5), eni(1, 5, 6))
		h.after(15 * time.Second)
		if d, err := lastgood.Load(path); err != nil || len(d.Interfaces[1].Addresses.Value) != 2 {
			t.Errorf("a new address is not kept: %+v, %v", d, err)
		}
		h.cloud.set(metadata.Snapshot{Provider: "test", Interfaces: []metadata.Interface{eni(0, 5)}}, nil, false)
		h.after(2 * time.Hour)
		if d, err := lastgood.Load(path); err != nil || len(d.Interfaces) != 2 {
			t.Errorf("an incomplete list has taken an ENI away: %+v, %v", d, err)
		}
		h.stop()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		h.make()
		if _, err := h.agent.Plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a plan has written: %v", err)
		}
	})
}

// TestLastGoodIsConfirmed: what only one answer has said is not kept.
func TestLastGoodIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.cloud.says(eni(0, 5))
		h.start()
		defer h.stop()
		h.after(confirmAfter / 2)
		if _, err := os.Stat(h.agent.memory.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("kept after one answer: %v", err)
		}
		h.after(confirmAfter)
		if _, err := os.Stat(h.agent.memory.path); err != nil {
			t.Errorf("not kept after two: %v", err)
		}
	})
}

// TestLastGoodIsNotWritten: where the directory refuses, status says so, and the rest goes on.
func TestLastGoodIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		if err := os.Mkdir(filepath.Join(h.config.StateDir, "metadata.json"), 0o755); err != nil {
			t.Fatal(err)
		}
		h.plug(1)
		h.cloud.says(eni(0, 5), eni(1, 5))
		h.start()
		defer h.stop()
		h.after(time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		if !hasProblem(h.agent.Status().Problems, "last-good-not-saved") {
			t.Errorf("problems: %v", h.agent.Status().Problems)
		}
	})
}

// TestOnceWithoutMetadata: plan shows what the last good metadata would do, apply does it, and fails all the same.
func TestOnceWithoutMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := rebooted(t, eni(0, 5), eni(1, 5))
		h.make()
		ops, err := h.agent.Plan(t.Context())
		adds := func(op netcfg.Op) bool {
			a, ok := op.Object.(netcfg.Addr)
			return ok && a.Prefix.Addr() == netip.MustParseAddr("10.0.1.5")
		}
		planned := false
		for _, op := range ops {
			planned = planned || adds(op)
		}
		if err != nil || !planned || h.agent.LastGood().IsZero() || h.Writes > 0 {
			t.Errorf("planned %v, %v, %d writes", ops, err, h.Writes)
		}
		h.make()
		if err := h.agent.Apply(t.Context()); err == nil || !strings.Contains(err.Error(), "metadata: down; its last good answer, of ") {
			t.Errorf("apply says %v", err)
		}
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		h.make()
		if err := h.agent.Cleanup(t.Context(), func(netcfg.Result) {}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(h.agent.memory.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cleanup has left the file: %v", err)
		}
		h.make()
		if _, err := h.agent.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "metadata: down") {
			t.Errorf("a plan on nothing: %v", err)
		}
	})
}
