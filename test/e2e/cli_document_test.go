package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// An interfaces document that is no document is refused as a whole, with the place of the error;
// one that says what cannot be is believed in the rest. Neither takes anything away.
func TestCLIBadDocuments(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.File, PrimarySecondary: 1})
	a, b := attach(t, r, "subnet-b", 2), attach(t, r, "subnet-b", 2)
	d := start(t, r)
	before := kernel(t, r)
	good := string(must1[[]byte](t)(r.Cloud.Document(r.Instance)))
	a0, b1, gateway := a.Addresses[0].String(), b.Addresses[1].String(), "gateway: 10.0.1.1"
	change := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the document has no %q:\n%s", old, good)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	for name, tt := range map[string]struct{ document, reason, text string }{
		"unknown key":            {change("  subnets:", "  subnet:"), "", "interfaces.yaml:"},
		"misspelt top":           {change("interfaces:", "interface:"), "", ":1:1: "},
		"wrong MAC":              {change(a.MAC.String(), "02:29:96:8f:00"), "", "is not a MAC address"},
		"two entries for a MAC":  {change(b.MAC.String(), a.MAC.String()), "", "is the MAC of another entry too"},
		"prefix with host bits":  {change("10.0.1.0/24", "10.0.1.9/24"), "", "has host bits set; want 10.0.1.0/24"},
		"empty":                  {"", "", "the document is empty"},
		"no interface":           {"interfaces: []\n", "", "interfaces is empty, which is not an answer"},
		"cut":                    {good[:len(good)/2], "", "interfaces.yaml:"},
		"address list empty":     {change("addresses:\n  - \""+a0+"\"", "addresses: []\n  #"), "", "interfaces.yaml:"},
		"10 MB":                  {strings.Repeat("# nothing but comments here\n", 400_000), "", "at most 1048576 are read"},
		"binary":                 {string(bytes.Repeat([]byte{0, 255, 7}, 1000)), "", "interfaces.yaml:"},
		"outside every subnet":   {change(a0, "10.9.9.9"), "address-outside-subnet", "10.9.9.9"},
		"on two ENIs":            {change(b1, a0), "address-on-two-interfaces", a0},
		"loopback":               {change(a0, "127.0.0.5"), "bad-address", "127.0.0.5 is a loopback address"},
		"multicast":              {change(a0, "224.0.0.5"), "bad-address", "224.0.0.5 is a multicast address"},
		"metadata":               {change(a0, "169.254.169.254"), "bad-address", "169.254.169.254 is an address of the metadata service"},
		"gateway off link":       {change(gateway, "gateway: 10.0.9.1"), "gateway-off-link", "10.0.9.1"},
		"gateway is an address":  {change(gateway, "gateway: "+a0), "address-is-gateway", a0},
		"network address":        {change(a0, "10.0.1.0"), "address-not-a-host", "10.0.1.0"},
		"two primary interfaces": {strings.ReplaceAll(good, "primary: false", "primary: true"), "two-primaries", "all claim to be the primary"},
	} {
		write(t, r, tt.document)
		if tt.reason == "" {
			served(t, r, func(s *agent.Status) bool { return !s.Metadata.OK && strings.Contains(s.Metadata.Error, tt.text) })
			enid(t, r, "plan").ends(t, 1, "enid: metadata: ", "interfaces.yaml", tt.text)
		} else {
			served(t, r, func(s *agent.Status) bool { return problem(s, tt.reason, tt.text) })
		}
		// A second answer that agrees is what a loss would wait for.
		passes := counted(t, r)
		eventually(t, name+": the daemon looks no more", func() bool {
			hangUp(t, d)
			return counted(t, r) >= passes+3
		})
		same(t, r, before, "by a bad document: "+name)
		write(t, r, good)
		served(t, r, func(s *agent.Status) bool { return s.Metadata.OK && s.Converged && len(s.Problems) == 0 })
	}
	reached(t, r)
}

// counted is how many passes the daemon has done.
func counted(t *testing.T, r *rig.Rig) int {
	t.Helper()
	_, metrics := get(t, r, "", "/metrics")
	return int(value(t, metrics, "enid_pass_duration_seconds_count"))
}

// write replaces the interfaces document in one step.
func write(t *testing.T, r *rig.Rig, document string) {
	t.Helper()
	temporary := filepath.Join(r.Dir, "new")
	must(t, os.WriteFile(temporary, []byte(document), 0o644))
	must(t, os.Rename(temporary, r.DocumentFile()))
}
