package netcfg

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestSettings(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	mtu := func(v string) Setting { return Setting{nic.Index, LinkMTU, v} }
	present := func(want string) {
		t.Helper()
		if got := h.link("eth1").MTU; fmt.Sprint(got) != want {
			t.Errorf("MTU %d, want %s", got, want)
		}
	}
	restore := func() Result { return h.Apply(t.Context(), ops(Restore, mtu("")))[0] }

	h.apply(ops(Set, mtu("1500"))...) // so already: nothing to put back
	h.wantOwn(h.scope(), State{})
	h.apply(ops(Set, mtu("1400"), mtu("1300"))...)
	h.wantOwn(h.scope(), State{Settings: []Setting{mtu("1300")}})
	if r := restore(); r.Err != nil || r.Op.String() != "ip link set dev eth1 mtu 1500" {
		t.Errorf("put back: %+v", r)
	}
	present("1500")

	h.apply(ops(Set, mtu("1400"))...)
	h.must(h.conn.setLink(mtu("1450")))
	h.wantOwn(h.scope(), State{}) // another has changed it since: theirs
	h.must(restore().Err)         // another has changed it since: theirs
	present("1450")
	h.wantOwn(h.scope(), State{})

	h.must(h.conn.setLink(mtu("1500")))
	h.apply(ops(Set, mtu("1400"))...)
	h.must(h.conn.setLink(mtu("1450")))
	h.apply(ops(Set, mtu("1400"))...)
	h.must(restore().Err)
	present("1450") // what would be there without us

	h.must(netlink.LinkSetName(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: nic.Index}}, "renamed"))
	arp := Setting{nic.Index, ARPIgnore, "1"}
	h.apply(ops(Set, arp)...)
	h.wantOwn(h.scope(), State{Settings: []Setting{arp}})

	if r := h.Apply(t.Context(), ops(Set, Setting{4711, ARPIgnore, "1"}))[0]; !errors.Is(r.Err, unix.ENODEV) {
		t.Errorf("a setting of no NIC: %v", r.Err)
	}
}

// TestMissingKnob: below 1280 bytes the kernel takes IPv6 off the NIC, with its settings.
func TestMissingKnob(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	h.must(h.conn.setLink(Setting{nic.Index, LinkMTU, "1000"}))
	h.apply(ops(Set, Setting{nic.Index, AcceptRA, "0"})...)
	o := h.see(h.scope())
	if len(o.Own.Settings) != 0 || slices.ContainsFunc(o.Host.Settings, func(s Setting) bool { return s.Knob == AcceptRA }) {
		t.Errorf("settings: ours %v, all %v", o.Own.Settings, o.Host.Settings)
	}
}
