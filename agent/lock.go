package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrRunning is the cause when another enid is the one that writes to this kernel.
var ErrRunning = errors.New("another enid is running here")

// lock makes this process the only one that writes, for as long as it lives.
func lock(runtimeDir string) (release func(), err error) {
	if err := os.MkdirAll(runtimeDir, 0o755); err != nil {
		return nil, fmt.Errorf("runtime_dir: %w", err)
	}
	name := filepath.Join(runtimeDir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("runtime_dir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		_ = f.Close()
		return nil, fmt.Errorf("%w: process %s holds %s", ErrRunning, strings.TrimSpace(string(pid)), name)
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintln(f, os.Getpid()) // for people only; the lock is what counts
	return func() { _ = f.Close() }, nil
}

// hint adds to ErrRunning what to do about it for this command.
func hint(err error, text string) error {
	if errors.Is(err, ErrRunning) {
		return fmt.Errorf("%w; %s", err, text)
	}
	return err
}
