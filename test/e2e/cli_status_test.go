package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"enid/agent"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// Status fits a terminal, names everything, and says the same as its JSON, which is what the
// daemon serves.
func TestCLIStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.JDCloud, IPv6: true, PrimarySecondary: 1})
	e := attach(t, r, "subnet-b", 5)
	attach(t, r, "subnet-c", 21)
	// An ENI of which only the provider speaks, and a file that is wrong.
	must(t, os.WriteFile(filepath.Join(r.Dir, "overlay", "wrong.yaml"), []byte("interfaces:\n  - mac: nonsense\n"), 0o644))
	start(t, r)
	awaitProblem(t, r, "overlay", "wrong.yaml:2:10")
	text := enid(t, r, "status").ends(t, 0).out
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && !strings.Contains(line, r.Dir) {
			t.Errorf("%d columns wide: %s", n, line)
		}
	}
	for _, want := range []string{
		"3 ENIs configured", "on instance " + r.Instance, "metadata: jdcloud, answered ", e.ID, e.MAC.String(), "configured",
		"10.0.1.0/24", "main", "20001", "wrong.yaml:2:10",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) { // wherever the lines break
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}
	for _, a := range r.Addresses() {
		if !strings.Contains(text, a.String()) {
			t.Errorf("status lacks %s:\n%s", a, text)
		}
	}
	statusJSON(t, r, e)
}

// statusJSON checks the JSON of the command, the socket and the address.
func statusJSON(t *testing.T, r *rig.Rig, e cloud.ENI) {
	t.Helper()
	var fromCommand, fromSocket agent.Status
	must(t, json.Unmarshal([]byte(enid(t, r, "status", "-o", "json").ends(t, 0).out), &fromCommand))
	_, body := get(t, r, "", "/status")
	must(t, json.Unmarshal([]byte(body), &fromSocket))
	for _, s := range []agent.Status{fromCommand, fromSocket} {
		n := slices.IndexFunc(s.ENIs, func(x agent.ENIStatus) bool { return x.MAC == e.MAC })
		if n < 0 {
			t.Fatalf("the ENI is not there: %+v", s)
		}
		got := s.ENIs[n]
		var addrs []netip.Addr
		for _, a := range got.Addresses {
			if a.Present {
				addrs = append(addrs, a.Address)
			}
		}
		if got.Name != e.ID || got.NIC != r.NIC(e.MAC) || got.Phase != agent.PhaseConfigured || got.Slot == netcfg.NoSlot ||
			got.Since.IsZero() || got.LastChange.IsZero() || len(addrs) != len(e.Addresses) || got.Origins["subnets"] == "" {
			t.Errorf("JSON says %+v", got)
		}
	}
}

// What is not right is in the text: a NIC that is down, one that is not there, metadata that fails.
func TestCLIStatusOfTrouble(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, PrimarySecondary: 1})
	e := attach(t, r, "subnet-b", 2)
	start(t, r)
	r.NICsByHand(true)
	late := attach(t, r, "subnet-c", 2)
	sh(t, r, "ip link set %s down", r.NIC(e.MAC))
	inPhase(t, r, e.MAC, netcfg.Down)
	inPhase(t, r, late.MAC, netcfg.Waiting)
	must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 503}))
	await(t, r, func(s *agent.Status) bool { return !s.Metadata.OK })
	text := enid(t, r, "status").ends(t, 0).out
	for _, want := range []string{"1 ENI configured, 2 not, the metadata does not answer", "everything stays as it is:", "503", string(netcfg.Down), string(netcfg.Waiting), "no NIC with its MAC is here yet"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) { // wherever the lines break
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}
}
