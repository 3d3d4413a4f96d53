package document

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
)

func TestLoadDir(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10-a.yaml":   "interfaces: [{mac: 02:29:96:8f:00:01, mtu: 1500}]",
		"20-b.json":   `{"interfaces": [{"mac": "02:29:96:8f:00:01", "mtu": 9000, "id": "b"}]}`,
		"30-c.yml":    "interfaces: [{mac: 02:29:96:8f:00:02, id: c}]",
		"40-d.yaml":   "interfaces: [{mac: wrong}]",
		".hidden.yml": "not: read",
		"README":      "not read",
		"e.yaml.bak":  "not read",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "50-e.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	docs, problems := LoadDir(dir)
	var layer []metadata.Interface
	for _, d := range docs {
		layer = append(layer, d.Interfaces()...)
	}
	s := metadata.Complete(metadata.Snapshot{Interfaces: []metadata.Interface{{MAC: layer[0].MAC}}}, layer)
	want := metadata.Interface{
		MAC: layer[0].MAC, MTU: metadata.Is(1500, "overlay "+filepath.Join(dir, "10-a.yaml")),
		ID: metadata.Is("b", "overlay "+filepath.Join(dir, "20-b.json")),
	}
	if d := cmp.Diff([]metadata.Interface{want}, s.Interfaces, netipCmp); d != "" {
		t.Error(d)
	}
	if len(docs) != 3 || len(problems) != 2 {
		t.Fatalf("%d documents, problems %v; want 3 and two problems", len(docs), problems)
	}
	for n, begin := range []string{filepath.Join(dir, "40-d.yaml:1:20: mac: "), filepath.Join(dir, "50-e.yaml: is a directory")} {
		if p := problems[n]; p.Reason != "overlay" || !strings.HasPrefix(p.Text, begin) {
			t.Errorf("problem %+v, want a text that begins with %s", p, begin)
		}
	}
}

func TestLoadDirMissing(t *testing.T) {
	dir := t.TempDir()
	if docs, problems := LoadDir(filepath.Join(dir, "none")); docs != nil || problems != nil {
		t.Errorf("missing directory: %v, %v", docs, problems)
	}
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if docs, problems := LoadDir(path); docs != nil || len(problems) != 1 {
		t.Errorf("a file in the place of the directory: %v, %v", docs, problems)
	}
}

// TestExplain is about an error that root never gets.
func TestExplain(t *testing.T) {
	err := explain("/etc/x", &fs.PathError{Op: "open", Path: "/etc/x", Err: fs.ErrPermission})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "make it and its directories readable") {
		t.Error(err)
	}
}
