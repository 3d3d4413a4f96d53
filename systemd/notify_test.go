package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// env is a getenv over a map.
func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// manager listens as the service manager does.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// received is every message that waits; unixgram delivers within the write.
func received(t *testing.T, conn *net.UnixConn) []string {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	buf := make([]byte, 4096)
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if err != nil {
				return true
			}
			all = append(all, string(buf[:n]))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMessages(t *testing.T) {
	for _, socket := range []string{
		filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@enid-test-%d", os.Getpid()),
	} {
		t.Run(socket, func(t *testing.T) {
			conn := manager(t, socket)
			n := New(env(map[string]string{"NOTIFY_SOCKET": socket}))
			for _, tt := range []struct {
				about string
				call  func() error
				want  string
			}{
				{"status", func() error { return n.Status("waiting for\nthe metadata\n") }, "STATUS=waiting for the metadata"},
				{"the same status", func() error { return n.Status("waiting for the metadata") }, ""},
				{"ready", n.Ready, "READY=1"},
				{"another status", func() error { return n.Status("2 ENIs") }, "STATUS=2 ENIs"},
				{"watchdog", n.Watchdog, "WATCHDOG=1"},
				{"no status", func() error { return n.Status("") }, "STATUS="},
				{"extend", func() error { return n.ExtendTimeout(90 * time.Second) }, "EXTEND_TIMEOUT_USEC=90000000"},
				{"stopping", n.Stopping, "STOPPING=1"},
			} {
				if err := tt.call(); err != nil {
					t.Errorf("%s: %v", tt.about, err)
				}
				if got := strings.Join(received(t, conn), " and "); got != tt.want {
					t.Errorf("%s: sent %q, want %q", tt.about, got, tt.want)
				}
			}
		})
	}
}

// TestReloading holds what Type=notify-reload wants: both in one message, on the clock
// that the manager reads too.
func TestReloading(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn := manager(t, socket)
	clock := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano() / 1000
	}
	before := clock()
	if err := New(env(map[string]string{"NOTIFY_SOCKET": socket})).Reloading(); err != nil {
		t.Fatal(err)
	}
	after := clock()

	got := strings.Join(received(t, conn), " and ")
	m := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=(\d+)$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("sent %q", got)
	}
	if usec, err := strconv.ParseInt(m[1], 10, 64); err != nil || usec < before || usec > after {
		t.Errorf("MONOTONIC_USEC=%s, want %d to %d", m[1], before, after)
	}
}

func TestNobodyListens(t *testing.T) {
	n := New(env(nil))
	for _, call := range []func() error{n.Ready, n.Reloading, n.Stopping, n.Watchdog, func() error { return n.Status("x") }} {
		if err := call(); err != nil {
			t.Errorf("without NOTIFY_SOCKET: %v", err)
		}
	}
	if d, ok := n.WatchdogInterval(); ok {
		t.Errorf("a watchdog of %s without WATCHDOG_USEC", d)
	}
}

func TestSocketErrors(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	for socket, want := range map[string]string{
		"relative": "tell the service manager READY=1 at NOTIFY_SOCKET relative: not a path and not an abstract name; run enid as a service, or unset NOTIFY_SOCKET",
		gone:       "no such file or directory",
	} {
		if err := New(env(map[string]string{"NOTIFY_SOCKET": socket})).Ready(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want …%s", socket, err, want)
		}
	}
}

// TestStatusAfterError: what did not arrive is sent again.
func TestStatusAfterError(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	n := New(env(map[string]string{"NOTIFY_SOCKET": socket}))
	if err := n.Status("2 ENIs"); err == nil {
		t.Fatal("no error though nobody listens")
	}
	conn := manager(t, socket)
	if err := n.Status("2 ENIs"); err != nil {
		t.Fatal(err)
	}
	if got := received(t, conn); len(got) != 1 {
		t.Errorf("sent %q, want the status once", got)
	}
}

// TestManagerHangs: a full queue costs a bounded time, and is an error.
func TestManagerHangs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager(t, socket)
	n := New(env(map[string]string{"NOTIFY_SOCKET": socket}))
	for range 10000 { // more than net.unix.max_dgram_qlen of any host
		if err := n.Watchdog(); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want a timeout", err)
			}
			return
		}
	}
	t.Error("a queue that nobody reads took 10000 messages")
}

func TestWatchdogInterval(t *testing.T) {
	mine := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		about, usec, pid string
		want             time.Duration
	}{
		{"for this process", "30000000", mine, 15 * time.Second},
		{"for the unit", "30000000", "", 15 * time.Second},
		{"for a parent", "30000000", "1", 0},
		{"off", "", mine, 0},
		{"zero", "0", mine, 0},
		{"negative", "-5", mine, 0},
		{"no number", "30s", mine, 0},
		{"too large", "9223372036854775807", mine, 0},
	} {
		n := New(env(map[string]string{"WATCHDOG_USEC": tt.usec, "WATCHDOG_PID": tt.pid}))
		if got, ok := n.WatchdogInterval(); got != tt.want || ok != (tt.want > 0) {
			t.Errorf("%s: got %s, %t, want %s", tt.about, got, ok, tt.want)
		}
	}
}
