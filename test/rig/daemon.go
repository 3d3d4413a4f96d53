package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"enid/agent"
	"enid/test/lab"
)

// Daemon is a running enid.
type Daemon struct {
	cmd  *exec.Cmd
	log  *Log
	done chan struct{}
	err  error
}

// Log collects what a daemon writes.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Start runs the daemon in the VM.
func (m *Machine) Start() (*Daemon, error) {
	d := &Daemon{cmd: exec.Command(m.site.Enid, "run", "--config", m.ConfigFile()), log: &Log{}, done: make(chan struct{})}
	d.cmd.Stdout = d.log
	if m.Output != nil {
		d.cmd.Stdout = io.MultiWriter(d.log, m.Output)
	}
	d.cmd.Stderr = d.cmd.Stdout
	d.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	if err := m.VM.Start(d.cmd); err != nil {
		return nil, err
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	m.daemons = append(m.daemons, d)
	return d, nil
}

// Log is what all daemons of this VM have written, one after the other.
func (m *Machine) Log() string {
	var b strings.Builder
	for i, d := range m.daemons {
		fmt.Fprintf(&b, "--- start %d\n%s", i+1, d.Log())
	}
	return b.String()
}

// Log is what the daemon has written.
func (d *Daemon) Log() string { return d.log.String() }

// PID is the daemon's process.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Signal sends one.
func (d *Daemon) Signal(s unix.Signal) error { return d.cmd.Process.Signal(s) }

// Kill ends it with SIGKILL, as a crash would, and waits.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}

// Stop asks it to end and waits. The error is how it ended.
func (d *Daemon) Stop(ctx context.Context) error {
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.done:
		return d.err
	case <-ctx.Done():
		return errors.New("the daemon does not stop")
	}
}

// Ended reports whether the daemon has ended by itself.
func (d *Daemon) Ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// Run runs enid with arguments in the VM and returns its output and exit code.
func (m *Machine) Run(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, m.site.Enid, append(args, "--config", m.ConfigFile())...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := m.VM.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		return out.String(), err.Error(), -1
	}
	return out.String(), errs.String(), code
}

// Status is what the daemon says of itself.
func (m *Machine) Status(ctx context.Context) (*agent.Status, error) {
	out, errs, code := m.Run(ctx, "status", "-o", "json")
	if code != 0 {
		return nil, fmt.Errorf("enid status: exit code %d: %s", code, strings.TrimSpace(errs))
	}
	var s agent.Status
	return &s, json.Unmarshal([]byte(out), &s)
}

// AwaitStatus waits until the daemon's status satisfies ok.
func (m *Machine) AwaitStatus(ctx context.Context, ok func(*agent.Status) bool) (time.Duration, error) {
	var last *agent.Status
	took, err := lab.Await(ctx, func() bool {
		s, err := m.Status(ctx)
		if err == nil {
			last = s
		}
		return err == nil && ok(s)
	})
	if err != nil {
		shown, _ := json.MarshalIndent(last, "", " ")
		return took, fmt.Errorf("the status is not as expected: %w; last: %s", err, shown)
	}
	return took, nil
}
