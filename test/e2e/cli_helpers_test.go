package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"enid/agent"
	"enid/test/lab"
	"enid/test/rig"
)

// said is what a command printed and how it ended.
type said struct {
	out, errs string
	code      int
}

// enid runs a command in the VM.
func enid(t *testing.T, r *rig.Rig, args ...string) said {
	t.Helper()
	out, errs, code := r.Run(patient(t), args...)
	return said{out, errs, code}
}

// ends fails the test unless a command ended with this code and, where it failed, with this text.
func (s said) ends(t *testing.T, code int, texts ...string) said {
	t.Helper()
	if s.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", s.code, code, s.out, s.errs)
	}
	for _, text := range texts {
		if !strings.Contains(s.errs, text) {
			t.Errorf("stderr lacks %q:\n%s", text, s.errs)
		}
	}
	return s
}

// alone is a process that the test starts in the VM by itself, to choose its environment or user.
type alone struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
}

// inVM starts a process in the VM; it is killed at the end of the test.
func inVM(t *testing.T, r *rig.Rig, change func(*exec.Cmd), args ...string) *alone {
	t.Helper()
	p := &alone{cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	p.cmd.Env = os.Environ()
	if change != nil {
		change(p.cmd)
	}
	must(t, r.VM.Start(p.cmd))
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// wait is how the process ended.
func (p *alone) wait() said {
	_ = p.cmd.Wait()
	return said{p.out.String(), p.errs.String(), p.cmd.ProcessState.ExitCode()}
}

// reached waits until every address is reached from outside. Who reaches what is the matter of other
// tests; here it shows that a command has left everything working.
func reached(t *testing.T, r *rig.Rig) {
	t.Helper()
	if _, err := r.Await(patient(t), r.Addresses()...); err != nil {
		t.Error(err)
	}
}

// edit changes the VM's configuration file in one step. The old text must be there.
func edit(t *testing.T, r *rig.Rig, old, replacement string) {
	t.Helper()
	data := must1[[]byte](t)(os.ReadFile(r.ConfigFile()))
	if !bytes.Contains(data, []byte(old)) {
		t.Fatalf("the configuration has no %q:\n%s", old, data)
	}
	must(t, r.WriteConfig(strings.Replace(string(data), old, replacement, 1)))
}

// problem finds a problem in the status, of the host or of any ENI.
func problem(s *agent.Status, reason, text string) bool {
	all := s.Problems
	for _, e := range s.ENIs {
		all = append(all, e.Problems...)
	}
	for _, p := range all {
		if p.Reason == reason && strings.Contains(p.String(), text) {
			return true
		}
	}
	return false
}

// awaitProblem waits until the status has such a problem.
func awaitProblem(t *testing.T, r *rig.Rig, reason, text string) {
	t.Helper()
	await(t, r, func(s *agent.Status) bool { return problem(s, reason, text) })
}

// awaitLog waits until the daemon has written something.
func awaitLog(t *testing.T, d *rig.Daemon, text string) {
	t.Helper()
	eventually(t, "the log lacks "+text, func() bool { return strings.Contains(d.Log(), text) })
}

// get asks the daemon over HTTP: at an address in the VM, or on its socket where address is "".
func get(t *testing.T, r *rig.Rig, address, path string) (int, string) {
	t.Helper()
	code, body, err := tryGet(patient(t), r, address, path)
	must(t, err)
	return code, body
}

func tryGet(ctx context.Context, r *rig.Rig, address, path string) (int, string, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if address != "" {
			return r.VM.Dial(ctx, "tcp", netip.Addr{}, netip.MustParseAddrPort(address))
		}
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(r.Dir, "run", agent.SocketName))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://enid"+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// served waits until the status on the socket satisfies ok. Unlike enid status it needs no
// configuration, and no process.
func served(t *testing.T, r *rig.Rig, ok func(*agent.Status) bool) {
	t.Helper()
	var last string
	_, err := lab.Await(patient(t), func() bool {
		var s agent.Status
		_, body, err := tryGet(t.Context(), r, "", "/status")
		last = body
		return err == nil && json.Unmarshal([]byte(body), &s) == nil && ok(&s)
	})
	if err != nil {
		t.Fatalf("the status is not as expected: %v; last: %s", err, last)
	}
}

// files lists everything below a directory with size and time of change.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			list = append(list, strings.Join([]string{path, info.ModTime().String(), info.Mode().String()}, " "))
		}
		return err
	}))
	return list
}

var doneLine = regexp.MustCompile(`msg=done command="?([^"\n]*)`)

// done are the operations that a log at level debug tells of.
func done(log string) []string {
	var commands []string
	for _, m := range doneLine.FindAllStringSubmatch(log, -1) {
		commands = append(commands, m[1])
	}
	return commands
}

// hangUp asks the daemon to read its configuration again.
func hangUp(t *testing.T, d *rig.Daemon) {
	t.Helper()
	must(t, d.Signal(unix.SIGHUP))
}
