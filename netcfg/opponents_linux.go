package netcfg

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Opponent is somebody else who removed objects of ours: rules and routes of our protocols,
// addresses from our NICs. The kernel's events tell who asked for a change by the port id of
// the netlink socket (nlmsg_pid of netlink(7)), which is the process id as a rule.
type Opponent struct {
	// Name is the process's; "" where it had ended before it could be asked, is in a container, or
	// used a socket that is not its first, whose port id is one of chance (ip rule flush does).
	Name      string
	PID       int // the last one's, its port id where there is no name, 0 for the kernel itself
	Processes int // how many different ones of this name were seen in a row
	Removed   int // objects
}

// KernelItself is the Name of an Opponent without a process: a NIC was set down or removed, or an IPv6
// address went, of which the kernel does not tell who asked for it.
const KernelItself = "the kernel itself"

// forgetAfter is how long an opponent must have been quiet to be counted anew.
const forgetAfter = time.Minute

// mostOpponents bounds what is remembered. More names than that do not fight at a time.
const mostOpponents = 16

// opponents remembers who removed objects of ours lately.
type opponents struct {
	mu   sync.Mutex
	seen []sighting
	// port and name are the last ones: who removes much at a time is asked for its name once.
	port uint32
	name string
}

type sighting struct {
	Opponent
	last time.Time
}

// Opponents are those who removed objects of ours since then while Watch ran, the busiest first.
// It may be called beside Watch.
func (k *Kernel) Opponents(since time.Time) []Opponent { return k.watch.opponents.since(since) }

func (o *opponents) since(t time.Time) (found []Opponent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.seen {
		if !s.last.Before(t) {
			found = append(found, s.Opponent)
		}
	}
	slices.SortStableFunc(found, func(a, b Opponent) int { return b.Removed - a.Removed })
	return found
}

// note counts a removal by the owner of a port.
func (o *opponents) note(port uint32, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.seen, func(s sighting) bool { return s.Name == o.name })
	if port != o.port || i < 0 || now.Sub(o.seen[i].last) > forgetAfter {
		pid := 0
		pid, o.name = owner(port)
		o.port = port
		i = o.meet(pid, now)
	}
	o.seen[i].Removed++
	o.seen[i].last = now
}

// meet finds or makes the entry of the present name, and returns its place.
func (o *opponents) meet(pid int, now time.Time) int {
	i := slices.IndexFunc(o.seen, func(s sighting) bool { return s.Name == o.name })
	if i < 0 {
		if len(o.seen) == mostOpponents {
			oldest := slices.MinFunc(o.seen, func(a, b sighting) int { return a.last.Compare(b.last) })
			o.seen = slices.DeleteFunc(o.seen, func(s sighting) bool { return s.Name == oldest.Name })
		}
		o.seen = append(o.seen, sighting{Opponent: Opponent{Name: o.name}})
		i = len(o.seen) - 1
	}
	s := &o.seen[i]
	if now.Sub(s.last) > forgetAfter {
		s.Opponent = Opponent{Name: o.name}
	}
	if s.Processes == 0 || s.PID != pid {
		s.PID = pid
		s.Processes++
	}
	return i
}

// libnlBits are the bits of a port id in which libnl 3 puts the process id; the others tell its
// sockets apart (generate_local_port in its socket.c).
const libnlBits = 1<<22 - 1

// owner is the process behind a port id, as far as /proc shows it without a privilege. A process in
// a process namespace of its own (a container) bears the number that it has there. So
// numbers that are a kernel thread's or init's here are taken for such ones.
func owner(port uint32) (pid int, name string) {
	if port == 0 {
		return 0, KernelItself
	}
	for _, pid := range []uint32{port, port & libnlBits} {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		comm, missing := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if pid > 1 && err == nil && missing == nil && len(bytes.Trim(command, "\x00")) > 0 {
			return int(pid), strings.TrimSpace(string(comm))
		}
	}
	return int(port), ""
}

// removes reports whether an event tells that something went that is ours, or may be.
func (i interest) removes(m message) bool {
	switch m.typ {
	case unix.RTM_DELRULE:
		r, ok := parseRule(m.body)
		return ok && slices.Contains(i.protos, r.Proto)
	case unix.RTM_DELROUTE:
		r, ok := parseRoute(m.body)
		return ok && slices.Contains(i.protos, r.Proto)
	case unix.RTM_DELADDR:
		return len(m.body) >= unix.SizeofIfAddrmsg && slices.Contains(i.nics, int(u32(m.body[4:])))
	}
	return false
}
