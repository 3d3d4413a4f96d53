package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// programs are iptables of both families.
var programs = []string{"iptables", "ip6tables"}

// firewall is everything that iptables shows of both families and one backend.
func (v hostVM) firewall(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, p := range programs {
		all = append(all, saved(t, v.Rig, p+"-"+string(v.backend))...)
	}
	return all
}

// ours are the lines that name a chain of enid's.
func ours(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, "ENID") })
}

// TestFlushedChains: what somebody does to the chains is repaired, others' rules are untouched, and cleanup
// leaves no trace.
func TestFlushedChains(t *testing.T) {
	for _, backend := range []lab.Backend{lab.NFT, lab.Legacy} {
		t.Run(string(backend), func(t *testing.T) {
			t.Parallel()
			v := newHostVM(t, rig.Options{IPv6: true}, backend)
			for _, a := range v.container.Addrs { // some of somebody else's, in our table
				v.iptables(t, a, "-t mangle -N THEIRS")
				v.iptables(t, a, "-t mangle -A THEIRS -j MARK --set-xmark 0x10/0x10")
				v.iptables(t, a, "-t mangle -A PREROUTING -i absent0 -j THEIRS")
			}
			before := v.firewall(t)
			d := start(t, v.Rig)
			attach(t, v.Rig, "subnet-b", 2)
			settle(t, v.Rig)
			whole := v.firewall(t)
			if len(ours(whole)) == 0 {
				t.Fatal("enid has no chains")
			}
			for _, line := range []string{"-t mangle -F PREROUTING", "-t mangle -D PREROUTING 1", "-t mangle -F", "-t mangle -F; P -t mangle -X"} {
				for _, program := range programs {
					p := program + "-" + string(backend) + " -w"
					sh(t, v.Rig, "%s %s", p, strings.ReplaceAll(line, "P ", p+" "))
				}
				v.chainsComeBack(t, whole, line)
				v.publishedEverywhere(t, v.Addresses()...)
			}
			stop(t, d)
			enid(t, v.Rig, "cleanup").ends(t, 0)
			left := v.firewall(t)
			for _, line := range ours(left) {
				t.Errorf("cleanup has left %s", line)
			}
			for _, line := range before {
				if !strings.Contains(line, "THEIRS") && !strings.Contains(line, "0x10") && !slices.Contains(left, line) {
					t.Errorf("somebody else's is gone: %s", line)
				}
			}
			nothingOfOurs(t, v.Rig)
		})
	}
}

// chainsComeBack waits until enid's part of the firewall is what it was.
func (v hostVM) chainsComeBack(t *testing.T, whole []string, after string) {
	t.Helper()
	want := withoutGeneration(ours(whole))
	var now []string
	if _, err := lab.Await(patient(t), func() bool {
		now = withoutGeneration(ours(v.firewall(t)))
		return slices.Equal(now, want)
	}); err != nil {
		t.Fatalf("after %s the chains do not come back (-want +now):\n%s", after, cmp.Diff(want, now))
	}
}

// withoutGeneration makes chains that are filled in turns look the same.
func withoutGeneration(lines []string) []string {
	var same []string
	for _, line := range lines {
		for _, n := range []string{"-0", "-1"} {
			line = strings.ReplaceAll(line, "ENID-PREROUTING"+n, "ENID-PREROUTING")
			line = strings.ReplaceAll(line, "ENID-OUTPUT"+n, "ENID-OUTPUT")
		}
		same = append(same, line)
	}
	slices.Sort(same)
	return same
}

// TestForwardingOnAndOff: marks are there while the host forwards.
func TestForwardingOnAndOff(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true, Config: "return_path: auto\n"}, lab.NFT)
	start(t, v.Rig)
	attach(t, v.Rig, "subnet-b", 2)
	settle(t, v.Rig)
	for _, s := range []struct {
		knob    string
		program string
		on      func(agent.ReturnPathStatus) bool
	}{
		{"ipv4/ip_forward", "iptables-nft", func(s agent.ReturnPathStatus) bool { return s.IPv4 }},
		{"ipv6/conf/all/forwarding", "ip6tables-nft", func(s agent.ReturnPathStatus) bool { return s.IPv6 }},
	} {
		for _, value := range []string{"0", "1", "0", "1"} {
			sh(t, v.Rig, "echo %s > /proc/sys/net/%s", value, s.knob)
			await(t, v.Rig, func(st *agent.Status) bool { return st.Converged && s.on(st.ReturnPath) == (value == "1") })
			if has := len(ours(saved(t, v.Rig, s.program))) > 0; has != (value == "1") {
				t.Errorf("%s=%s: chains are there: %v", s.knob, value, has)
			}
		}
	}
	settle(t, v.Rig)
	v.publishedEverywhere(t, v.Addresses()...)
}

// TestNoIPTables: without iptables routing works, and status and metrics say what does not.
func TestNoIPTables(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1})
	must1[*lab.Host](t)(r.Lab.Container(r.VM)) // from now on it forwards
	edit(t, r, `http: ""`, "http: 127.0.0.1:9967")
	bare := func(c *exec.Cmd) { c.Env = append(c.Env, "PATH="+t.TempDir()) }
	daemon := inVM(t, r, bare, r.Enid, "run", "--config", r.ConfigFile())
	attach(t, r, "subnet-b", 2)
	settle(t, r)
	awaitProblem(t, r, "iptables-missing", "iptables")
	everyAddress(t, r)
	_, metrics := get(t, r, "127.0.0.1:9967", "/metrics")
	for _, line := range []string{`enid_problems{reason="iptables-missing"} 1`, `enid_return_path{family="ipv4"} 0`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s:\n%s", line, metrics)
		}
	}
	must(t, daemon.cmd.Process.Kill())
	daemon.wait()
	if t.Failed() {
		t.Log(daemon.errs.String())
	}
}
