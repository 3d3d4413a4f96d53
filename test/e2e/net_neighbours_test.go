package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/test/cloud"
	"enid/test/rig"
)

// managers gives a shell a /run of its own, as on a host with systemd-networkd and NetworkManager, and lets
// enid do a pass and clean up. The shell prints what enid wrote there, and what it left.
const managers = `
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/netif /run/NetworkManager &&
"$ENID" apply --config "$CONFIG" 2>/dev/null && cd /run && grep -r . systemd NetworkManager | grep -v :# | LC_ALL=C sort &&
"$ENID" cleanup --config "$CONFIG" >/dev/null 2>&1 && echo left: $(find . -type f)`

// TestNeighboursTold: the managers' files name the secondary ENIs alone, and go with cleanup.
func TestNeighboursTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	e := attach(t, r, "subnet-b", 2)
	out := must1[string](t)(r.VM.Run(patient(t), "env", "ENID="+os.Getenv(binary), "CONFIG="+r.ConfigFile(), "unshare", "-m", "sh", "-c", managers))
	file := "systemd/network/05-enid-" + strings.ReplaceAll(e.MAC.String(), ":", "-") + ".network:"
	want := "NetworkManager/conf.d/50-enid.conf:[keyfile]\n" +
		"NetworkManager/conf.d/50-enid.conf:unmanaged-devices+=mac:" + e.MAC.String() + "\n" +
		file + "PermanentMACAddress=" + e.MAC.String() + "\n" + file + "Unmanaged=yes\n" + file + "[Link]\n" + file + "[Match]\nleft:\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFought: who deletes what is ours again and again is named, and when it ends everything works.
func TestFought(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	attach(t, r, "subnet-b", 2)
	start(t, r)
	foe := inVM(t, r, nil, "sh", "-c", "while :; do ip rule del protocol 225; done")
	awaitProblem(t, r, "fought", " ip")
	must(t, foe.cmd.Process.Kill())
	_ = foe.wait()
	settle(t, r)
	must(t, r.Lab.ResetSpoofed()) // without rules packets follow main
	everyAddress(t, r)
}
