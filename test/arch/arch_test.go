// Package arch holds the rules about who may import whom.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rule says what the packages of a folder may import. enid lists what they may use of this
// module, forbidden what they must not use of others; both are path prefixes.
type rule struct {
	folder    string
	enid      []string
	forbidden []string
	why       string
}

var rules = []rule{
	{"enid/metadata", []string{"enid/metadata"}, []string{"github.com/vishvananda", "golang.org/x/sys", "github.com/prometheus"},
		"metadata knows no Linux"},
	{"enid/netcfg", []string{"enid/metadata"}, []string{"net/http", "github.com/prometheus", "github.com/fsnotify"},
		"netcfg knows no HTTP and no cloud"},
	{"enid/agent", []string{"enid/metadata", "enid/netcfg"}, []string{"github.com/vishvananda"},
		"the agent speaks of netcfg's values, never of netlink's"},
	{"enid/systemd", nil, []string{"github.com/vishvananda", "net/http"}, "systemd is about the service manager alone"},
	{"enid/cmd/enid", []string{"enid/agent", "enid/metadata/file", "enid/netcfg", "enid/systemd"}, []string{"github.com/vishvananda"},
		"the command only wires"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, r := range rules {
			if !within(p.ImportPath, r.folder) {
				continue
			}
			for _, i := range p.Imports {
				if within(i, "enid") && !within(i, r.folder) && !slices.ContainsFunc(r.enid, func(a string) bool { return within(i, a) }) {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, r.why)
				}
				if slices.ContainsFunc(r.forbidden, func(f string) bool { return within(i, f) }) {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, r.why)
				}
			}
		}
	}
}

// TestNetcfgSeesOnlySnapshots: of metadata, netcfg sees the values alone, no dialect.
func TestNetcfgSeesOnlySnapshots(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			if within(p.ImportPath, "enid/netcfg") && within(i, "enid/metadata") && i != "enid/metadata" {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

// TestNothingImportsTest: what is installed has nothing of the laboratory in it.
func TestNothingImportsTest(t *testing.T) {
	for _, p := range packages(t) {
		if within(p.ImportPath, "enid/test") || within(p.ImportPath, "enid/cmd/enid-lab") {
			continue
		}
		for _, i := range p.Imports {
			if within(i, "enid/test") || i == "testing" {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "enid/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 8 {
		t.Fatalf("only %d packages found; the check would see nothing", len(all))
	}
	return all
}
