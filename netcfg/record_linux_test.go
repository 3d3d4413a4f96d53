package netcfg

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// reread is the record that is in the file.
func (h *host) reread() record {
	h.Helper()
	f := h.file
	r, err := f.load()
	h.must(err)
	return r
}

// TestWriteAhead stops a change after every single operation, as a kill would, and starts again:
// all that was done is known to be ours, and no more.
func TestWriteAhead(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	all := everything(nic.Index)
	add := all.addOps()
	for n := range len(add) + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// The second look at the context is at the next operation.
		results := h.Apply(&ctxAfter{ctx, n, cancel}, add)
		killed := h.open() // knows what the file says, no more
		o, err := killed.Observe(t.Context(), h.scope(20001, 20900))
		h.must(err)
		var want State
		for i, r := range results {
			if r.Skipped != (i >= n) || (r.Err != nil) != r.Skipped {
				t.Fatalf("stopped after %d: operation %d: %+v", n, i, r)
			}
			if !r.Skipped {
				want.add(r.Op.Object)
			}
		}
		if diff := gocmp.Diff(sortedState(want), sortedState(o.Own), equate); diff != "" {
			t.Fatalf("stopped after %d, ours (-want +got):\n%s", n, diff)
		}
		killed.Close()
		h.apply(all.delOps()...)
	}
}

func (s *State) add(o Object) {
	switch o := o.(type) {
	case Addr:
		s.Addrs = append(s.Addrs, o)
	case Route:
		s.Routes = append(s.Routes, o)
	case Rule:
		s.Rules = append(s.Rules, o)
	case Setting:
		s.Settings = append(s.Settings, o)
	}
}

// TestAhead: the file says what is going to be ours before the first operation.
func TestAhead(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	all := everything(nic.Index)
	var ahead record
	h.applyWith(&ctxAfter{t.Context(), 0, func() { ahead = h.reread() }}, all.addOps())
	if len(ahead.addrs) != len(all.Addrs) || len(ahead.knobs) != len(all.Settings) || !ahead.protocols[testProto] {
		t.Errorf("recorded ahead: %+v", ahead)
	}
}

func (h *host) applyWith(ctx context.Context, ops []Op) {
	h.Helper()
	for _, r := range h.Apply(ctx, ops) {
		h.must(r.Err)
	}
}

// TestTakenAway: an address of ours that somebody removes and another puts back is the other's.
func TestTakenAway(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	a := Addr{nic.Index, pfx("10.0.1.5/24")}
	h.apply(ops(Add, a)...)
	h.must(h.conn.setAddr(Del, a))
	if o := h.see(h.scope()); len(o.Own.Addrs) != 0 {
		t.Fatalf("ours: %v", o.Own.Addrs)
	}
	if len(h.reread().addrs) == 0 {
		t.Error("to observe wrote to the record")
	}
	h.Apply(t.Context(), nil)
	if r := h.reread(); len(r.addrs) != 0 {
		t.Errorf("still recorded: %v", r.addrs)
	}
	h.must(h.conn.setAddr(Add, a))
	o := h.see(h.scope())
	if len(o.Own.Addrs) != 0 || !slices.Contains(o.Host.Addrs, a) {
		t.Errorf("ours: %v, theirs: %v", o.Own.Addrs, o.Host.Addrs)
	}
}

// TestRecordNotWritable: without a record nothing is changed.
func TestRecordNotWritable(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	h.file.path = filepath.Join(h.dir, "file", "record.json")
	h.must(os.WriteFile(filepath.Join(h.dir, "file"), nil, 0o600))
	all := everything(nic.Index)
	for _, r := range h.Apply(t.Context(), all.addOps()) {
		if r.Err == nil || !strings.Contains(r.Err.Error(), "runtime_dir") {
			t.Errorf("%s: %v", r.Op, r.Err)
		}
	}
	if h.RecordProblem() == nil {
		t.Error("no problem is reported")
	}
	h.wantOwn(h.scope(20001, 20900), State{})
}

func TestRecordOfOthers(t *testing.T) {
	for _, c := range []struct {
		name, from, to, want string
		aside                bool
	}{
		{name: "boot", from: `"boot": "`, to: `"boot": "x`, want: "another boot"},
		{name: "namespace", from: `"namespace": "`, to: `"namespace": "x`, want: "another network namespace"},
		{name: "version", from: `"version": 1`, to: `"version": 99`, want: "version 99"},
		{name: "cut off", from: "}\n", to: "", want: "damaged", aside: true},
		{name: "unknown setting", from: "arp_ignore", to: "arp_ignorance", want: "damaged", aside: true},
		{name: "bad address", from: "10.0.1.5/24", to: "10.0.1.5/240", want: "damaged", aside: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			nic := h.plug("eth1", 1)
			all := everything(nic.Index)
			h.apply(all.addOps()...)
			content, err := os.ReadFile(h.file.path)
			h.must(err)
			if !strings.Contains(string(content), c.from) {
				t.Fatalf("no %q in %s", c.from, content)
			}
			h.must(os.WriteFile(h.file.path, []byte(strings.ReplaceAll(string(content), c.from, c.to)), 0o600))

			k := h.open()
			defer k.Close()
			if err := k.RecordProblem(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("problem: %v", err)
			}
			o, err := k.Observe(t.Context(), h.scope(20001, 20900))
			h.must(err)
			if len(o.Own.Addrs)+len(o.Own.Settings) != 0 || len(o.Own.Rules) != len(all.Rules) {
				t.Errorf("ours: %+v", o.Own)
			}
			if _, err := os.Stat(k.file.aside()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("to observe moved the record: %v", err)
			}
			k.Apply(t.Context(), nil)
			if err := k.RecordProblem(); err != nil {
				t.Errorf("after a write: %v", err)
			}
			if _, err := os.Stat(k.file.aside()); (err == nil) != c.aside {
				t.Errorf("the damaged record: %v", err)
			}
			info, err := os.Stat(k.file.path)
			h.must(err)
			if info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
		})
	}
}
