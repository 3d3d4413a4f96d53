package agent

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readShipped(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile("../systemd/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A key that is commented out has no space behind its mark, or the spaces of its
// depth; a sentence has one space, an example a second mark.
var commentedKey = regexp.MustCompile(`(?m)^#([a-z]|  +[a-z])`)

// TestShippedConfig: what the packages install says the defaults, all of them and
// nothing else, both as it is and with the comment marks of its keys removed.
func TestShippedConfig(t *testing.T) {
	shipped := readShipped(t, "enid.yaml")
	open := commentedKey.ReplaceAllString(shipped, "$1")
	for _, text := range []string{shipped, open} {
		c, err := Parse("enid.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Default(), c, compareConfig); diff != "" {
			t.Errorf("(-default +shipped):\n%s", diff)
		}
	}
	// Equal to the defaults proves nothing about a key that is not there.
	keys := []string{
		"metadata", "provider", "endpoint", "mark", "interface", "poll", "detach_after", "max_age", "openapi", "file", "overlay", "dhcp", "interfaces", "return_path",
		"routing", "table", "priority", "block_priority", "protocol", "mark", "group",
		"neighbours", "http", "runtime_dir", "state_dir", "resync", "log", "level", "format",
	}
	want := map[string]int{}
	for _, key := range keys {
		want[key]++ // metadata and routing both have a mark
	}
	for key, times := range want {
		if n := len(regexp.MustCompile(`(?m)^ *`+key+`:`).FindAllString(open, -1)); n != times {
			t.Errorf("%s stands %d times in enid.yaml, want %d", key, n, times)
		}
	}
}

// TestShippedExample: the entries that the comments show are right too.
func TestShippedExample(t *testing.T) {
	_, example, found := strings.Cut(readShipped(t, "enid.yaml"), "## For example:\n##\n")
	example, _, ends := strings.Cut(example, "\n\n")
	if !found || !ends {
		t.Fatal("enid.yaml has no example")
	}
	c, err := Parse("enid.yaml", []byte(regexp.MustCompile(`(?m)^## ?`).ReplaceAllString(example, "")))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Interfaces) != 2 {
		t.Errorf("the example has %d entries, want 2", len(c.Interfaces))
	}
}

// TestShippedUnit: the folders that the unit makes and keeps are those of the defaults.
func TestShippedUnit(t *testing.T) {
	unit := strings.Split(readShipped(t, "enid.service"), "\n")
	for _, want := range []string{
		"RuntimeDirectory=" + strings.TrimPrefix(Default().RuntimeDir, "/run/"),
		"RuntimeDirectoryPreserve=yes", // else a stop takes the record of ownership away
		"StateDirectory=" + strings.TrimPrefix(Default().StateDir, "/var/lib/"),
	} {
		if !slices.Contains(unit, want) {
			t.Errorf("enid.service has no line %s", want)
		}
	}
}
