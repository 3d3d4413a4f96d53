package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctls is where the kernel shows the settings of the calling thread's network
// namespace.
const sysctls = "/proc/sys/net/"

// knob reads the present value; not ok where the kernel has no such setting.
func knob(l Link, k Knob) (value string, ok bool, err error) {
	switch k {
	case LinkUp:
		if l.Up {
			return "1", true, nil
		}
		return "0", true, nil
	case LinkGroup:
		return strconv.FormatUint(uint64(l.Group), 10), true, nil
	case LinkMTU:
		return strconv.Itoa(l.MTU), true, nil
	}
	if l.Name == "all" || l.Name == "default" {
		return "", false, nil // not this NIC's but every NIC's: the kernel gives it none
	}
	value, err = readSysctl(l.Name, k)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return value, err == nil, err
}

// readSysctl spares the poller, which os.ReadFile would ask to watch the file: a pass
// reads dozens of these.
func readSysctl(dev string, k Knob) (string, error) {
	path := sysctls + k.Path(dev)
	fd, err := retryEINTR(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	var buf [64]byte // a number and a line feed
	n, err := retryEINTR(func() (int, error) { return unix.Read(fd, buf[:]) })
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return strings.TrimSpace(string(buf[:n])), nil
}

// observeForwarding reads the host's settings that decide about a return path. A kernel without
// IPv6 forwards none.
func (h *Host) observeForwarding() error {
	h.Forwards = map[Family]bool{}
	for f, k := range map[Family]Knob{V4: "ipv4/conf/*/forwarding", V6: "ipv6/conf/*/forwarding"} {
		value, err := readSysctl("all", k)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read whether the host forwards: %w", err)
		}
		h.Forwards[f] = err == nil && value != "0"
	}
	value, err := readSysctl("all", RPFilter)
	if err != nil {
		return fmt.Errorf("read the strictest rp_filter: %w", err)
	}
	h.StrictAll = value
	return nil
}

// writeSysctl never creates a file: that would turn "no such setting" into
// "permission denied".
func writeSysctl(dev string, s Setting) error {
	file, err := os.OpenFile(sysctls+s.Knob.Path(dev), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(s.Value)
	return errors.Join(err, file.Close())
}
