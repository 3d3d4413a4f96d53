package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// enterTest makes this test binary play a part instead of running tests.
const enterTest = "LAB_TEST_PART"

// playPart is a program that uses the lab.
func playPart(part string) int {
	if err := Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch part {
	case "echo":
		_, _ = io.Copy(os.Stdout, os.Stdin)
		fmt.Fprintln(os.Stderr, "uid", os.Geteuid(), "args", os.Args[1:])
		return 7
	case "lab":
		return playLab()
	}
	return 2
}

// playLab makes a lab, leaves a process in it, says so, and waits for its end.
func playLab() int {
	l, err := New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	vm, err := l.VM("vm")
	if err == nil {
		child := exec.Command("sleep", "1000")
		child.Stdout = os.Stdout // the reader's end of file says that it is gone
		err = vm.Start(child)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	select {}
}

// actor runs this test binary in a part, as somebody who is not in the lab yet.
func actor(part string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, stage+"=") })
	cmd.Env = append(cmd.Env, enterTest+"="+part)
	// Away from the terminal, which would send its own signals.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// asNobody makes it an ordinary user's program, as far as this test may do so.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	if os.Geteuid() == 0 && mapped(t, 65534) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
}

// mapped reports whether this user namespace knows a uid: where an ordinary user runs
// the tests it knows only root, who has no power outside.
func mapped(t *testing.T, uid int) bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	check(t, err)
	for line := range strings.Lines(string(b)) {
		var inside, outside, size int
		_, err := fmt.Sscan(line, &inside, &outside, &size)
		check(t, err)
		if uid >= inside && uid < inside+size {
			return true
		}
	}
	return false
}

func TestEnterPassesThrough(t *testing.T) {
	for _, user := range []string{"root", "nobody"} {
		cmd := actor("echo", "a", "b c")
		if user == "nobody" {
			asNobody(t, cmd)
		}
		var out, errs bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("hello"), &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("%s: got %v, want exit code 7", user, err)
		}
		if out.String() != "hello" || errs.String() != "uid 0 args [a b c]\n" {
			t.Errorf("%s: got %q and %q", user, out.String(), errs.String())
		}
	}
}

// However the program ends, the lab, its processes and their children end with it.
func TestKilledLab(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT} {
		for _, user := range []string{"root", "nobody"} {
			t.Run(fmt.Sprint(user, " ", sig), func(t *testing.T) {
				cmd := actor("lab")
				if user == "nobody" {
					asNobody(t, cmd)
				}
				cmd.Stderr = os.Stderr
				out, err := cmd.StdoutPipe()
				check(t, err)
				check(t, cmd.Start())
				lines := bufio.NewReader(out)
				if line, err := lines.ReadString('\n'); line != "ready\n" {
					t.Fatalf("got %q, %v, want ready", line, err)
				}
				check(t, cmd.Process.Signal(sig))
				// Everybody who is left holds the other end of this pipe.
				if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
					t.Errorf("got %q, %v", rest, err)
				}
				if err := cmd.Wait(); err == nil {
					t.Error("a program that was killed says that all is well")
				}
			})
		}
	}
}

func TestRemedy(t *testing.T) {
	if err := remedy(fmt.Errorf("clone: %w", unix.EPERM)); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "sudo") {
		t.Errorf("got %v", err)
	}
	other := errors.New("something else")
	if err := remedy(other); err != other {
		t.Errorf("got %v, want it unchanged", err)
	}
}

func TestNewOutside(t *testing.T) {
	t.Setenv(stage, "")
	if _, err := New(); err == nil || !strings.Contains(err.Error(), "lab.Enter") {
		t.Errorf("got %v, want advice to call lab.Enter", err)
	}
}

// A closed lab has no open files, no processes and no namespaces.
func TestClose(t *testing.T) {
	// The first lab of a process opens files of the Go runtime's that stay.
	newLab(t)
	before := openFiles(t)
	l, err := New()
	check(t, err)
	s, err := l.Subnet("a", prefixes("10.0.0.0/24", "2001:db8::/64")...)
	check(t, err)
	child := exec.CommandContext(context.WithoutCancel(t.Context()), "sleep", "1000")
	check(t, s.Neighbour.Start(child))
	conn, err := s.Neighbour.Dial(t.Context(), "tcp", s.Neighbour.Addrs[0], netip.AddrPortFrom(s.Neighbour.Addrs[0], EchoPort))
	check(t, err)
	check(t, l.Close())
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from the echo server of a closed lab", n)
	}
	check(t, conn.Close())
	if err := child.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	if diff := cmp.Diff(before, openFiles(t)); diff != "" {
		t.Errorf("open files (-before +after):\n%s", diff)
	}
	strangers(t)
	if err := s.Neighbour.Do(func() error { return nil }); err == nil {
		t.Error("a host of a closed lab can be entered")
	}
}

// openFiles lists what this process has open, without the numbers that differ each time.
func openFiles(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	var names []string
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			names = append(names, to)
		}
	}
	slices.Sort(names)
	return names
}

// strangers waits until no thread is in a network namespace but this process's own.
func strangers(t *testing.T) {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/net")
	check(t, err)
	await(t, func() bool {
		links, err := filepath.Glob("/proc/self/task/*/ns/net")
		check(t, err)
		return !slices.ContainsFunc(links, func(link string) bool {
			at, err := os.Readlink(link)
			return err == nil && at != own
		})
	})
}

func TestDoGoexit(t *testing.T) {
	l, _, _ := newLab(t)
	err := l.Outside().Do(func() error { runtime.Goexit(); return nil })
	if !errors.Is(err, errLeft) {
		t.Errorf("got %v, want %v", err, errLeft)
	}
}
