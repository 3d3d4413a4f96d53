package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/netcfg"
)

func TestSlotsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "slots.json")
	f := slotsFile{path: path}
	slots, err := f.load()
	if err != nil || slots == nil || len(slots) > 0 {
		t.Fatalf("a file that is not there: %v, %v", slots, err)
	}
	if err := f.save(slots); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file is written for no slots")
	}
	slots[macOf(0)], slots[macOf(1)] = netcfg.Primary, 7
	if err := f.save(slots); err != nil {
		t.Fatal(err)
	}
	read := slotsFile{path: path}
	got, err := read.load()
	if diff := cmp.Diff(slots, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}

	// What is in the file already is not written again.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := read.save(got); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the same slots are written again")
	}
	got[macOf(2)] = 8
	if err := read.save(got); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("other slots are not written: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v; want the file alone", entries, err)
	}
}

// TestSlotsFileDamaged: it counts as lost, which is said.
func TestSlotsFileDamaged(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "unexpected end of JSON input",
		`{"version":1,"slots":{"0`: "unexpected end of JSON input",
		`{"version":2}`:            "version 2 is not known to this enid",
		`{"version":1,"slots":{"02:00:00:00:00:01":200}}`:                         "02:00:00:00:00:01 has slot 200, want 0 to 126",
		`{"version":1,"slots":{"02:00:00:00:00:01":1,"02:00:00:00:00:02":1}}`:     "both have slot 1",
		`{"version":1,"slots":{"eth0":1}}`:                                        "eth0",
		`{"version":1,"slots":{"02:00:00:00:00:01":1}, "slots":"something else"}`: "cannot unmarshal string",
	} {
		f := slotsFile{path: filepath.Join(t.TempDir(), "slots.json")}
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		slots, err := f.load()
		if len(slots) > 0 || slots == nil || err == nil || !strings.Contains(err.Error(), "slots of earlier runs are lost") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want no slots and %q", text, slots, err, want)
		}
		if err := f.save(netcfg.Slots{macOf(1): 1}); err != nil {
			t.Errorf("%q: it cannot be written anew: %v", text, err)
		}
	}
}

func TestSlotsFileUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := slotsFile{path: filepath.Join(file, "slots.json")}
	for range 2 {
		if err := f.save(netcfg.Slots{macOf(1): 1}); err == nil || !strings.HasPrefix(err.Error(), "state_dir: ") {
			t.Errorf("%v; want an error that names the setting", err)
		}
	}
}
