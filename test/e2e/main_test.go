// Package e2e tests the built daemon against a simulated cloud and a laboratory, with real packets.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enid/test/lab"
	"enid/test/rig"
)

// binary is the environment variable with the path of the built enid.
const binary = "ENID_E2E_BINARY"

// patience bounds every wait of a test. It is long: the machine may have better things to do.
const patience = 60 * time.Second

// parallel is how many tests run at a time: they mostly wait for polls.
const parallel = "6"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run builds enid before it enters the lab, where the build cache may be out of reach. What
// runs inside removes the binary, for the outer run ends within lab.Enter.
func run(m *testing.M) (int, error) {
	if os.Getenv(binary) == "" {
		if err := build(); err != nil {
			return 1, err
		}
	}
	if err := lab.Enter(); err != nil {
		return 1, err
	}
	defer os.RemoveAll(filepath.Dir(os.Getenv(binary)))
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func build() error {
	dir, err := os.MkdirTemp("", "enid-e2e")
	if err != nil {
		return err
	}
	args := []string{"build", "-o", filepath.Join(dir, "enid")}
	if raceDetector {
		args = append(args, "-race")
	}
	for _, args := range [][]string{append(args, "enid/cmd/enid"), {"build", "-o", filepath.Join(dir, "enid-lab"), "enid/cmd/enid-lab"}} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return os.Setenv(binary, filepath.Join(dir, "enid"))
}

// newRig boots a VM. At the end of the test no packet may have left by a wrong NIC, nothing may
// have gone wrong in the laboratory, and the daemon may not have raced.
func newRig(t *testing.T, o rig.Options) *rig.Rig {
	t.Helper()
	o.Enid = os.Getenv(binary)
	r, err := rig.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		noSpoofs(t, r)
		if err := r.Err(); err != nil {
			t.Errorf("the laboratory did not follow the cloud: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close the rig: %v", err)
		}
		log := r.Log()
		if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
			t.Error("the daemon raced or panicked")
		}
		if t.Failed() {
			t.Logf("what enid wrote:\n%s", log)
		}
	})
	return r
}

// noSpoofs fails the test where a packet has left by a wrong NIC.
func noSpoofs(t *testing.T, r *rig.Rig) {
	t.Helper()
	spoofed, err := r.Lab.Spoofed()
	if err != nil {
		t.Errorf("ask the fabric for spoofed packets: %v", err)
	}
	for _, s := range spoofed {
		t.Errorf("spoofed: %s", s)
	}
}

// patient is a context for one step of a test.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// must fails the test at once on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must1 is must for calls that return something.
func must1[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}
