package netcfg_test

import (
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"enid/metadata"
	"enid/netcfg"
	"enid/test/kernel"
)

var update = flag.Bool("update", false, "write the golden files")

var compare = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()}

// TestPlanGolden shows whole plans as the commands an operator would type.
func TestPlanGolden(t *testing.T) {
	withPrefix := eni(1, subnetA, false, 5, 6)
	withPrefix.Prefixes = metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.0.1.32/28")}, "test")
	subnetRoute := eni(1, subnetA, true, 5)
	subnetRoute.SubnetRoute = true
	tests := map[string][]netcfg.ENI{
		"alone":          {eni(0, subnetP, false, 5, 6), withPrefix},
		"shared":         {eni(0, subnetP, false, 5), eni(1, subnetA, false, 5, 6), eni(2, subnetA, false, 7)},
		"primary-subnet": {eni(0, subnetP, false, 5), eni(1, subnetP, false, 8, 9)},
		"dual-stack":     {eni(0, subnetP, true, 5), subnetRoute},
		"primary-only":   {eni(0, subnetP, false, 5, 6)},
	}
	for name, enis := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, e := range enis[1:] {
				w.plug(int(e.MAC[5]))
			}
			ops, _ := w.plan(enis, true)
			file := filepath.Join("testdata", name+".plan")
			if *update {
				if err := os.WriteFile(file, []byte(list(ops)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), list(ops)); diff != "" {
				t.Errorf("plan differs (-want +got), run with -update if it is meant:\n%s", diff)
			}
		})
	}
}

// TestChangeProperty changes a host from any set of ENIs to any other and looks at every
// instant between.
func TestChangeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		before, after := drawENIs(t, "before"), drawENIs(t, "after")
		for i := 1; i <= 4; i++ {
			w.plug(i)
		}
		foreign := w.foreign()
		w.converge(t, before, true)
		w.checkNobodyStrays(t, "converged")

		ops, _ := w.plan(after, true)
		stay, owners := ownersOf(after), ownersOf(before)
		reach := func(when string) {
			w.checkNobodyStrays(t, when)
			for a, nic := range stay {
				dst := outside
				if a.Is6() {
					dst = six(outside)
				}
				if owners[a] == nic && w.Lookup(kernel.Packet{Src: a, Dst: dst}).Link != nic {
					t.Fatalf("%s: %s, which stays on NIC %d, cannot send", when, a, nic)
				}
			}
		}
		for i, op := range ops {
			if r := w.Apply(context.Background(), ops[i:i+1])[0]; r.Err != nil {
				t.Fatalf("%v", r.Err)
			}
			reach("after " + op.String())
		}
		if rest, _ := w.plan(after, true); len(rest) > 0 {
			t.Fatalf("not converged:\n%s", list(rest))
		}
		if diff := cmp.Diff(foreign, w.foreign(), compare); diff != "" {
			t.Fatalf("foreign objects changed:\n%s", diff)
		}
	})
}

// TestCrashProperty stops after any operation and starts over with nothing but what the kernel and
// the slots show.
func TestCrashProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		before, after := drawENIs(t, "before"), drawENIs(t, "after")
		for i := 1; i <= 4; i++ {
			w.plug(i)
		}
		w.converge(t, before, true)
		ops, _ := w.plan(after, true)
		if len(ops) > 0 {
			w.Apply(context.Background(), ops[:rapid.IntRange(0, len(ops)).Draw(t, "crash after")])
		}
		if rapid.Bool().Draw(t, "slots lost") {
			w.slots = netcfg.Slots{}
		}
		w.converge(t, after, true)
		w.checkNobodyStrays(t, "after the crash")
		w.converge(t, nil, true)
		seen, _ := w.Observe(context.Background(), netcfg.Scope{MACs: allMACs()})
		if diff := cmp.Diff(netcfg.State{}, seen.Own, compare); diff != "" {
			t.Fatalf("orphans:\n%s", diff)
		}
	})
}

// TestLostRulesProperty deletes any subset of our rules: only ENIs' own traffic may suffer,
// and one pass puts everything back.
func TestLostRulesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		enis := drawENIs(t, "enis")
		for i := 1; i <= 4; i++ {
			w.plug(i)
		}
		w.converge(t, enis, true)
		bare := w.bare()
		w.Rules = keepRules(w.Rules, func(r netcfg.Rule) bool {
			return r.Proto != proto || rapid.Bool().Draw(t, "survives")
		})
		for _, dst := range destinations() {
			p := kernel.Packet{Dst: dst}
			if got, want := w.Lookup(p), bare.Lookup(p); got != want {
				t.Fatalf("with rules lost the host's own packet to %s goes %+v, want %+v", dst, got, want)
			}
		}
		w.converge(t, enis, true)
		w.checkNobodyStrays(t, "repaired")
	})
}

// TestHold: whatever the metadata fails to say, nothing is removed.
func TestHold(t *testing.T) {
	full := []netcfg.ENI{eni(0, subnetP, true, 5, 6), eni(1, subnetA, true, 5, 6), eni(2, subnetA, false, 7), eni(3, subnetB, false, 8)}
	shorter := eni(1, subnetA, true, 5)
	shorter.Hold = true
	blank := netcfg.ENI{Interface: metadata.Interface{MAC: mac(1), Primary: metadata.Is(false, "test")}, Hold: true}
	tests := map[string]struct {
		enis    []netcfg.ENI
		settled bool
	}{
		"nothing known":             {nil, false},
		"an ENI not listed":         {full[:3], false},
		"an address fewer, in hold": {[]netcfg.ENI{full[0], shorter, full[2], full[3]}, true},
		"nothing but the MAC":       {[]netcfg.ENI{full[0], blank, full[2], full[3]}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for i := 1; i <= 3; i++ {
				w.plug(i)
			}
			w.converge(t, full, true)
			ops, _ := w.plan(tt.enis, tt.settled)
			for _, op := range ops {
				if op.Verb == netcfg.Del || op.Verb == netcfg.Restore {
					t.Errorf("removes on the word of nobody: %s", op)
				}
			}
			w.converge(t, tt.enis, tt.settled)
			w.checkNobodyStrays(t, "held")
		})
	}
}

// TestVanishedNIC: what belongs to a NIC that is gone goes at once, in doubt or not, and
// nothing else.
func TestVanishedNIC(t *testing.T) {
	w := newWorld()
	w.plug(1)
	w.plug(2)
	full := []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5, 6), eni(2, subnetA, false, 7)}
	w.converge(t, full, true)
	w.Unplug(eth0 + 1)
	for i := range full {
		full[i].Hold = true
	}
	target := w.converge(t, full, false)
	if got := target.ENIs[1].Phase; got != netcfg.Waiting {
		t.Errorf("phase %s, want waiting", got)
	}
	for _, r := range w.Rules {
		if r.Proto == proto && (r.Goto == 33010 || r.Priority/10 == 3301) {
			t.Errorf("left behind: %s", netcfg.Op{Object: r})
		}
	}
	w.checkNobodyStrays(t, "after the NIC went")
}

// TestForeignIsNotOurs: what others have put there already is neither added nor ever removed.
func TestForeignIsNotOurs(t *testing.T) {
	w := newWorld()
	w.plug(1)
	theirs := netcfg.Addr{Link: eth0 + 1, Prefix: netip.MustParsePrefix("10.0.1.6/24")}
	w.Addrs = append(w.Addrs, theirs)
	enis := []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5, 6)}
	w.converge(t, enis, true)
	w.converge(t, nil, true)
	if !slices.Contains(w.Addrs, theirs) {
		t.Error("a foreign address was removed")
	}
}

func TestSlotsAreStable(t *testing.T) {
	w := newWorld()
	for i := 1; i <= 3; i++ {
		w.plug(i)
	}
	all := []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5), eni(2, subnetA, false, 7), eni(3, subnetB, false, 8)}
	w.converge(t, all, true)
	want := netcfg.Slots{mac(0): 0, mac(1): 1, mac(2): 2, mac(3): 3}
	if diff := cmp.Diff(want, w.slots); diff != "" {
		t.Fatal(diff)
	}
	w.converge(t, []netcfg.ENI{all[0], all[3]}, true)
	w.slots = nil // the file is lost: the kernel remembers
	w.converge(t, []netcfg.ENI{all[3], all[0]}, true)
	if w.slots[mac(3)] != 3 {
		t.Errorf("the ENI moved to slot %d", w.slots[mac(3)])
	}
	w.plug(1)
	w.converge(t, []netcfg.ENI{all[3], all[1], all[0]}, true)
	if w.slots[mac(1)] != 1 {
		t.Errorf("the free slot is 1, got %d", w.slots[mac(1)])
	}
}

// TestAddressOnTwoENIs: while an address moves, both ENIs may be believed to have it. It stays where it
// is until the loss is believed, and then goes over; at no time is there more to do after a pass.
func TestAddressOnTwoENIs(t *testing.T) {
	for _, other := range []netip.Prefix{subnetA, subnetB} {
		w := newWorld()
		w.plug(1)
		w.plug(2)
		first, second := eni(1, subnetA, false, 5, 6), eni(2, other, false, 8)
		w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), first, second}, true)
		moved := netip.MustParseAddr("10.0.1.6")
		if other != subnetA {
			second.Subnets.Value = append(second.Subnets.Value, subnetA)
		}
		second.Addresses.Value = append(second.Addresses.Value, moved)
		both := []netcfg.ENI{eni(0, subnetP, false, 5), second, first}
		w.converge(t, both, true)
		w.checkNobodyStrays(t, "claimed by both")
		if way := w.Lookup(kernel.Packet{Src: moved, Dst: outside}); way.Link != eth0+1 {
			t.Errorf("claimed by both: leaves by NIC %d, want the one that has it", way.Link)
		}
		w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), second, eni(1, subnetA, false, 5)}, true)
		w.checkNobodyStrays(t, "moved")
		if way := w.Lookup(kernel.Packet{Src: moved, Dst: outside}); way.Link != eth0+2 {
			t.Errorf("moved: leaves by NIC %d", way.Link)
		}
	}
}

// TestRestorePrintsWhatItPutsBack: a plan says what the host will be like, not what it is like now.
func TestRestorePrintsWhatItPutsBack(t *testing.T) {
	w := newWorld()
	w.plug(1)
	w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5)}, true)
	ops, _ := w.plan(nil, true)
	for _, want := range []string{"ip link set dev eth1 down", "ip link set dev eth1 group 0", "sysctl -w net.ipv4.conf.eth1.arp_ignore=0"} {
		if !strings.Contains(list(ops), want+"\n") {
			t.Errorf("the plan lacks %q:\n%s", want, list(ops))
		}
	}
}

// TestRoleInDoubt: one answer that calls the ENIs' roles by each other's name moves nothing.
func TestRoleInDoubt(t *testing.T) {
	w := newWorld()
	w.plug(1)
	primary, other := eni(0, subnetP, false, 5, 6), eni(1, subnetA, false, 5, 6)
	w.converge(t, []netcfg.ENI{primary, other}, true)
	primary.Primary.Value, other.Primary.Value = false, true
	primary.Hold, other.Hold = true, true
	if ops, _ := w.plan([]netcfg.ENI{primary, other}, false); len(ops) > 0 {
		t.Errorf("on the word of one answer:\n%s", list(ops))
	}
}

// TestLastOfASubnet: with the NIC of a subnet's only ENI the primary's exceptions for that subnet go too,
// however fresh the list is.
func TestLastOfASubnet(t *testing.T) {
	w := newWorld()
	w.plug(1)
	w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), eni(1, subnetA, false, 5)}, true)
	w.Unplug(eth0 + 1)
	w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5)}, false)
	for _, r := range w.Routes {
		if r.Proto == proto {
			t.Errorf("left behind: %s", netcfg.Op{Object: r})
		}
	}
}
