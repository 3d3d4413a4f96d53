package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Neighbours tells the other network managers of a host to leave ENIs alone, by files of enid's own in
// the folders that these managers read for the time until the next boot. They read them when
// they start or are reloaded, systemd-networkd also for a NIC that is new; enid never makes them.
type Neighbours struct {
	Run string // /run
}

// header is the first line of each file that is ours. A file without it is somebody else's.
const header = "# Written by enid, for ENIs that it manages; neighbours: off in enid.yaml removes it.\n"

// networkdName is the name of a file for one MAC address. Of all files that match a NIC networkd takes
// the first by name (systemd.network(5)), and netplan's begin with 10.
const networkdName = "05-enid-%s.network"

// halfName is a file before it is whole. No manager reads a name like this.
const halfName = ".enid.new"

// Spare makes the files say that the NICs with these permanent MAC addresses, as six pairs of hex digits with
// colons, are to be left alone, and no others. A manager that is not on the host gets none. Files that
// are not enid's stay as they are; one that has the place of ours is an error.
func (n Neighbours) Spare(macs []string) error {
	return errors.Join(n.networkd(macs), n.networkManager(macs))
}

// networkd writes one file a MAC: a file that matches more than one could only be replaced as a whole.
func (n Neighbours) networkd(macs []string) error {
	dir := filepath.Join(n.Run, "systemd/network")
	wanted := map[string]string{}
	if isDir(dir) || isDir(filepath.Join(n.Run, "systemd/netif")) { // networkd runs, or somebody writes for it
		for _, mac := range macs {
			wanted[filepath.Join(dir, fmt.Sprintf(networkdName, strings.ReplaceAll(mac, ":", "-")))] = networkdFile(mac)
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf(networkdName, "*")))
	return errors.Join(err, replace(dir, wanted, old))
}

// networkdFile leaves alone the NIC that has this MAC from its maker: a VLAN or macvlan on it has the
// same present address, but no permanent one (PermanentMACAddress= of systemd.network(5)).
func networkdFile(mac string) string {
	return header + "\n[Match]\nPermanentMACAddress=" + mac + "\n\n[Link]\nUnmanaged=yes\n"
}

func (n Neighbours) networkManager(macs []string) error {
	dir := filepath.Join(n.Run, "NetworkManager/conf.d")
	file := filepath.Join(dir, "50-enid.conf")
	wanted := map[string]string{}
	if isDir(filepath.Dir(dir)) && len(macs) > 0 {
		wanted[file] = networkManagerFile(macs)
	}
	return replace(dir, wanted, []string{file})
}

// networkManagerFile adds to the devices that are not managed. Each entry of the list matches by itself
// (NetworkManager.conf(5), device list format), so there is nothing but permanent MAC addresses in it: a
// driver beside them would match the primary too.
func networkManagerFile(macs []string) string {
	entries := make([]string, len(macs))
	for i, mac := range macs {
		entries[i] = "mac:" + mac
	}
	return header + "\n[keyfile]\nunmanaged-devices+=" + strings.Join(entries, ",") + "\n"
}

// replace makes the wanted files the only ones of ours among them and the old ones.
func replace(dir string, wanted map[string]string, old []string) error {
	var errs []error
	for _, file := range old {
		if _, stays := wanted[file]; !stays {
			errs = append(errs, remove(file))
		}
	}
	for _, file := range slices.Sorted(maps.Keys(wanted)) {
		errs = append(errs, write(file, wanted[file]))
	}
	if err := os.Remove(filepath.Join(dir, halfName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, hint(err)) // left by an enid that was killed
	}
	return errors.Join(errs...)
}

// write puts a file in its place in one step, unless it is there already.
func write(file, text string) error {
	present, err := os.ReadFile(file)
	switch {
	case err == nil && string(present) == text:
		return nil
	case err == nil && !bytes.HasPrefix(present, []byte(header)):
		return fmt.Errorf("%s is not enid's, so a network manager may still take the ENI for its own; move it away, or set neighbours: off", file)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return hint(err)
	}
	half := filepath.Join(filepath.Dir(file), halfName)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return hint(err)
	}
	if err := os.WriteFile(half, []byte(text), 0o644); err != nil {
		return hint(err)
	}
	if err := os.Rename(half, file); err != nil {
		return hint(err)
	}
	return nil
}

// remove removes a file that is ours.
func remove(file string) error {
	present, err := os.ReadFile(file)
	if err == nil && bytes.HasPrefix(present, []byte(header)) {
		err = os.Remove(file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hint(err)
	}
	return nil
}

// hint says what an error means to whom.
func hint(err error) error {
	return fmt.Errorf("tell the other network managers to leave the ENIs alone: %w; let enid write there, or set neighbours: off", err)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
