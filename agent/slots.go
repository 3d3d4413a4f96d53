package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"enid/netcfg"
)

// slotsFile keeps the slots across reboots, so that an ENI's tables and priorities stay.
type slotsFile struct {
	path  string
	saved netcfg.Slots
}

type slotsDocument struct {
	Version int          `json:"version"`
	Slots   netcfg.Slots `json:"slots"`
}

// load reads the file. One that is missing or unreadable is the same as an empty one: the kernel is asked
// for what it remembers, and at a fresh boot any slot will do. The error says so.
func (f *slotsFile) load() (netcfg.Slots, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return netcfg.Slots{}, nil
	}
	var d slotsDocument
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err == nil && d.Version != 1 {
		err = fmt.Errorf("version %d is not known to this enid", d.Version)
	}
	if err == nil {
		err = d.Slots.Check()
	}
	if err != nil {
		return netcfg.Slots{}, fmt.Errorf("slots of earlier runs are lost, new ones are given: %s: %w", f.path, err)
	}
	f.saved = d.Slots
	return maps.Clone(d.Slots), nil
}

// save writes the slots if they differ from what is in the file.
func (f *slotsFile) save(s netcfg.Slots) error {
	if maps.Equal(s, f.saved) {
		return nil
	}
	data, err := json.MarshalIndent(slotsDocument{1, s}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	temporary := f.path + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	if err := os.Rename(temporary, f.path); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	f.saved = maps.Clone(s)
	return nil
}
