package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enid/agent"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// A bad new configuration keeps the one before and says so in log, status and metrics, until it
// is mended, by a signal as well as by the change of the file alone.
func TestCLIBadReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	e := attach(t, r, "subnet-b", 2)
	d := start(t, r)
	before := kernel(t, r)
	good := string(must1[[]byte](t)(os.ReadFile(r.ConfigFile())))
	for _, bad := range []string{good + "rooting: {}\n", good + "interfaces:\n  - match: {mac: 1}\n", strings.Replace(good, "run\n", "walk\n", 1), "{"} {
		must(t, r.WriteConfig(bad))
		served(t, r, func(s *agent.Status) bool { return problem(s, "config-invalid", "the one before is still in force") })
		must(t, r.WriteConfig(good))
		await(t, r, func(s *agent.Status) bool { return !problem(s, "config-invalid", "") })
	}
	must(t, r.WriteConfig(good+"rooting: {}\n"))
	served(t, r, func(s *agent.Status) bool { return problem(s, "config-invalid", r.ConfigFile()+":8:1: rooting") })
	hangUp(t, d)
	awaitLog(t, d, "level=WARN msg=\"the changed configuration is not used")
	if _, metrics := get(t, r, "", "/metrics"); !strings.Contains(metrics, `enid_problems{reason="config-invalid"} 1`) {
		t.Errorf("the metrics do not tell of it:\n%s", metrics)
	}
	if s := enid(t, r, "status"); s.code != 2 {
		t.Errorf("enid status, which reads the same file, ends with %d", s.code)
	}
	same(t, r, before, "by a bad configuration")

	must(t, r.WriteConfig(good))
	await(t, r, func(s *agent.Status) bool { return !problem(s, "config-invalid", "") })
	awaitLog(t, d, "over: the changed configuration is not used")
	if _, metrics := get(t, r, "", "/metrics"); strings.Contains(metrics, "config-invalid") {
		t.Errorf("the metrics still tell of it:\n%s", metrics)
	}
	assign(t, r, e)
	settle(t, r)
}

// Settings of single ENIs take effect on reload, and go again.
func TestCLIReloadInterfaces(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, DetachAfter: time.Second, Config: "#here\n"})
	a, b := attach(t, r, "subnet-b", 3), attach(t, r, "subnet-c", 2)
	sh(t, r, "for n in eth1 eth2; do ip link set $n up; ip link set $n down; done")
	before := kernel(t, r)
	start(t, r)
	converging := func(text string, ok func() bool) {
		t.Helper()
		must(t, r.WriteConfig(strings.Replace(string(must1[[]byte](t)(os.ReadFile(r.ConfigFile()))), "#here\n", text+"#here\n", 1)))
		eventually(t, "no effect of "+text, func() bool {
			s, err := r.Status(t.Context())
			return err == nil && s.Converged && ok()
		})
	}
	base := string(must1[[]byte](t)(os.ReadFile(r.ConfigFile())))
	has := func(addr netip.Addr) bool { return strings.Contains(sh(t, r, "ip -o addr"), " "+addr.String()+"/") }
	route := func() bool { return strings.Contains(sh(t, r, "ip route"), "10.0.1.0/24 dev "+r.NIC(a.MAC)) }

	converging("interfaces: [{match: {id: "+a.ID+"}, addresses: ["+a.Addresses[1].String()+"]}]\n",
		func() bool {
			return !has(a.Addresses[0]) && has(a.Addresses[1]) && !has(a.Addresses[2]) && has(b.Addresses[1])
		})
	must(t, r.WriteConfig(base))
	settle(t, r)
	if route() {
		t.Error("main has a route to the ENI's subnet that nobody asked for")
	}
	converging("interfaces: [{match: {mac: \""+a.MAC.String()+"\"}, subnet_route: on}]\n", route)
	must(t, r.WriteConfig(base))
	eventually(t, "the route to the subnet stays", func() bool { return !route() })
	converging("interfaces: [{match: {name: "+r.NIC(b.MAC)+"}, ignore: true}]\n", func() bool { return !has(b.Addresses[0]) })
	inPhase(t, r, b.MAC, netcfg.Ignored)
	must(t, r.WriteConfig(base))
	settle(t, r)
	reached(t, r)

	converging("interfaces: [{match: {id: \"*\"}, ignore: true}]\n", func() bool { return !has(a.Addresses[0]) && !has(b.Addresses[0]) })
	eventually(t, "of ignored ENIs something is left", func() bool {
		left := strings.Join(slices.DeleteFunc(kernel(t, r), func(s string) bool { return slices.Contains(before, s) }), "\n")
		return !strings.Contains(left, "proto 225") && !strings.Contains(left, "group 225")
	})
}

// Overlay documents complete what jdcloud does not say; a bad one is reported and takes nothing away.
func TestCLIOverlay(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.JDCloud, PrimarySecondary: 1})
	must(t, r.Cloud.AutoCustom(r.Instance, false))
	e := attach(t, r, "subnet-b", 3)
	d := must1[*rig.Daemon](t)(r.Start())
	inPhase(t, r, e.MAC, netcfg.Incomplete)
	overlay := filepath.Join(r.Dir, "overlay", "enis.yaml")
	write := func(data []byte) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(r.Dir, "new"), data, 0o644))
		must(t, os.Rename(filepath.Join(r.Dir, "new"), overlay))
	}
	write(must1[[]byte](t)(r.Cloud.Document(r.Instance)))
	settle(t, r)
	await(t, r, func(s *agent.Status) bool {
		return slices.ContainsFunc(s.ENIs, func(x agent.ENIStatus) bool { return x.MAC == e.MAC && x.Origins["subnets"] == "overlay "+overlay })
	})
	write([]byte("interfaces:\n  - mac: \"" + e.MAC.String() + "\"\n    adresses: [10.0.1.3]\n"))
	awaitProblem(t, r, "overlay", overlay+":3:5: ")
	reached(t, r)
	must(t, os.Remove(overlay))
	await(t, r, func(s *agent.Status) bool { return !problem(s, "overlay", "") })
	reached(t, r)
	d.Kill()
	must1[*rig.Daemon](t)(r.Start())
	await(t, r, func(s *agent.Status) bool { return s.Metadata.OK && len(s.ENIs) == 2 })
	reached(t, r)
	assign(t, r, e)
	write(must1[[]byte](t)(r.Cloud.Document(r.Instance)))
	settle(t, r)
}
