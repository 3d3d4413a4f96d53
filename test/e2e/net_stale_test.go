package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// TestRebootWithoutMetadata: a VM that boots while the metadata is down has its ENIs all the same, as they
// were last known, and says that nothing confirms them until something does.
func TestRebootWithoutMetadata(t *testing.T) {
	for _, dialect := range []cloud.Dialect{cloud.EC2, cloud.JDCloud} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rig.Options{Dialect: dialect, IPv6: true, PrimarySecondary: 1})
			d := start(t, r)
			e := attach(t, r, "subnet-b", 3)
			settle(t, r)
			remembers(t, r, e)

			must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 500}))
			d.Kill()
			reboot(t, r, e)
			if r.Lab.Reachable(patient(t), r.VM, e.Addresses[0]) {
				t.Fatal("the reboot has taken nothing away")
			}
			if out := enid(t, r, "plan").ends(t, 1, "its last good answer, of", "stands in for it").out; !strings.Contains(out, "# the metadata does not answer; this follows from its last good answer") {
				t.Errorf("enid plan does not say what it follows from:\n%s", out)
			}
			must1[*rig.Daemon](t)(r.Start())
			must1[time.Duration](t)(r.Await(patient(t), r.Addresses()...))
			await(t, r, func(s *agent.Status) bool {
				return !s.Metadata.OK && !s.Metadata.LastGood.IsZero() && len(s.ENIs) == 2 && !slices.ContainsFunc(s.ENIs, fresh)
			})
			everyAddress(t, r)
			says(t, r, "status", "stale since")

			assign(t, r, e)
			r.Cloud.ClearFault()
			settle(t, r)
			await(t, r, func(s *agent.Status) bool {
				return s.Metadata.LastGood.IsZero() && len(s.ENIs) == 2 && !slices.ContainsFunc(s.ENIs, func(e agent.ENIStatus) bool { return !fresh(e) })
			})
			everyAddress(t, r)
		})
	}
}

// says fails the test unless a command of enid's prints this.
func says(t *testing.T, r *rig.Rig, command, text string) {
	t.Helper()
	if out := enid(t, r, command).ends(t, 0).out; !strings.Contains(out, text) {
		t.Errorf("enid %s does not say %q:\n%s", command, text, out)
	}
}

func fresh(e agent.ENIStatus) bool { return e.StaleSince.IsZero() }

// remembers waits until everything about an ENI is in the file for the next boot.
func remembers(t *testing.T, r *rig.Rig, e cloud.ENI) {
	t.Helper()
	eventually(t, "the last good metadata is not kept", func() bool {
		data, err := os.ReadFile(filepath.Join(r.Dir, "state", "metadata.json"))
		for _, a := range e.Addresses {
			if !strings.Contains(string(data), `"`+a.String()+`"`) {
				return false
			}
		}
		return err == nil
	})
}

// reboot takes from the VM what a reboot takes: enid's rules, routes and addresses, the NIC's settings, the runtime
// directory. What DHCP gives the primary stays.
func reboot(t *testing.T, r *rig.Rig, e cloud.ENI) {
	t.Helper()
	must(t, r.Unplug(e.MAC))
	sh(t, r, "ip rule flush protocol 225; ip -6 rule flush protocol 225; ip route flush table all proto 225; ip -6 route flush table all proto 225")
	for _, a := range r.Primary.Addresses {
		if a.Is4() && a != r.Primary.Addresses[0] {
			sh(t, r, "ip addr del %s/32 dev eth0", a)
		}
	}
	must(t, os.RemoveAll(filepath.Join(r.Dir, "run")))
	must(t, os.Mkdir(filepath.Join(r.Dir, "run"), 0o755))
	must(t, r.Plug(e))
}
