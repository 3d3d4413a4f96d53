package netcfg_test

import (
	"net/netip"
	"testing"

	"enid/metadata"
	"enid/netcfg"
)

// TestRestartChangesNothing: before anybody has spoken, a primary whose gateway main does not tell keeps
// the one that its ways were built with.
func TestRestartChangesNothing(t *testing.T) {
	primary := eni(0, subnetP, true, 5, 6)
	primary.Gateways = metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.0.253"), netip.MustParseAddr("fe80::253")}, "test")
	w := newWorld()
	w.plug(1)
	w.plug(2)
	enis := []netcfg.ENI{primary, eni(1, subnetA, true, 5), eni(2, subnetB, true, 7)}
	w.converge(t, enis, true)
	if ops, _ := w.plan(nil, false); len(ops) > 0 {
		t.Errorf("a restart without metadata would do:\n%s", list(ops))
	}
}
