package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/netcfg"
)

// TestManagers: what each file on a host makes the doctor say.
func TestManagers(t *testing.T) {
	const links, device = "run/systemd/netif/links/3", "run/NetworkManager/devices/3"
	netif := map[string]string{"run/systemd/netif/state": ""}
	with := func(files map[string]string, more ...string) map[string]string {
		all := map[string]string{}
		for k, v := range files {
			all[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	const off = "# ours\n[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules = no\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nobody":                         {nil, nil},
		"networkd, unmanaged":            {with(netif, links, "ADMIN_STATE=unmanaged\n", "etc/systemd/networkd.conf.d/50-enid.conf", off), nil},
		"networkd manages":               {with(netif, links, "# x\nADMIN_STATE=configured\nOPER_STATE=routable\n", "etc/systemd/networkd.conf.d/50-enid.conf", off), []string{"managed-by-networkd"}},
		"the primary's is its own":       {with(netif, "run/systemd/netif/links/2", "ADMIN_STATE=configured\n", "usr/lib/systemd/networkd.conf.d/50-enid.conf", off), nil},
		"networkd's defaults":            {netif, []string{"networkd-removes-foreign"}},
		"half of it":                     {with(netif, "etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=no\n"), []string{"networkd-removes-foreign"}},
		"a later drop-in takes it back":  {with(netif, "usr/lib/systemd/networkd.conf.d/50-enid.conf", off, "etc/systemd/networkd.conf.d/60-site.conf", "[Network]\nManageForeignRoutes=yes\n"), []string{"networkd-removes-foreign"}},
		"a file of the same name counts": {with(netif, "usr/lib/systemd/networkd.conf.d/50-enid.conf", off, "etc/systemd/networkd.conf.d/50-enid.conf", "[Network]\n"), []string{"networkd-removes-foreign"}},
		"another section":                {with(netif, "etc/systemd/networkd.conf", "[DHCPv4]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"), []string{"networkd-removes-foreign"}},
		"NetworkManager manages":         {map[string]string{device: "[device]\nmanaged=true\n"}, []string{"managed-by-networkmanager"}},
		"NetworkManager does not":        {map[string]string{device: "[device]\nmanaged=false\n"}, nil},
		"other agents": {map[string]string{"etc/systemd/system/timers.target.wants/nm-cloud-setup.timer": "", "etc/udev/rules.d/90-cloud-init-hook-hotplug.rules": ""},
			[]string{"another-agent-installed", "another-agent-installed"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, content := range tt.files {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			target := netcfg.Target{ENIs: []netcfg.Outcome{
				{Slot: netcfg.Primary, Link: netcfg.Link{Index: 2, Name: "eth0"}},
				{Slot: 1, Link: netcfg.Link{Index: 3, Name: "eth1"}},
				{Slot: 2},
			}}
			var got []string
			for _, f := range (managers{root}).findings(target) {
				got = append(got, f.Check)
				if f.Evidence == "" || f.Remedy == "" || f.Severity == "" {
					t.Errorf("not whole: %+v", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrintFindings(t *testing.T) {
	var b bytes.Buffer
	PrintFindings(&b, nil)
	if b.String() != "nothing found that could hurt\n" {
		t.Errorf("got %q", b.String())
	}
	b.Reset()
	findings := []netcfg.Finding{
		{Severity: netcfg.SeverityWarning, Check: "a", Evidence: "it may rain", Remedy: "take an umbrella"},
		{Severity: netcfg.SeverityError, Check: "b", Evidence: strings.Repeat("long ", 30), Remedy: "shorten it"},
	}
	if netcfg.SortFindings(findings); findings[0].Check != "b" || !Hurts(findings) || Hurts(findings[1:]) {
		t.Errorf("errors come first, and hurt: %+v", findings)
	}
	PrintFindings(&b, findings)
	want := `error    long long long long long long long long long long long long long long
         long long long long long long long long long long long long long long
         long long [b]
  remedy shorten it

warning  it may rain [a]
  remedy take an umbrella

1 error, 1 warning
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
