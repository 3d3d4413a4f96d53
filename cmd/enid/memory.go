package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"enid/systemd"
)

// collectAt is the growth of the heap, in percent, at which the daemon collects garbage. Its live
// heap is below 1 MiB, which Go lets grow to 4 by default and to 2 with this; at 25 nothing more is
// gained. GOGC in the environment goes before it.
const collectAt = 50

// lean makes the daemon small: it is on every host of a fleet, and nearly always idle.
func lean() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
}

// starter tells the service manager how the daemon does, and lets go of what only its start
// has needed when that is done.
type starter struct{ *systemd.Notifier }

// Ready is told after the start and after each reload.
func (s starter) Ready() error {
	giveBack()
	return s.Notifier.Ready()
}

// giveBack takes the pages of the program's own file out of this process. The start touches
// nearly all of them: initialisation, command line, YAML. What is needed again comes back from the
// kernel's page cache at the cost of some page faults. Where it does not work, nothing is lost.
func giveBack() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		// from-to permissions offset device inode path
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[5] != self || strings.Contains(fields[1], "w") {
			continue // what was written to exists only here
		}
		var from, to uintptr
		if n, _ := fmt.Sscanf(fields[0], "%x-%x", &from, &to); n == 2 {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
