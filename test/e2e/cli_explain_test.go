package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// Explain names the ENI by which a packet leaves, blames the rule that takes one away too
// where the daemon does not run.
func TestCLIExplain(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.File})
	e := attach(t, r, "subnet-b", 2)
	d := start(t, r)
	reached(t, r)
	src := e.Addresses[0].String()

	got := explainJSON(t, r, src, "203.0.113.9")
	if len(got.Way.Hops) != 1 || got.Way.Hops[0].NIC != r.NIC(e.MAC) || got.Way.Hops[0].ENI != e.ID || !got.Kernel.Agrees || len(got.Wrong) > 0 {
		t.Errorf("the ENI's way: %+v, kernel %+v, wrong %v", got.Way, got.Kernel, got.Wrong)
	}
	enid(t, r, "explain", "10.9.9.9", "203.0.113.9").ends(t, 1, "no address of this host", "--iif")
	enid(t, r, "explain", src).ends(t, 2, "SRC and DST")
	enid(t, r, "explain", src, "2001:db8::1").ends(t, 2, "two families")

	d.Kill()
	sh(t, r, "ip rule add pref 1536 from 10.0.1.0/24 lookup main")
	got = explainJSON(t, r, src, "203.0.113.9")
	var reasons []string
	for _, p := range got.Wrong {
		reasons = append(reasons, p.Reason)
	}
	if want := "wrong-nic foreign-rule"; strings.Join(reasons, " ") != want || !got.Kernel.Agrees {
		t.Errorf("a rule in front: %v, want %s; kernel %+v", got.Wrong, want, got.Kernel)
	}

	said := enid(t, r, "explain", src, "203.0.113.9").ends(t, 0)
	if !strings.Contains(said.out, "AWS VPC CNI") || !strings.Contains(said.out, "the daemon does not run") {
		t.Errorf("the text says neither whose rule it is nor why names are missing:\n%s", said.out)
	}
	sh(t, r, "ip rule del pref 1536")
}

func explainJSON(t *testing.T, r *rig.Rig, args ...string) (e netcfg.Explanation) {
	t.Helper()
	out := enid(t, r, append([]string{"explain", "-o", "json"}, args...)...).ends(t, 0).out
	must(t, json.Unmarshal([]byte(out), &e))
	return e
}
