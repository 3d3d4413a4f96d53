package netcfg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"enid/metadata"
)

// crashJob is what a process that is going to be killed is told to do.
type crashJob struct {
	Dir   string
	ENIs  []crashENI
	After int // operations until the kill
}

// crashENI is an ENI in a form that can be sent to another process.
type crashENI struct {
	Last     byte // of its MAC; 0 is the primary
	Subnets  []netip.Prefix
	Gateways []netip.Addr
	Addrs    []netip.Addr
	Prefixes []netip.Prefix
}

const crashJobEnv = "NETCFG_TEST_CRASH"

// crashed is an ENI with addresses of both families, its subnet named by a number.
func crashed(last byte, subnet int, prefixes string, hosts ...int) crashENI {
	e := crashENI{Last: last,
		Subnets:  []netip.Prefix{pfx(fmt.Sprintf("10.0.%d.0/24", subnet)), pfx(fmt.Sprintf("2001:db8:%d::/64", subnet))},
		Gateways: []netip.Addr{ip(fmt.Sprintf("10.0.%d.1", subnet)), ip(fmt.Sprintf("2001:db8:%d::1", subnet))}}
	for _, h := range hosts {
		e.Addrs = append(e.Addrs, ip(fmt.Sprintf("10.0.%d.%d", subnet, h)), ip(fmt.Sprintf("2001:db8:%d::%d", subnet, h)))
	}
	for _, p := range strings.Fields(prefixes) {
		e.Prefixes = append(e.Prefixes, pfx(p))
	}
	return e
}

// only narrows to one family: each doubles the operations to be killed at.
func (e crashENI) only(f Family) crashENI {
	of := func(a netip.Addr) bool { return FamilyOf(a) == f }
	e.Subnets = keep(e.Subnets, func(p netip.Prefix) bool { return of(p.Addr()) })
	e.Gateways, e.Addrs = keep(e.Gateways, of), keep(e.Addrs, of)
	return e
}

func (e crashENI) mac() metadata.MAC { return metadata.MAC{2, 0, 0, 0, 0, e.Last} }

func (e crashENI) eni() ENI {
	return ENI{Interface: metadata.Interface{MAC: e.mac(), Primary: metadata.Is(e.Last == 0, "test"),
		Subnets: metadata.Is(e.Subnets, "test"), Gateways: metadata.Is(e.Gateways, "test"),
		Addresses: metadata.Is(e.Addrs, "test"), Prefixes: metadata.Is(e.Prefixes, "test")}}
}

// pass is what the agent does in a pass, up to Apply.
func (j crashJob) pass(k *Kernel, slots Slots) (Slots, []Op, Target, error) {
	scope := Scope{MACs: map[metadata.MAC]bool{}, Protos: append(k.Protos(), testProto), Full: true}
	for last := range byte(5) {
		scope.MACs[crashENI{Last: last}.mac()] = true
	}
	seen, err := k.Observe(context.Background(), scope)
	if err != nil {
		return nil, nil, Target{}, err
	}
	var enis []ENI
	for _, e := range j.ENIs {
		enis = append(enis, e.eni())
	}
	slots, _ = slots.Assign(enis, true, seen, DefaultNumbers)
	target := Desired(Input{Numbers: DefaultNumbers, ENIs: enis, Slots: slots, Settled: true, Seen: seen})
	return slots, Plan(seen.Own, target), target, nil
}

// TestKilled is no test by itself: it is the process that TestKill kills.
func TestKilled(t *testing.T) {
	text := os.Getenv(crashJobEnv)
	if text == "" {
		return
	}
	var j crashJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatal(err)
	}
	k, err := NewKernel(j.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var slots Slots
	content, err := os.ReadFile(filepath.Join(j.Dir, "slots"))
	if err = errors.Join(err, json.Unmarshal(content, &slots)); err != nil {
		t.Fatal(err)
	}
	_, planned, _, err := j.pass(k, slots)
	if err != nil {
		t.Fatal(err)
	}
	// One operation that does nothing, before which there is an instant to be killed at.
	planned = append(planned, ops(Del, Rule{Family: V4, Priority: 1, Table: 7, Proto: testProto})...)
	k.Apply(&ctxAfter{context.Background(), j.After, func() {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // the signal is on its way
	}}, planned)
}

// kill runs the job in a process of its own and reports whether it was killed: not so if
// it had fewer operations to do.
func (h *host) kill(j crashJob, slots Slots) bool {
	h.Helper()
	content, err := json.Marshal(slots)
	h.must(err)
	h.must(os.WriteFile(filepath.Join(j.Dir, "slots"), content, 0o600))
	job, err := json.Marshal(j)
	h.must(err)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), crashJobEnv+"="+string(job))
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		h.Fatalf("%v\n%s", err, output)
	}
	return false
}

// finish is a fresh process that goes on: it must converge in one pass. The first address
// that instant sees missing is an error.
func (h *host) finish(j crashJob, slots Slots, instant func(when string)) (Slots, Target) {
	h.Helper()
	k := h.open()
	defer k.Close()
	var target Target
	for round := range 2 {
		var todo []Op
		var err error
		slots, todo, target, err = j.pass(k, slots)
		h.must(err)
		if round == 1 && len(todo) > 0 {
			h.Fatalf("there is more to do after a pass:\n%s", commands(todo))
		}
		done := 0
		for _, r := range k.Apply(&ctxEach{h.Context(), func() { instant(fmt.Sprintf("%d operations on", done)); done++ }}, todo) {
			h.must(r.Err)
		}
	}
	return slots, target
}

// ctxEach calls each whenever it is asked for its error: Apply asks before each operation.
type ctxEach struct {
	context.Context
	each func()
}

func (c *ctxEach) Err() error {
	c.each()
	return c.Context.Err()
}

func commands(ops []Op) (s string) {
	for _, op := range ops {
		s += op.String() + "\n"
	}
	return s
}

// staying are the addresses that both sets of ENIs have on the same NIC.
func (h *host) staying(before, after []crashENI) map[netip.Addr]int {
	stay := map[netip.Addr]int{}
	for _, b := range before {
		for _, a := range after {
			for _, addr := range b.Addrs {
				if a.Last == b.Last && slices.Contains(a.Addrs, addr) {
					stay[addr] = h.link(fmt.Sprintf("eth%d", a.Last)).Index
				}
			}
		}
	}
	return stay
}

// TestKill kills a change after every single operation and lets a fresh process go on: nothing of
// others' is touched, no address that stays is missing at any instant, nothing is left over.
func TestKill(t *testing.T) {
	primary := crashed(0, 0, "", 5, 6)
	full := []crashENI{primary, crashed(1, 1, "10.0.1.32/28", 5, 6), crashed(2, 1, "", 7).only(V4), crashed(3, 2, "2001:db8:2:8::/80", 9).only(V6)}
	for _, c := range []struct {
		name          string
		before, after []crashENI
	}{
		{"from nothing", []crashENI{primary}, full},
		{"changed", full, []crashENI{crashed(0, 0, "", 5, 9).only(V4), crashed(1, 1, "10.0.1.48/28", 6, 7), crashed(2, 2, "", 7).only(V6), crashed(3, 2, "", 9, 8).only(V6)}},
		{"detached", full, []crashENI{primary, full[2]}},
		{"released", full, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			killEverywhere(t, c.before, c.after)
		})
	}
}

func killEverywhere(t *testing.T, before, after []crashENI) {
	h, theirs := crashHost(t)
	bare := h.snapshot(false)
	foreign := h.snapshot(true)
	stay := h.staying(before, after)
	quiet := func(string) {}
	var slots Slots
	for n := 0; ; n++ {
		slots, _ = h.finish(crashJob{ENIs: before}, slots, quiet)
		killed := h.kill(crashJob{h.dir, after, n}, slots)
		instant := func(when string) { h.reaches(stay, fmt.Sprintf("killed after %d, %s", n, when)) }
		instant("right then")
		var target Target
		slots, target = h.finish(crashJob{ENIs: after}, slots, instant)
		h.onlyWanted(n, theirs, foreign, target)

		slots, _ = h.finish(crashJob{}, slots, quiet)
		if diff := gocmp.Diff(bare, h.snapshot(false), equate, gocmp.AllowUnexported(foundRoute{})); diff != "" {
			t.Fatalf("killed after %d: the clean-up does not put the host back (-before +after):\n%s", n, diff)
		}
		if t.Failed() {
			t.FailNow()
		}
		if !killed {
			if n < 5 {
				t.Fatalf("only %d operations: nothing was tried", n)
			}
			return
		}
	}
}

// onlyWanted fails where the kernel has anything but what is wanted and what was others'.
func (h *host) onlyWanted(n int, theirs []Addr, foreign snapshot, target Target) {
	h.Helper()
	got := h.snapshot(true)
	want := slices.Concat(theirs, target.State.Addrs)
	order := func(a, b Addr) int {
		if a.Link != b.Link {
			return a.Link - b.Link
		}
		return a.Prefix.Compare(b.Prefix)
	}
	slices.SortFunc(want, order)
	slices.SortFunc(got.Addrs, order)
	if lo := (Addr{1, pfx("127.0.0.1/8")}); slices.Contains(got.Addrs, lo) {
		want = append([]Addr{lo}, want...)
	}
	if diff := gocmp.Diff(want, got.Addrs, equate); diff != "" {
		h.Errorf("killed after %d: addresses (-want +got):\n%s", n, diff)
	}
	if diff := gocmp.Diff(foreign.Routes, got.Routes, equate, gocmp.AllowUnexported(foundRoute{})); diff != "" {
		h.Errorf("killed after %d: foreign routes (-before +after):\n%s", n, diff)
	}
	if diff := gocmp.Diff(foreign.Rules, got.Rules, equate); diff != "" {
		h.Errorf("killed after %d: foreign rules (-before +after):\n%s", n, diff)
	}
	for _, e := range target.ENIs {
		if e.Phase != Ready {
			h.Errorf("killed after %d: %s is %s: %v", n, e.Link.Name, e.Phase, e.Problems)
		}
	}
}
