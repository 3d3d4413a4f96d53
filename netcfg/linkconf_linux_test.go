package netcfg

import (
	"os"
	"testing"
)

// TestLinkConf: what the kernel tells with a link is what it shows in the files, for every knob
// that is read there.
func TestLinkConf(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	knobs := []Knob{disableIPv6}
	for _, k := range Knobs {
		if k.Path("x") != "" {
			knobs = append(knobs, k)
		}
	}
	for _, k := range knobs {
		for _, value := range []string{"1", "0", "2"} {
			err := os.WriteFile(sysctls+k.Path(nic.Name), []byte(value), 0)
			if err != nil { // not every knob takes every value
				continue
			}
			shown, err := readSysctl(nic.Name, k)
			h.must(err)
			l, err := h.look()
			h.must(err)
			got, ok, known := l.conf[nic.Index].value(k)
			if !ok || !known || got != shown {
				t.Errorf("%s: the link says %q (%v, %v), the file %q", k, got, ok, known, shown)
			}
			if shown != value && k != disableIPv6 {
				t.Errorf("%s was not written: %q", k, shown)
			}
		}
	}
}

// A NIC without IPv6 has no settings of it, whatever the reason.
func TestLinkConfWithoutIPv6(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	h.must(h.conn.setLink(Setting{nic.Index, LinkMTU, "1000"})) // too small for IPv6
	l, err := h.look()
	h.must(err)
	if _, ok, err := l.knob(nic, AcceptRA); ok || err != nil || !l.noIPv6(nic) {
		t.Errorf("accept_ra is there (%v, %v)", ok, err)
	}
	if value, ok, err := l.knob(nic, ARPIgnore); !ok || err != nil || value != "0" {
		t.Errorf("arp_ignore: %q, %v, %v", value, ok, err)
	}
}
