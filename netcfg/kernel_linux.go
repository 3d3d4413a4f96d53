package netcfg

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel reads and changes one network namespace. Observe and Apply are for one
// goroutine; Watch may run beside them.
type Kernel struct {
	conn   *conn
	watch  *watcher
	file   recordFile
	record record
	why    error // why the record is not what the file holds

	main      mainRoutes
	mainReads int // dumps of main: what a pass costs on a host with many routes

	firewall  firewall
	announcer announcer
}

// NewKernel opens the network namespace of the calling thread. It needs no
// privilege; only Apply needs CAP_NET_ADMIN. runtimeDir holds the record of ownership
// (record.json), which is read here and written by Apply; see RecordProblem.
func NewKernel(runtimeDir string) (*Kernel, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("which boot is this: %w", err)
	}
	namespace, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("which network namespace is this: %w", err)
	}
	c, err := openConn()
	if err != nil {
		return nil, err
	}
	w, err := newWatcher()
	if err != nil {
		c.close()
		return nil, err
	}
	w.own = c.port()
	k := &Kernel{conn: c, watch: w, firewall: newFirewall(), announcer: newAnnouncer(), file: recordFile{
		path: filepath.Join(runtimeDir, "record.json"), boot: strings.TrimSpace(string(boot)), namespace: namespace}}
	k.record, k.why = k.file.load()
	return k, nil
}

// MayChange says what this process lacks to change the network, nil for nothing. It is asked
// before anything is done: root without the capability could still write sysctls, and
// would stop half way.
func MayChange() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("which capabilities has this process: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("to change the network %w", advise(fmt.Errorf("is not permitted: %w", unix.EPERM)))
	}
	return nil
}

// Close ends a running Watch and releases the sockets. What is in the kernel and
// in the record stays.
func (k *Kernel) Close() {
	k.conn.close()
	k.watch.close()
	k.firewall.events.close()
	k.announcer.close()
}

// Protos are the protocol numbers that ever marked rules and routes of ours since
// boot, for Scope.Protos.
func (k *Kernel) Protos() []int { return slices.Sorted(maps.Keys(k.record.protocols)) }

// RecordProblem says why the record of ownership is not the one in the runtime
// directory: it was of another boot or namespace, damaged, not readable, or could
// not be written. Nil when it is, which a successful Apply makes so.
func (k *Kernel) RecordProblem() error { return k.why }

// save writes the record where it changed.
func (k *Kernel) save(r record) error {
	k.why = k.file.save(r)
	return k.why
}
