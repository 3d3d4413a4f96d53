package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"enid/netcfg"
)

// managers looks, below a root folder, at what other network managers say of themselves.
type managers struct{ root string }

// findings are the managers that have an ENI's NIC in hand, or remove what is not theirs.
func (m managers) findings(t netcfg.Target) []netcfg.Finding {
	var found []netcfg.Finding
	for _, e := range t.ENIs {
		if e.Slot <= netcfg.Primary || e.Link.Index == 0 {
			continue
		}
		found = append(found, m.networkdOwns(e.Link)...)
		found = append(found, m.networkManagerOwns(e.Link)...)
	}
	return slices.Concat(found, m.networkdForeign(), m.bootTools())
}

// networkdOwns: the state that networkd keeps of a link (/run/systemd/netif/links/N, as networkctl shows it).
func (m managers) networkdOwns(l netcfg.Link) []netcfg.Finding {
	state := m.values(fmt.Sprintf("run/systemd/netif/links/%d", l.Index), "")["ADMIN_STATE"]
	if state == "" || state == "unmanaged" || state == "pending" {
		return nil
	}
	return []netcfg.Finding{{Severity: netcfg.SeverityError, Check: "managed-by-networkd",
		Evidence: fmt.Sprintf("systemd-networkd manages %s (%s): it removes enid's addresses and routes when it is restarted or reloaded", l.Name, state),
		Remedy:   "let neighbours: auto write the file that takes it out, then networkctl reload && networkctl reconfigure " + l.Name}}
}

// networkManagerOwns: the state that NetworkManager keeps of a device (/run/NetworkManager/devices/N).
func (m managers) networkManagerOwns(l netcfg.Link) []netcfg.Finding {
	if m.values(fmt.Sprintf("run/NetworkManager/devices/%d", l.Index), "device")["managed"] != "true" {
		return nil
	}
	return []netcfg.Finding{{Severity: netcfg.SeverityError, Check: "managed-by-networkmanager",
		Evidence: fmt.Sprintf("NetworkManager manages %s: it may run DHCP on it, and removes what it does not know", l.Name),
		Remedy:   "let neighbours: auto write the file that takes it out, then nmcli general reload; or nmcli device set " + l.Name + " managed no"}}
}

// networkdForeign: a networkd that runs and removes rules and routes that are not its own.
func (m managers) networkdForeign() []netcfg.Finding {
	if _, err := os.Stat(filepath.Join(m.root, "run/systemd/netif")); err != nil {
		return nil
	}
	settings := m.networkdSettings()
	var on []string
	for _, key := range []string{"ManageForeignRoutes", "ManageForeignRoutingPolicyRules"} {
		if !slices.Contains([]string{"no", "false", "off", "0"}, strings.ToLower(settings[key])) {
			on = append(on, key)
		}
	}
	if len(on) == 0 {
		return nil
	}
	return []netcfg.Finding{{Severity: netcfg.SeverityWarning, Check: "networkd-removes-foreign",
		Evidence: "systemd-networkd removes what others add when it is restarted or reloaded (" + strings.Join(on, ", ") + "); enid puts it back, with a gap of some milliseconds",
		Remedy:   "install 50-enid.conf into /etc/systemd/networkd.conf.d and restart systemd-networkd"}}
}

// networkdSettings are the [Network] settings of networkd.conf and its drop-ins, by the rules of
// networkd.conf(5): of files with one name the first folder's counts, and all are read in the order of
// their names.
func (m managers) networkdSettings() map[string]string {
	settings := map[string]string{}
	for _, dir := range []string{"usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd"} {
		if v := m.values(dir+"/networkd.conf", "Network"); len(v) > 0 {
			settings = v
		}
	}
	dropIns := map[string]string{}
	for _, dir := range []string{"lib", "usr/lib", "usr/local/lib", "run", "etc"} {
		files, _ := filepath.Glob(filepath.Join(m.root, dir, "systemd/networkd.conf.d/*.conf"))
		for _, f := range files {
			dropIns[filepath.Base(f)] = strings.TrimPrefix(f, m.root)
		}
	}
	var names []string
	for name := range dropIns {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for key, value := range m.values(dropIns[name], "Network") {
			settings[key] = value
		}
	}
	return settings
}

// bootTools are agents that configure ENIs as well, as far as files say that they are switched on.
func (m managers) bootTools() (found []netcfg.Finding) {
	for _, tool := range []struct{ file, name, off string }{
		{"etc/systemd/system/timers.target.wants/nm-cloud-setup.timer", "nm-cloud-setup", "systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service"},
		{"etc/udev/rules.d/90-cloud-init-hook-hotplug.rules", "cloud-init's hotplug", "remove hotplug from updates.network.when of cloud-init"},
		{"usr/lib/udev/rules.d/99-vpc-policy-routes.rules", "amazon-ec2-net-utils", "remove the package amazon-ec2-net-utils"},
	} {
		if _, err := os.Stat(filepath.Join(m.root, tool.file)); err == nil {
			found = append(found, netcfg.Finding{Severity: netcfg.SeverityWarning, Check: "another-agent-installed",
				Evidence: tool.name + " is switched on here (/" + tool.file + ") and configures the same NICs", Remedy: tool.off})
		}
	}
	return found
}

// values reads the settings of a section of a file as systemd and NetworkManager write them, "" for what stands
// before the first. A file that is not there has none.
func (m managers) values(file, section string) map[string]string {
	data, err := os.ReadFile(filepath.Join(m.root, file))
	if err != nil {
		return nil
	}
	values, in := map[string]string{}, section == ""
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		key, value, isSetting := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";"):
		case strings.HasPrefix(line, "["):
			in = line == "["+section+"]"
		case in && isSetting:
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return values
}
