package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"enid/test/cloud"
	"enid/test/rig"
)

// A command line that makes no sense ends with 2, says what is wrong and where help is, and
// does nothing.
func TestCLIUsage(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	for line, want := range map[string]string{
		"aply":                   `there is no command "aply"; did you mean apply?`,
		"frobnicate":             `there is no command "frobnicate"`,
		"plan now":               `enid plan takes no argument, got "now"`,
		"run --forever":          "unknown flag: --forever",
		"plan -o yaml":           "-o yaml: want text or json",
		"plan --exit-code=maybe": `"maybe"`,
		"cleanup -o json":        "unknown shorthand flag",
	} {
		s := enid(t, r, strings.Fields(line)...).ends(t, 2, "enid: ", want, "--help")
		if s.out != "" {
			t.Errorf("enid %s prints on stdout: %s", line, s.out)
		}
	}
	for _, line := range []string{"", "--help", "help", "help plan", "plan --help", "status -h", "run -h", "cleanup -h", "apply -h"} {
		s := enid(t, r, strings.Fields(line)...).ends(t, 0)
		if !strings.Contains(s.out, "Usage:") || s.errs != "" {
			t.Errorf("enid %s prints %q and on stderr %q", line, s.out, s.errs)
		}
		for text := range strings.Lines(s.out) {
			if len(strings.TrimRight(text, "\n")) > 80 {
				t.Errorf("enid %s: wider than 80 columns: %s", line, text)
			}
		}
	}
	if s := enid(t, r, "version").ends(t, 0); !strings.HasPrefix(s.out, "enid ") {
		t.Errorf("version prints %q", s.out)
	}
}

// A configuration that is wrong ends every command with 2 and the place of the error.
func TestCLIConfigErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	before := kernel(t, r)
	for n, tt := range []struct{ config, where, what string }{
		{"metadata:\n  pol: 10s\n", ":2:3: metadata.pol: ", "poll"},
		{"metadata:\n  poll: 10\n", ":2:9: metadata.poll: ", "unit"},
		{"polls: 1s\n", ":1:1: ", "polls"},
		{"interfaces:\n  - match: {mac: \"02:29:96\"}\n", ":2:18: interfaces[0].match.mac: ", "02:29:96"},
		{"interfaces:\n  - ignore: true\n", ":2:5: ", "match"},
		{"http: localhost\n", ":1:7: http: ", "host:port"},
		{"runtime_dir: run\n", ":1:14: runtime_dir: ", "absolute"},
		{"log: {level: loud}\n", ":1:14: log.level: ", "loud"},
		{"metadata: {provider: hetzner}\n", ":1:22: metadata.provider: ", "is not known here"},
		{"a: [\n", ":1:", ""},
	} {
		must(t, r.WriteConfig(tt.config))
		commands := []string{"plan"}
		if n == 0 {
			commands = []string{"run", "apply", "plan", "status", "cleanup"}
		}
		for _, command := range commands {
			s := enid(t, r, command).ends(t, 2, "enid: "+r.ConfigFile()+tt.where, tt.what)
			if strings.Count(s.errs, "\n") != 1 {
				t.Errorf("want one line: %s", s.errs)
			}
		}
	}
	missing := filepath.Join(r.Dir, "none.yaml")
	s := inVM(t, r, nil, r.Enid, "plan", "--config", missing).wait()
	s.ends(t, 2, fmt.Sprintf("enid: %s: ", missing), "--config")
	same(t, r, before, "by a wrong configuration")
}

// Status without a daemon says so, and how to start it.
func TestCLIStatusWithoutDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	enid(t, r, "status").ends(t, 1, "the daemon does not run", "systemctl start enid")
	d := start(t, r)
	stop(t, d)
	enid(t, r, "status").ends(t, 1, "the daemon does not run", "systemctl start enid")
	d = start(t, r)
	d.Kill()
	enid(t, r, "status", "-o", "json").ends(t, 1, "the daemon does not run", "systemctl start enid")
}
