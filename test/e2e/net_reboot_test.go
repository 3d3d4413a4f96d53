package e2e

import (
	"testing"

	"enid/agent"
	"enid/metadata"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// TestReboot: after a reboot, in which an ENI came and another went, everything is as before, each ENI in its slot.
func TestReboot(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1})
	start(t, r)
	gone := attach(t, r, "subnet-b", 2)
	attach(t, r, "subnet-b", 3)
	attach(t, r, "subnet-c", 2)
	settle(t, r)
	before := slotsOf(t, r)

	must(t, r.PowerOff())
	must(t, r.Cloud.Detach(r.Instance, gone.ID))
	attach(t, r, "subnet-c", 2)
	must(t, r.PowerOn())
	nothingOfOurs(t, r)

	start(t, r)
	everyAddress(t, r)
	after := slotsOf(t, r)
	for mac, slot := range before {
		if now, there := after[mac]; there && now != slot {
			t.Errorf("%s was in slot %d and is in %d", mac, slot, now)
		}
	}
	if _, there := after[gone.MAC]; there || len(after) != 4 {
		t.Errorf("after the reboot there are the slots %v", after)
	}
}

func slotsOf(t *testing.T, r *rig.Rig) map[metadata.MAC]netcfg.Slot {
	t.Helper()
	slots := map[metadata.MAC]netcfg.Slot{}
	for _, e := range must1[*agent.Status](t)(r.Status(t.Context())).ENIs {
		slots[e.MAC] = e.Slot
	}
	return slots
}
