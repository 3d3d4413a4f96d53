package e2e

import (
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// TestEveryObjectComesBack: whatever of enid's somebody deletes comes back, one by one.
func TestEveryObjectComesBack(t *testing.T) {
	t.Parallel()
	r, enis := sharing(t)
	before := kernel(t, r)
	commands := slices.Concat(deleteRules(t, r, "-4"), deleteRules(t, r, "-6"), deleteRoutes(t, r, "-4"), deleteRoutes(t, r, "-6"))
	for _, e := range append(enis, r.Primary) {
		for i, a := range e.Addresses {
			if e.ID != r.Primary.ID || i > 0 && a.Is4() { // the primary's own are DHCP's
				commands = append(commands, deleteAddress(before, r.NIC(e.MAC), a))
			}
		}
	}
	if len(commands) < 40 {
		t.Errorf("only %d objects to delete, there should be more:\n%s", len(commands), strings.Join(commands, "\n"))
	}
	for _, c := range commands {
		sh(t, r, "%s", c)
		comesBack(t, r, before, c)
	}
	everyAddress(t, r)
}

// sharing is a VM with two ENIs in one subnet, on both families, and a daemon that has converged.
func sharing(t *testing.T) (*rig.Rig, []cloud.ENI) {
	t.Helper()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1, DetachAfter: detachAfter})
	start(t, r)
	enis := []cloud.ENI{attach(t, r, "subnet-b", 2), attach(t, r, "subnet-b", 2)}
	settle(t, r)
	return r, enis
}

// comesBack waits until the VM is as it was.
func comesBack(t *testing.T, r *rig.Rig, before []string, after string) {
	t.Helper()
	var now []string
	if _, err := lab.Await(patient(t), func() bool {
		now = kernel(t, r)
		return slices.Equal(now, before)
	}); err != nil {
		t.Fatalf("after %s the VM does not become what it was (-before +now):\n%s", after, cmp.Diff(before, now))
	}
}

var rule = regexp.MustCompile(`^(\d+):\s+(from \S+(?: iif \S+)?(?: oif \S+)?) .*proto 225`)

// deleteRules are commands that delete enid's rules, one each.
func deleteRules(t *testing.T, r *rig.Rig, family string) (commands []string) {
	t.Helper()
	for line := range strings.Lines(sh(t, r, "ip %s rule", family)) {
		if m := rule.FindStringSubmatch(line); m != nil {
			commands = append(commands, fmt.Sprintf("ip %s rule del pref %s %s", family, m[1], m[2]))
		}
	}
	return commands
}

// deleteRoutes are commands that delete enid's routes, one each.
func deleteRoutes(t *testing.T, r *rig.Rig, family string) (commands []string) {
	t.Helper()
	for line := range strings.Lines(sh(t, r, "ip %s route show table all proto 225", family)) {
		line, _, _ = strings.Cut(line, " pref ")
		line, _, _ = strings.Cut(line, " error ")
		commands = append(commands, fmt.Sprintf("ip %s route del %s", family, strings.TrimSpace(line)))
	}
	return commands
}

// deleteAddress is the command that deletes an address with the length that it has.
func deleteAddress(lines []string, nic string, a netip.Addr) string {
	for _, line := range lines {
		if i := strings.Index(line, " "+a.String()+"/"); i >= 0 && strings.Contains(line, nic) {
			return fmt.Sprintf("ip addr del %s dev %s", strings.Fields(line[i:])[0], nic)
		}
	}
	return "false # " + a.String() + " is not on " + nic
}

// TestHandsOnTheNIC: what somebody does to an ENI's NIC is repaired, others are untouched.
func TestHandsOnTheNIC(t *testing.T) {
	t.Parallel()
	r, enis := sharing(t)
	before := kernel(t, r)
	nic := r.NIC(enis[0].MAC)
	traffic := flows(t, r, enis[1].Addresses[1], r.Primary.Addresses[1])
	for _, c := range []string{
		"ip -4 addr flush dev NIC",
		"ip -6 addr flush dev NIC scope global",
		"ip route flush table 20001",
		"ip rule flush table 20001",
		"ip link set NIC group 0",
		"echo 0 > /proc/sys/net/ipv4/conf/NIC/arp_ignore",
		"echo 0 > /proc/sys/net/ipv4/conf/NIC/arp_announce",
		"echo 1 > /proc/sys/net/ipv6/conf/NIC/accept_ra",
		"ip link set NIC down; ip link set NIC up",
	} {
		c = strings.ReplaceAll(c, "NIC", nic)
		sh(t, r, "%s", c)
		comesBack(t, r, before, c)
	}
	lossless(t, "hands on another ENI's NIC", traffic)
	settle(t, r)
	everyAddress(t, r)
}

// TestDownAndUp: a NIC that somebody set down stays down, and its packets go nowhere else.
func TestDownAndUp(t *testing.T) {
	t.Parallel()
	r, enis := sharing(t)
	before := kernel(t, r)
	nic := r.NIC(enis[0].MAC)
	sh(t, r, "ip link set %s down", nic)
	inPhase(t, r, enis[0].MAC, netcfg.Down)
	for _, a := range enis[0].Addresses {
		if !a.Is4() {
			continue // the kernel takes IPv6 addresses off a NIC that is down
		}
		for _, to := range peers(r, a) {
			if by, err := r.VM.Egress(a, to); err == nil {
				t.Errorf("%s to %s leaves by %s while its own NIC is down", a, to, by)
			}
		}
	}
	leaves(t, r, enis[1])
	sh(t, r, "ip link set %s up", nic)
	comesBack(t, r, before, "down and up")
	settle(t, r)
	everyAddress(t, r)
}

// TestRenamed: a NIC's name means nothing.
func TestRenamed(t *testing.T) {
	t.Parallel()
	r, enis := sharing(t)
	nic := r.NIC(enis[0].MAC)
	sh(t, r, "ip link set %[1]s down; ip link set %[1]s name other0; ip link set other0 up", nic)
	settle(t, r)
	eventually(t, "a rule has the old name", func() bool { return !strings.Contains(sh(t, r, "ip rule; ip -6 rule"), nic+" ") })
	everyAddress(t, r)
}

// TestMovedNIC: a NIC moved into another namespace is gone, and is found when it comes back.
func TestMovedNIC(t *testing.T) {
	t.Parallel()
	r, enis := sharing(t)
	before := kernel(t, r)
	elsewhere, here := inhabitant(t, r, "elsewhere"), exec.Command("sleep", "3600")
	must(t, r.VM.Start(here))
	t.Cleanup(func() { _ = here.Process.Kill(); _ = here.Wait() })
	nic := r.NIC(enis[0].MAC)
	traffic := flows(t, r, enis[1].Addresses[1], r.Primary.Addresses[1])
	sh(t, r, "ip link set %s netns %d", nic, elsewhere.Process.Pid)
	inPhase(t, r, enis[0].MAC, netcfg.Waiting)
	gone(t, r, enis[0])
	sh(t, r, "nsenter -t %d -n ip link set %s netns %d", elsewhere.Process.Pid, nic, here.Process.Pid)
	settle(t, r)
	lossless(t, "another NIC moves", traffic)
	comesBack(t, r, before, "away and back")
	everyAddress(t, r)
}

// inhabitant is a process that keeps another namespace.
func inhabitant(t *testing.T, r *rig.Rig, name string) *exec.Cmd {
	t.Helper()
	host, err := r.Lab.VM(name)
	must(t, err)
	cmd := exec.Command("sleep", "3600")
	must(t, host.Start(cmd))
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// TestVanishes: NICs that vanish as soon as enid has begun with them leave nothing behind.
func TestVanishes(t *testing.T) {
	t.Parallel()
	r, enis := sharing(t)
	before := kernel(t, r)
	traffic := flows(t, r, enis[1].Addresses[1], r.Primary.Addresses[1])
	for _, begun := range []string{"ip rule | grep -q 'oif eth3'", "ip link show eth4 | grep -q 'group 225'", "ip route show table all | grep -q 'dev eth5 table 20'", "ip addr show eth6 | grep -q inet"} {
		e := attach(t, r, "subnet-c", 5)
		eventually(t, "enid does not begin", func() bool {
			_, err := r.VM.Run(t.Context(), "sh", "-c", begun)
			return err == nil
		})
		must(t, r.Cloud.Detach(r.Instance, e.ID))
	}
	comesBack(t, r, before, "NICs that came and went")
	lossless(t, "other NICs vanish", traffic)
	settle(t, r)
	everyAddress(t, r)
}
