package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// A host in order hurts nobody, and each thing that somebody does to it is found, with evidence and remedy.
func TestCLIDoctor(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, PrimarySecondary: 1})
	e := attach(t, r, "subnet-b", 3)
	start(t, r)
	settle(t, r)
	if s := enid(t, r, "doctor").ends(t, 0); strings.Contains(s.out, "error ") {
		t.Errorf("a host in order has errors:\n%s", s.out)
	}
	nic := r.NIC(e.MAC)
	for _, x := range []struct {
		do, undo string
		severity netcfg.Severity
		check    string
		evidence string
	}{
		{"ip rule add pref 10001 from %[1]s lookup 10001", "ip rule del pref 10001", netcfg.SeverityError, "another-agent", "rule 10001"},
		{"ip rule add pref 20150 from 192.0.2.0/24 lookup 77", "ip rule del pref 20150", netcfg.SeverityWarning, "priority-overlap", "rule 20150"},
		{"ip rule add pref 33011 to 192.0.2.0/24 lookup 77", "ip rule del pref 33011 to 192.0.2.0/24", netcfg.SeverityError, "priority-overlap", "rule 33011"},
		{"ip route add 192.0.2.0/24 dev eth0 table 20001", "ip route del 192.0.2.0/24 table 20001", netcfg.SeverityError, "table-overlap", "table 20001"},
		{"ip route add default dev %[2]s metric 500", "ip route del default dev %[2]s", netcfg.SeverityWarning, "default-route", nic},
		{"ip rule add pref 77 to 192.0.2.0/24 lookup 77 protocol 225", "ip rule del pref 77", netcfg.SeverityError, "protocol-taken", "rule 77"},
	} {
		sh(t, r, "%s", strings.ReplaceAll(strings.ReplaceAll(x.do, "%[1]s", e.Addresses[0].String()), "%[2]s", nic))
		code := 0
		if x.severity == netcfg.SeverityError {
			code = 1
		}
		var answer struct{ Findings []netcfg.Finding }
		s := enid(t, r, "doctor", "-o", "json").ends(t, code)
		must(t, json.Unmarshal([]byte(s.out), &answer))
		found := func(f netcfg.Finding) bool {
			return f.Severity == x.severity && f.Check == x.check && strings.Contains(f.Evidence, x.evidence) && f.Remedy != ""
		}
		if !slices.ContainsFunc(answer.Findings, found) {
			t.Errorf("after %q nothing says %s %s about %s:\n%s", x.do, x.severity, x.check, x.evidence, s.out)
		}
		sh(t, r, "%s 2>/dev/null; true", strings.ReplaceAll(x.undo, "%[2]s", nic)) // enid may have been faster with what bears its number
	}
	must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultReset}))
	if s := enid(t, r, "doctor").ends(t, 1); !strings.Contains(s.out, "[metadata-unreachable]") || !strings.Contains(s.out, "remedy ") {
		t.Errorf("metadata that does not answer is not found:\n%s", s.out)
	}
}
