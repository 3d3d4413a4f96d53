package agent

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/netcfg"
	"enid/test/kernel"
)

// reloads gives the host a configuration file: what load returns is what is in it.
func (h *host) reloads(load func() (Config, error), source func(Config) (Source, error)) {
	h.reload = Reloader{Load: load, Source: source}
}

// sameCloud is the source of every configuration but where a test says otherwise.
func (h *host) sameCloud(Config) (Source, error) { return h.cloud, nil }

// reloading is a started host that reads its configuration from file and err.
func reloading(t testing.TB) (h *host, file *Config, bad *error) {
	h = newHost(t)
	file, bad = &h.config, new(error)
	h.plug(1)
	h.plug(2)
	h.cloud.says(eni(0, 5), eni(1, 5, 6), eni(2, 5))
	h.reloads(func() (Config, error) { return *file, *bad }, h.sameCloud)
	h.start()
	h.after(2 * time.Minute)
	h.logged.take()
	return h, file, bad
}

func (h *host) reloadNow() {
	synctest.Wait()
	Poke(h.events.Reload)
	h.after(50 * time.Millisecond)
}

func TestReloadOfTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, _ := reloading(t)
		defer h.stop()
		writes := h.Writes
		h.cloud.questions()
		h.reloadNow()
		h.wantLog()
		if n := len(h.cloud.questions()); h.Writes != writes || n != 1 {
			t.Errorf("%d writes, %d questions; want none, and one", h.Writes-writes, n)
		}
		if r, d := h.notify.times("reloading"), h.notify.times("ready"); len(r) != 1 || len(d) != 2 {
			t.Errorf("reloading %d times, ready %d times", len(r), len(d))
		}
	})
}

func TestReloadOfABadFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, bad := reloading(t)
		defer h.stop()
		before := h.objects()
		*bad = errors.New("enid.yaml:1:1: unknown key")
		h.reloadNow()
		h.reloadNow()
		h.wantLog(`level=WARN msg="the changed configuration is not used, the one before is still in force: enid.yaml:1:1: unknown key" reason=config-invalid`)
		if s := h.agent.Status(); !hasProblem(s.Problems, "config-invalid") || !s.Converged {
			t.Errorf("the status is %+v", s)
		}
		if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" {
			t.Error(diff)
		}
		*bad = nil
		h.reloadNow()
		h.wantLog(`level=INFO msg="over: the changed configuration`)
		if s := h.agent.Status(); len(s.Problems) > 0 {
			t.Errorf("the problems are %v", s.Problems)
		}
	})
}

// TestReloadOfDirectories: they hold what this run stands on.
func TestReloadOfDirectories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, file, _ := reloading(t)
		defer h.stop()
		file.StateDir = t.TempDir()
		h.reloadNow()
		h.wantLog(`level=WARN msg="the changed configuration is not used, the one before is still in force: runtime_dir and state_dir cannot change`)
	})
}

func TestReloadOfInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, file, _ := reloading(t)
		defer h.stop()
		file.Interfaces = []InterfaceRule{
			{Match{ID: "port-1"}, InterfaceConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.5/32")}}},
			{Match{Name: "eth2"}, InterfaceConfig{Ignore: true}},
		}
		h.reloadNow()
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		h.wantNothingOf(2)
		file.Interfaces = nil
		h.reloadNow()
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6", "10.0.2.5")
	})
}

// TestReloadOfNumbers: the new objects are there before the old go, at no instant does an address lose its
// way, and nothing with the old numbers is left.
func TestReloadOfNumbers(t *testing.T) {
	tests := map[string]func(*netcfg.Numbers){
		"table":          func(n *netcfg.Numbers) { n.Table = 30000 },
		"priority":       func(n *netcfg.Numbers) { n.Priority = 10000 },
		"near priority":  func(n *netcfg.Numbers) { n.Priority = 20001 },
		"block priority": func(n *netcfg.Numbers) { n.BlockPriority = 50000 },
		"protocol":       func(n *netcfg.Numbers) { n.Protocol = 190 },
		"all": func(n *netcfg.Numbers) {
			*n = netcfg.Numbers{Table: 30000, Priority: 10000, BlockPriority: 50000, Protocol: 190, Mark: n.Mark, Group: n.Group}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, file, _ := reloading(t)
				defer h.stop()
				numbers := file.Routing
				change(&numbers)
				want := fresh(t, numbers)
				h.OnWrite = func(op netcfg.Op) { h.wantWays(op.String()) }
				file.Routing = numbers
				h.reloadNow()
				h.wantWays("the end")
				h.wantSame(want)
				if !h.agent.Status().Converged {
					t.Error("it does not converge")
				}
			})
		})
	}
}

// TestReloadOfOverlappingNumbers: where one ENI's new objects would stand among another's old ones, packets
// would leave by the wrong NIC meanwhile; so it is refused.
func TestReloadOfOverlappingNumbers(t *testing.T) {
	for name, change := range map[string]func(*netcfg.Numbers){
		"routing.table":          func(n *netcfg.Numbers) { n.Table = 20001 },
		"routing.block_priority": func(n *netcfg.Numbers) { n.BlockPriority = 32778 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, file, _ := reloading(t)
				defer h.stop()
				writes := h.Writes
				change(&file.Routing)
				h.reloadNow()
				h.wantWays("after")
				h.wantLog(`level=WARN msg="the changed configuration is not used, the one before is still in force: ` + name)
				if h.Writes != writes {
					t.Errorf("%d writes", h.Writes-writes)
				}
			})
		})
	}
}

// TestReloadOfNumbersEarly: within the first minute nothing may be taken for a leftover; later it goes.
func TestReloadOfNumbersEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := netcfg.DefaultNumbers
		numbers.Table, numbers.Priority, numbers.Protocol = 30000, 10000, 190
		want := fresh(t, numbers)
		h := newHost(t)
		h.plug(1)
		h.plug(2)
		h.cloud.says(eni(0, 5), eni(1, 5, 6), eni(2, 5))
		h.reloads(func() (Config, error) { return h.config, nil }, h.sameCloud)
		h.start()
		defer h.stop()
		h.after(5 * time.Second)
		h.config.Routing = numbers
		h.OnWrite = func(op netcfg.Op) { h.wantWays(op.String()) }
		h.reloadNow()
		h.after(2 * time.Minute)
		h.wantSame(want)
	})
}

// fresh is what the kernel of the same host has where it began with these numbers.
func fresh(t testing.TB, n netcfg.Numbers) *host {
	w := newHost(t)
	w.plug(1)
	w.plug(2)
	w.config.Routing = n
	w.cloud.says(eni(0, 5), eni(1, 5, 6), eni(2, 5))
	w.start()
	w.after(2 * time.Minute)
	w.stop()
	return w
}

// wantSame checks that two hosts have the same objects, in whatever order.
func (h *host) wantSame(w *host) {
	h.t.Helper()
	if diff := cmp.Diff(w.objects(), h.objects(), compareObjects, anyOrder); diff != "" {
		h.t.Errorf("not what a fresh start gives (-want +got):\n%s", diff)
	}
}

// wantWays checks that what is sent from the addresses of the secondary ENIs leaves by their NICs.
func (h *host) wantWays(when string) {
	h.ways(when, func(link, own int) bool { return link == own })
}

// ways asks of each such packet whether the NIC by which it leaves (0 for none) is right.
func (h *host) ways(when string, right func(link, own int) bool) {
	for _, a := range h.Addrs {
		if a.Link == primaryNIC {
			continue
		}
		for _, dst := range []string{"198.51.100.7", "10.0.0.77", "10.0.1.77", "10.0.2.77"} {
			p := kernel.Packet{Src: a.Prefix.Addr(), Dst: netip.MustParseAddr(dst)}
			if way := h.Lookup(p); !right(way.Link, a.Link) {
				h.t.Errorf("%s: a packet from %s (on NIC %d) to %s leaves by NIC %d", when, p.Src, a.Link, dst, way.Link)
			}
		}
	}
}

// TestReloadOfTheSource: the new one is asked at once, whatever the old one is at.
func TestReloadOfTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.plug(1)
		h.cloud.says(eni(0, 5), eni(1, 5, 6))
		other := &cloud{}
		other.says(eni(0, 5), eni(1, 5, 6, 7))
		file := h.config
		h.reloads(func() (Config, error) { return file, nil }, func(Config) (Source, error) { return other, nil })
		h.start()
		defer h.stop()
		h.after(time.Minute)
		h.cloud.set(h.cloud.answer, nil, true)
		h.after(11 * time.Second) // the old one hangs
		file.Metadata.Endpoint = "http://192.0.2.1"
		h.reloadNow()
		if !h.has("10.0.1.7") {
			t.Error("the new source is not asked")
		}
		h.after(time.Minute)
		if s := h.agent.Status(); !s.Metadata.OK {
			t.Errorf("the metadata is %+v", s.Metadata)
		}
	})
}
