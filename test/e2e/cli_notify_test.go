package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// manager is a service manager's end of the notify socket.
type manager struct {
	socket string
	mu     sync.Mutex
	got    []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir := must1[string](t)(os.MkdirTemp("", "enid")) // t.TempDir is too long for a socket
	m := &manager{socket: filepath.Join(dir, "notify")}
	conn := must1[*net.UnixConn](t)(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"}))
	t.Cleanup(func() { _ = conn.Close(); _ = os.RemoveAll(dir) })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.got = append(m.got, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *manager) messages() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

// count is how many messages begin like this.
func (m *manager) count(prefix string) int {
	n := 0
	for _, s := range m.messages() {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// The service manager hears READY only after the first converged pass, a sentence that a person
// can use, that the loop is alive, that a reload is under way and done, and the end.
func TestCLINotify(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	attach(t, r, "subnet-b", 2)
	must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 500}))
	m := newManager(t)
	d := inVM(t, r, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+m.socket, "WATCHDOG_USEC=200000")
	}, r.Enid, "run", "--config", r.ConfigFile())
	await(t, r, func(s *agent.Status) bool { return s.Metadata.Error != "" })
	eventually(t, "the outage is not told", func() bool { return m.count("STATUS=0 ENIs configured, the metadata does not answer") > 0 })
	eventually(t, "no watchdog ping", func() bool { return m.count("WATCHDOG=1") > 2 })
	must(t, d.cmd.Process.Signal(unix.SIGHUP))
	pings := m.count("WATCHDOG=1")
	eventually(t, "no watchdog ping after SIGHUP", func() bool { return m.count("WATCHDOG=1") > pings+1 })
	if m.count("READY=1") > 0 {
		t.Errorf("ready before the metadata has answered: %q", m.messages())
	}
	r.Cloud.ClearFault()
	eventually(t, "not ready", func() bool { return m.count("READY=1") == 1 })
	if s := must1[*agent.Status](t)(r.Status(t.Context())); !s.Converged || !s.Metadata.OK || len(s.ENIs) != 2 {
		t.Errorf("ready, and the status is %+v", s)
	}
	eventually(t, "no sentence", func() bool { return m.count("STATUS=2 ENIs configured") > 0 })

	// Also where nothing has changed: whoever asked for the reload waits for its end.
	must(t, d.cmd.Process.Signal(unix.SIGHUP))
	eventually(t, "no end of the reload", func() bool { return m.count("RELOADING=1\nMONOTONIC_USEC=") == 1 && m.count("READY=1") == 2 })
	edit(t, r, "poll: 1s", "poll: 2s")
	eventually(t, "no end of the reload", func() bool { return m.count("RELOADING=1\nMONOTONIC_USEC=") >= 2 && m.count("READY=1") >= 3 })
	pings = m.count("WATCHDOG=1")
	eventually(t, "no watchdog ping after the reload", func() bool { return m.count("WATCHDOG=1") > pings+1 })
	must(t, d.cmd.Process.Signal(unix.SIGTERM))
	d.wait().ends(t, 0)
	eventually(t, "the end is not told", func() bool { return m.count("STOPPING=1") == 1 })
}
