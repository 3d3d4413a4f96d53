package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enid/test/cloud"
	"enid/test/rig"
)

// foreign puts things of somebody else's beside enid's: on an ENI's NIC, at our priorities, in
// our tables. The route in table 20001 and the rules have to survive enid.
func foreign(t *testing.T, r *rig.Rig, nic string) {
	t.Helper()
	sh(t, r, `
ip link set %s up
ip addr add 10.9.9.9/32 dev %[1]s
ip rule add pref 20108 from 10.77.0.0/16 lookup 300
ip rule add pref 33011 to 10.78.0.0/16 lookup 301
ip route add 10.79.0.0/16 dev eth0 table 20001
ip route add unreachable 10.80.0.0/16 metric 5000
ip -6 rule add pref 20300 from 2001:db8:77::/48 lookup 302
ip link set %[1]s group 7
echo 2 >/proc/sys/net/ipv4/conf/%[1]s/arp_ignore`, nic)
}

// After cleanup the kernel is what it was before enid ever ran, with everything that others
// put there before.
func TestCLICleanup(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1})
	a := attach(t, r, "subnet-b", 3)
	attach(t, r, "subnet-b", 3)
	attach(t, r, "subnet-c", 3)
	foreign(t, r, r.NIC(a.MAC))
	// The first time up gives a NIC its queue, which it keeps.
	sh(t, r, "for n in eth2 eth3; do ip link set $n up; ip link set $n down; done")
	before := kernel(t, r)

	d := start(t, r)
	enid(t, r, "cleanup").ends(t, 1, "another enid is running", "stop it first")
	enid(t, r, "apply").ends(t, 1, "another enid is running", "reload")
	enid(t, r, "run").ends(t, 1, "another enid is running")
	if s := enid(t, r, "run"); strings.Contains(s.errs, "enid is running\"") {
		t.Errorf("a daemon that was refused says that it runs:\n%s", s.errs)
	}
	settle(t, r)
	stop(t, d)

	s := enid(t, r, "cleanup").ends(t, 0, "done, ")
	if !strings.Contains(s.out, "ip addr del 10.0.1.") {
		t.Errorf("cleanup does not say what it removed:\n%s", s.out)
	}
	same(t, r, before, "by run and cleanup")
	if s := enid(t, r, "cleanup").ends(t, 0, "done, 0 operations"); s.out != "" {
		t.Errorf("the second cleanup still removes:\n%s", s.out)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "run", "record.json")); !os.IsNotExist(err) {
		t.Errorf("the record of ownership is still there (%v)", err)
	}
	enid(t, r, "apply").ends(t, 0)
	reached(t, r)
	enid(t, r, "cleanup").ends(t, 0)
	same(t, r, before, "by apply and cleanup")
}

// Cleanup needs no metadata, and no memory of slots: the record and the kernel are enough.
func TestCLICleanupWithoutMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1})
	attach(t, r, "subnet-b", 3)
	attach(t, r, "subnet-b", 3)
	sh(t, r, "ip link set eth1 up; ip link set eth2 up")
	before := kernel(t, r)
	enid(t, r, "apply").ends(t, 0)
	must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultReset}))
	must(t, os.RemoveAll(filepath.Join(r.Dir, "state")))
	enid(t, r, "cleanup").ends(t, 0)
	same(t, r, before, "by apply and cleanup")
}

// Whoever may not change the network is told which capability is missing, and nothing is changed.
func TestCLINoPermission(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	attach(t, r, "subnet-b", 2)
	before := kernel(t, r)
	must(t, os.Chmod(r.Dir, 0o755))
	powerless := func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		cmd.Args = append([]string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"}, cmd.Args...)
		cmd.Path = must1[string](t)(exec.LookPath("setpriv"))
	}
	asNobody := func(args ...string) said {
		return inVM(t, r, powerless, append(append([]string{r.Enid}, args...), "--config", r.ConfigFile())...).wait()
	}
	for _, command := range []string{"run", "apply", "cleanup"} {
		asNobody(command).ends(t, 1, "CAP_NET_ADMIN", "root")
	}
	same(t, r, before, "without CAP_NET_ADMIN")
	if s := asNobody("plan").ends(t, 0); !strings.Contains(s.out, "ip addr add") {
		t.Errorf("plan needs no permission, and prints:\n%s", s.out)
	}
	enid(t, r, "apply").ends(t, 0)
	before = kernel(t, r)
	asNobody("cleanup").ends(t, 1, "CAP_NET_ADMIN")
	same(t, r, before, "without CAP_NET_ADMIN")
	reached(t, r)
}
