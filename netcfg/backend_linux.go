package netcfg

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"
)

// The two implementations of iptables, as its own --version calls them. Each has tables of its own in
// the kernel, and a packet goes through both.
const (
	backendNFT    = "nf_tables"
	backendLegacy = "legacy"
)

// lockWait is how many seconds an iptables command waits for another's to end.
const lockWait = 5

// program is one installed iptables: the command of a backend and a family.
type program struct {
	path    string
	backend string
	family  Family
}

// programs are the installed commands by backend and family.
type programs map[string]map[Family]program

// command is a name under which iptables may be installed, and the file that it stands for now.
type command struct {
	family     Family
	name, file string
}

// installedCommands are those that are there, the ones that name their backend first: such a name
// always means the same.
func installedCommands() (found []command) {
	for _, f := range []Family{V4, V6} {
		for _, suffix := range []string{"-nft", "-legacy", ""} {
			path, err := exec.LookPath(f.iptables() + suffix)
			if err != nil {
				continue
			}
			if file, err := filepath.EvalSymlinks(path); err == nil {
				found = append(found, command{f, path, file})
			}
		}
	}
	return found
}

// programsOf are the programs behind commands, and the backend of plain iptables, "" for none. A
// backend without IPv4 is none.
func programsOf(installed []command) (found programs, preferred string) {
	found = programs{}
	for _, c := range installed {
		backend := c.backend(installed)
		if backend == "" {
			continue
		}
		if found[backend] == nil {
			found[backend] = map[Family]program{}
		}
		if _, known := found[backend][c.family]; !known {
			found[backend][c.family] = program{c.name, backend, c.family}
		}
		if filepath.Base(c.name) == V4.iptables() {
			preferred = backend
		}
	}
	maps.DeleteFunc(found, func(_ string, byFamily map[Family]program) bool { _, ok := byFamily[V4]; return !ok })
	return found, preferred
}

// backend is the one that a command's name says, or that of another command which is the same file.
// Only where neither helps it is asked.
func (c command) backend(installed []command) string {
	switch {
	case strings.HasSuffix(c.name, "-nft"):
		return backendNFT
	case strings.HasSuffix(c.name, "-legacy"):
		return backendLegacy
	}
	for _, other := range installed {
		if other.file == c.file && other.name != c.name && strings.Contains(filepath.Base(other.name), "-") {
			return other.backend(nil)
		}
	}
	version, err := exec.Command(c.name, "--version").Output()
	switch {
	case err != nil:
		return "" // it does not even start
	case bytes.Contains(version, []byte("("+backendNFT+")")):
		return backendNFT
	}
	return backendLegacy // before 1.8 there was no other, and it does not say so
}

// open is the program behind go-iptables.
func (p program) open() (*iptables.IPTables, error) {
	protocol := iptables.ProtocolIPv4
	if p.family == V6 {
		protocol = iptables.ProtocolIPv6
	}
	t, err := iptables.New(iptables.IPFamily(protocol), iptables.Path(p.path), iptables.Timeout(lockWait))
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", p.path, err)
	}
	return t, nil
}

// save is what is in the backend's tables of a family, or in one of them. It makes no table: a legacy
// one is asked for only where the kernel says that it is there.
func (p program) save(only ...string) (ruleset, error) {
	command := exec.Command(p.path + "-save")
	for _, table := range only {
		tables, err := legacyTables(p.family)
		if err != nil {
			return nil, err
		}
		if p.backend == backendLegacy && !slices.Contains(tables, table) {
			return ruleset{}, nil
		}
		command.Args = append(command.Args, "-t", table)
	}
	var complaint strings.Builder
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("read the rules of iptables: %s: %w %s", command.Path, err, strings.TrimSpace(complaint.String()))
	}
	return parseRuleset(string(output)), nil
}

// hasIPv6 reports whether the kernel does IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat(sysctls + "ipv6")
	return err == nil
}

// legacyTables are the legacy tables that this network namespace has, which the kernel makes when
// somebody asks for one.
func legacyTables(f Family) ([]string, error) {
	name := "ip_tables_names"
	if f == V6 {
		name = "ip6_tables_names"
	}
	content, err := os.ReadFile("/proc/thread-self/net/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("which legacy iptables tables are there: %w", err)
	}
	tables := strings.Fields(string(content))
	slices.Sort(tables)
	return tables, nil
}

// legacySize is how much is in a legacy table: it tells most changes without a process.
type legacySize struct {
	family        Family
	table         string
	entries, size uint32
	bare          bool // nothing but the policies of its built-in chains
}

// legacySizes asks for every legacy table that is there. Without CAP_NET_ADMIN that is an error.
func legacySizes() ([]legacySize, error) {
	var sizes []legacySize
	for _, f := range []Family{V4, V6} {
		tables, err := legacyTables(f)
		if err != nil {
			return nil, err
		}
		for _, table := range tables {
			s, err := askLegacySize(f, table)
			if err != nil {
				return nil, fmt.Errorf("how much is in the legacy iptables table %s: %w", table, err)
			}
			sizes = append(sizes, s)
		}
	}
	return sizes, nil
}

// tableInfo is struct ipt_getinfo of linux/netfilter_ipv4/ip_tables.h, and ip6t_getinfo.
type tableInfo struct {
	name           [32]byte
	validHooks     uint32
	hookEntry      [5]uint32
	underflow      [5]uint32
	entries, bytes uint32
}

// askLegacySize is getsockopt(IPT_SO_GET_INFO); both families have the number 64.
func askLegacySize(f Family, table string) (legacySize, error) {
	level, domain := unix.SOL_IP, unix.AF_INET
	if f == V6 {
		level, domain = unix.SOL_IPV6, unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return legacySize{}, err
	}
	defer func() { _ = unix.Close(fd) }()
	const getInfo = 64
	var info tableInfo
	copy(info.name[:len(info.name)-1], table)
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), getInfo,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return legacySize{}, errno
	}
	hooks := uint32(0)
	for h := info.validHooks; h != 0; h &= h - 1 {
		hooks++
	}
	return legacySize{f, table, info.entries, info.bytes, info.entries == hooks+1}, nil // each policy, and the end
}
