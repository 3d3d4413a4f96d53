package netcfg

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
	"pgregory.net/rapid"
)

func (w *world) randomPacket(r *rapid.T, f Family) Packet {
	p := Packet{Dst: rapid.SampledFrom(worldAddrs[f]).Draw(r, "to"), Mark: rapid.Uint32Range(0, 4).Draw(r, "packet's mark")}
	switch n := rapid.IntRange(0, 9).Draw(r, "made"); {
	case n < 4:
		p.Src = rapid.SampledFrom(worldAddrs[f][:3]).Draw(r, "own source")
	case n < 6:
	default:
		p.Src, p.IIF = rapid.SampledFrom(worldAddrs[f]).Draw(r, "source"), rapid.SampledFrom([]string{"eth1", "eth2", "eth4"}).Draw(r, "by")
	}
	if p.IIF == "" {
		p.UID = rapid.SampledFrom(w.uids).Draw(r, "uid")
	}
	return p
}

// randomSettings are those that the way depends on.
func (w *world) randomSettings(r *rapid.T, f Family) {
	one := func(path string, most int) {
		w.sysctl(path, fmt.Sprint(rapid.IntRange(0, most).Draw(r, path)))
	}
	if f == V6 {
		one("ipv6/conf/all/forwarding", 1)
		for i, nic := range w.nics[:3] {
			state := netlink.NUD_PERMANENT
			if chance(r, 40, "failed") {
				state = netlink.NUD_FAILED
			}
			w.must(netlink.NeighSet(&netlink.Neigh{LinkIndex: nic.Index, State: state, IP: gateway(f, i).AsSlice(), HardwareAddr: []byte{2, 0, 0, 0, 0, 9}}))
		}
		return
	}
	for _, nic := range []string{"eth1", "eth2", "eth4"} {
		one("ipv4/conf/"+nic+"/rp_filter", 2)
		w.sysctl("ipv4/conf/"+nic+"/forwarding", map[bool]string{true: "0", false: "1"}[chance(r, 10, "forwards not")])
	}
	one("ipv4/conf/all/src_valid_mark", 1)
	one("ipv4/conf/all/accept_local", 1)
}

// lookupsPerHost is how many packets are asked for between two sets of rules and routes.
const lookupsPerHost = 40

// TestExplainAgainstKernel: whatever rules and routes there are, the walk ends where the kernel's own
// lookup ends. -rapid.checks is how many hosts to try.
func TestExplainAgainstKernel(t *testing.T) {
	for _, f := range []Family{V4, V6} {
		t.Run(fmt.Sprintf("IPv%d", f), func(t *testing.T) {
			w := newWorld(t)
			tried, left, took, refused := 0, 0, 0, 0
			rapid.Check(t, func(r *rapid.T) {
				var objects []object
				for range rapid.IntRange(0, 14).Draw(r, "routes") {
					objects = append(objects, w.randomRoute(r, f))
				}
				for range rapid.IntRange(1, 12).Draw(r, "rules") {
					objects = append(objects, w.randomRule(r, f))
				}
				w.randomSettings(r, f)
				installed := w.install(objects)
				took, refused = took+len(installed), refused+len(objects)-len(installed)
				defer w.remove(r, f, installed)
				for range lookupsPerHost {
					p := w.randomPacket(r, f)
					e, err := Explain(t.Context(), p, DefaultNumbers, nil)
					if err != nil {
						r.Fatalf("%+v: %v", p, err)
					}
					tried++
					if e.Way.Type == "unicast" {
						left++
					}
					if !e.Kernel.Agrees {
						r.Fatalf("%s\nwalk %+v\nreverse %+v\nkernel %+v\n%s", w.dumpOf(f), e.Way, e.Reverse, e.Kernel, explained(e))
					}
				}
			})
			t.Logf("%d lookups, %d of them left by a NIC; %d rules and routes, %d others that the kernel refused", tried, left, took, refused)
			if left < tried/20 {
				t.Errorf("only %d of %d lookups left by a NIC: the test sees too little", left, tried)
			}
		})
	}
}
