// Package systemd is enid's side of the service manager: the notify protocol and the
// journal's levels. The unit and the configuration file of the packages are here too.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier tells the service manager how the daemon is, in the protocol of
// sd_notify(3). Where nobody listens (NOTIFY_SOCKET is not set) every call does
// nothing. It may be used by several goroutines.
type Notifier struct {
	socket   string
	interval time.Duration // between two pings, 0 without a watchdog

	mu     sync.Mutex
	status string // the last one sent
}

// New reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; getenv is os.Getenv but in
// tests.
func New(getenv func(string) string) *Notifier {
	return &Notifier{
		socket:   getenv("NOTIFY_SOCKET"),
		interval: watchdogInterval(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")),
	}
}

// Ready says that start or reload is done.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Stopping says that the daemon is on its way out.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Reloading says that a new configuration is being read; Ready ends it. The time lets
// Type=notify-reload (systemd 253) tell this reload from one that it did not ask for.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the monotonic clock for the service manager: %w", err)
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// Status shows a sentence in systemctl status. It is sent only when it is another one
// than before.
func (n *Notifier) Status(text string) error {
	text = strings.Join(strings.Fields(text), " ") // a line break would begin another assignment
	n.mu.Lock()
	defer n.mu.Unlock()
	if text == n.status {
		return nil
	}
	if err := n.send("STATUS=" + text); err != nil {
		return err
	}
	n.status = text
	return nil
}

// Watchdog says that the daemon is alive.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// WatchdogInterval is how often to call Watchdog: twice in the time that the service
// manager allows. It is false where no watchdog waits for this process.
func (n *Notifier) WatchdogInterval() (time.Duration, bool) { return n.interval, n.interval > 0 }

// ExtendTimeout asks for d from now on to finish a start, reload or stop.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

// send dials each time: messages are rare, and the manager may be executed anew with
// another socket of the same name.
func (n *Notifier) send(message string) error {
	if n.socket == "" {
		return nil
	}
	if err := sendTo(n.socket, message); err != nil {
		assignment, _, _ := strings.Cut(message, "\n")
		return fmt.Errorf("tell the service manager %s at NOTIFY_SOCKET %s: %w", assignment, n.socket, err)
	}
	return nil
}

func sendTo(socket, message string) error {
	if socket[0] != '/' && socket[0] != '@' {
		return errors.New("not a path and not an abstract name; run enid as a service, or unset NOTIFY_SOCKET")
	}
	// Package net takes a leading @ for an abstract name, as sd_notify does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	// The queue of a manager that hangs fills up, and then a write would wait for it.
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

// watchdogInterval is as of sd_watchdog_enabled(3): a pid that is not ours means that
// the variables were inherited from a service that we are not.
func watchdogInterval(usec, pid string) time.Duration {
	if pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(time.Duration(1<<63-1)/time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond / 2
}
