package document

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTenMegabytes: a file that is far too large is refused by its size, unread, and costs only itself.
func TestTenMegabytes(t *testing.T) {
	dir := t.TempDir()
	line := "- {mac: 02:29:96:8f:00:01, addresses: [10.0.1.5]}\n"
	text := "interfaces:\n" + strings.Repeat(line, 10<<20/len(line))
	path := filepath.Join(dir, "10-large.yaml")
	for file, text := range map[string]string{path: text, filepath.Join(dir, "20-good.yaml"): "interfaces: [{mac: 02:29:96:8f:00:02}]"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if allocated := testing.AllocsPerRun(1, func() { _, _ = Read(path) }); allocated > 100 {
		t.Errorf("%.0f allocations to refuse it", allocated)
	}
	_, err := Read(path)
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 are read, split it or check that it is the right file") || len(err.Error()) > 500 {
		t.Errorf("the error is %v", err)
	}
	docs, problems := LoadDir(dir)
	if len(docs) != 1 || len(problems) != 1 {
		t.Errorf("%d documents and the problems %v; want the good one, and one", len(docs), problems)
	}
}

// TestJustUnderTheLimit: what is as large as may be is decided, with errors of a readable length.
func TestJustUnderTheLimit(t *testing.T) {
	line := "- {mac: 02:29:96:8f:00:01, addresses: [10.0.1.5]}\n"
	text := "interfaces:\n" + strings.Repeat(line, (MaxSize-20)/len(line))
	if _, err := Parse("d", []byte(text)); err == nil || len(err.Error()) > 10000 {
		t.Errorf("an error of %d characters", len(err.Error()))
	}
}
