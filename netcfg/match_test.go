package netcfg_test

import (
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
