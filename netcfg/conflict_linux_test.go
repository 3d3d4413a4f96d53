package netcfg

import (
	"strings"
	"testing"
)

// TestMarkUses: which rules get in the way of the mark 0x7f000000.
func TestMarkUses(t *testing.T) {
	for rule, want := range map[string]bool{
		"-j ACCEPT":                                                                false,
		"-m comment --comment mark -j ACCEPT":                                      false,
		"-j MARK --set-xmark 0x4000/0x4000":                                        false, // kube-proxy
		"-m mark --mark 0x4000/0x4000 -j MASQUERADE":                               false,
		"-m mark ! --mark 0x0/0x80000 -j ACCEPT":                                   false,
		"-j MARK --set-xmark 0x40000/0xff0000":                                     false, // Tailscale
		"-m mark --mark 0x200/0xf00 -j ACCEPT":                                     false, // Cilium
		"-j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80":                   false, // VPC CNI
		"-j CONNMARK --set-xmark 0x10/0x10":                                        false, // Terway
		"-j MARK --set-xmark 0x10000/0x10000":                                      false, // Calico
		"-m mark --mark 0x1 -j ACCEPT":                                             false,
		"-m mark --mark 0x7fff0815 -j ACCEPT":                                      false, // imdsd; enid keeps off where 0xff00 is used
		"-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff":       true,
		"-j CONNMARK --save-mark":                                                  true,
		"-j CONNMARK --save-mark --mask 0xff":                                      false,
		"-j CONNMARK --set-xmark 0x1/0xffffffff":                                   true,
		"-j MARK --set-xmark 0x1/0xffffffff":                                       true,
		"-j MARK --set-mark 0x1":                                                   true,
		"-j MARK --and-mark 0xffffff":                                              true,
		"-j MARK --or-mark 0x1":                                                    false,
		"-m connmark --mark 0x1000000/0x1000000 -j ACCEPT":                         true,
		"-m mark --mark 0x3000000 -j ACCEPT":                                       true,
		"-p tcp -j TPROXY --on-port 1 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1":       false,
		"-p tcp -j TPROXY --on-port 1 --on-ip 0.0.0.0 --tproxy-mark 0x1/0xff00000": true,
		"-m mark --mark":                                                           false,
		"-m mark --mark 0xzz":                                                      false,
		"-m mark --mark 1/zz":                                                      false,
		"-j CONNMARK --nfmask":                                                     false,
	} {
		set := ruleset{"mangle": {"FORWARD": {rule}}}
		if got := set.markConflict(V4, DefaultNumbers.Mark); (got != "") != want || want && !strings.Contains(got, rule) {
			t.Errorf("%s: %q", rule, got)
		}
	}
	ours := ruleset{"mangle": {"ENID-PREROUTING-0": marking("eth0").lines(), "PREROUTING": {"-j ENID-PREROUTING-0"}}}
	if got := ours.markConflict(V4, DefaultNumbers.Mark); got != "" {
		t.Errorf("our own: %s", got)
	}
}

// TestConflict: as the commands and the kernel print it.
func TestConflict(t *testing.T) {
	sameOnBoth(t, func(t *testing.T, h *chainHost, iptables string) {
		conflict := func(want string) {
			t.Helper()
			s := h.chainScope()
			s.Full = true
			got := h.see(s).Host.Firewall.Conflict
			if (got != "") != (want != "") || !strings.Contains(got, want) || strings.Contains(got, "\n") {
				t.Errorf("%q, want %q", got, want)
			}
		}
		h.to([]Chain{marking("eth0")})
		tombstone := Rule{Family: V4, Priority: 20004, Mark: 0x2000000, Mask: 0x7f00ff00, Unreachable: true, Proto: testProto}
		h.apply(ops(Add, tombstone)...)
		conflict("")
		other := Rule{Family: V6, Priority: 77, Mark: 0x1000000, Mask: 0x1000000, Table: 7, Proto: foreignProto}
		h.must(h.conn.setRule(Add, other))
		conflict("ip -6 rule pref 77 fwmark 0x1000000/0x1000000")
		h.must(h.conn.setRule(Del, other))
		conflict("")
		h.run(strings.Replace(iptables, "ip", "ip6", 1), "-t filter -A INPUT -m connmark --mark 0x1/0xff000000 -j ACCEPT")
		conflict("ip6tables -t filter -A INPUT -m connmark --mark 0x1/0xff000000 -j ACCEPT")
		h.run(iptables, "-t mangle -A OUTPUT -j CONNMARK --restore-mark")
		conflict("iptables -t mangle -A OUTPUT -j CONNMARK --restore-mark")
	})
}

// TestForwards: what decides about a return path is seen, and its change pokes.
func TestForwards(t *testing.T) {
	h := newHost(t)
	h.plugUp("eth1", 1)
	w := h.watch()
	w.quiet()
	for _, c := range []struct {
		knob  Knob
		f     Family
		value string
	}{{"ipv4/conf/*/forwarding", V4, "1"}, {"ipv6/conf/*/forwarding", V6, "1"}, {"ipv4/conf/*/forwarding", V4, "0"}} {
		before := w.pokes.Load()
		h.must(writeSysctl("all", Setting{Knob: c.knob, Value: c.value}))
		for w.pokes.Load() == before {
			w.wait()
		}
		if got := h.see(h.scope()).Host.Forwards[c.f]; got != (c.value == "1") {
			t.Errorf("%s=%s: %v", c.knob, c.value, got)
		}
	}
	h.must(writeSysctl("all", Setting{Knob: RPFilter, Value: "1"}))
	if got := h.see(h.scope()).Host.StrictAll; got != "1" {
		t.Errorf("all.rp_filter: %q", got)
	}
}
