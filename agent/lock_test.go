package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "enid")
	release, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the second: %v; want ErrRunning and whose process it is", err)
	}
	release()
	again, err := lock(dir)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	again()
}

func TestLockWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lock(filepath.Join(file, "enid")); err == nil || errors.Is(err, ErrRunning) || !strings.HasPrefix(err.Error(), "runtime_dir: ") {
		t.Errorf("%v; want an error that names the setting", err)
	}
}
