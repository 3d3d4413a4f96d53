package netcfg_test

import (
	"strings"
	"testing"

	"enid/metadata"
	"enid/netcfg"
)

// NICs that share a MAC because one is the other's fast path: Azure's accelerated networking puts a virtual function
// below the synthetic NIC (hv_netvsc), Oracle's net_failover two NICs below a third. Neither has a kind, and all but
// the upper one have a master.
func TestMatchLinkOfTwins(t *testing.T) {
	t.Parallel()
	mac, err := metadata.ParseMAC("000D3AF806EC")
	if err != nil {
		t.Fatal(err)
	}
	nic := func(index, master int, name string) netcfg.Link {
		return netcfg.Link{Index: index, Name: name, MAC: mac, Master: master}
	}
	for name, test := range map[string]struct {
		links  []netcfg.Link
		index  int
		reason string
	}{
		"virtual function below":      {[]netcfg.Link{nic(2, 0, "eth0"), nic(3, 2, "enP1s1")}, 2, ""},
		"virtual function first":      {[]netcfg.Link{nic(2, 3, "enP1s1"), nic(3, 0, "eth0")}, 3, ""},
		"synthetic NIC alone":         {[]netcfg.Link{nic(2, 0, "eth0")}, 2, ""},
		"net_failover":                {[]netcfg.Link{nic(2, 0, "ens3"), nic(3, 2, "ens3nsby"), nic(4, 2, "ens4")}, 2, ""},
		"not put below yet":           {[]netcfg.Link{nic(2, 0, "eth0"), nic(3, 0, "enP1s1")}, 0, "ambiguous-mac"},
		"upper one in a bridge":       {[]netcfg.Link{nic(2, 9, "eth0"), nic(3, 2, "enP1s1")}, 0, "nic-has-master"},
		"upper one gone for a moment": {[]netcfg.Link{nic(3, 2, "enP1s1")}, 0, "nic-has-master"},
	} {
		got, problem := netcfg.MatchLink(mac, test.links)
		reason := ""
		if problem != nil {
			reason = problem.Reason
		}
		if got.Index != test.index || reason != test.reason {
			t.Errorf("%s: NIC %d %q, want %d %q", name, got.Index, reason, test.index, test.reason)
		}
	}
}

// A VLAN link with a MAC of its own is an ENI's; one with the MAC of the NIC that it is on is not, wherever that NIC is.
func TestMatchVLAN(t *testing.T) {
	mac, other := metadata.MAC{2, 0, 0, 0, 0, 1}, metadata.MAC{2, 0, 0, 0, 0, 2}
	vlan := netcfg.Link{Index: 5, Name: "eth0.10", MAC: mac, Kind: "vlan"}
	for name, c := range map[string]struct {
		links []netcfg.Link
		want  int // ifindex, 0: none
	}{
		"its own MAC":            {[]netcfg.Link{{Index: 2, Name: "eth0", MAC: other}, vlan}, 5},
		"its NIC's MAC":          {[]netcfg.Link{{Index: 2, Name: "eth0", MAC: mac}, vlan}, 2},
		"on a bond with the MAC": {[]netcfg.Link{{Index: 2, Name: "eth0", MAC: mac, Master: 3}, {Index: 3, Name: "bond0", MAC: mac, Kind: "bond"}, vlan}, 0},
		"two of them":            {[]netcfg.Link{vlan, {Index: 6, Name: "eth0.11", MAC: mac, Kind: "vlan"}}, 0},
		"in a bridge":            {[]netcfg.Link{{Index: 5, Name: "eth0.10", MAC: mac, Kind: "vlan", Master: 7}}, 0},
		"a macvlan":              {[]netcfg.Link{{Index: 5, Name: "m", MAC: mac, Kind: "macvlan"}}, 0},
	} {
		if got, problem := netcfg.MatchLink(mac, c.links); got.Index != c.want || (problem == nil) != (c.want != 0) {
			t.Errorf("%s: matched %+v, %v", name, got, problem)
		}
	}
}

// An ENI without a NIC of its own waits for its link, and says how to make it.
func TestVLANWithoutLink(t *testing.T) {
	w := newWorld()
	e := eni(1, subnetA, false, 5)
	e.VLAN = metadata.Is(metadata.VLAN{Parent: eni(0, subnetP, false, 5).MAC, ID: 10}, "test")
	o := w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), e}, true).ENIs[1]
	want := "ip link add link eth0 name eth0.10 address " + e.MAC.String() + " type vlan id 10"
	if o.Phase != netcfg.Waiting || len(o.Problems) != 1 || !strings.Contains(o.Problems[0].Text, want) {
		t.Errorf("%+v", o)
	}
	w.plug(1) // whoever made it
	if o := w.converge(t, []netcfg.ENI{eni(0, subnetP, false, 5), e}, true).ENIs[1]; o.Phase != netcfg.Ready {
		t.Errorf("%+v", o)
	}
}
