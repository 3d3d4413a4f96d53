package rig

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"

	"enid/metadata"
	"enid/test/cloud"
)

func (s *Site) isOff(instance string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, off := s.off[instance]
	return off
}

// boot makes the VM of an instance, its primary ENI configured as DHCP would do it. disk is the directory that it had
// before, "" for a new instance.
func (s *Site) boot(e cloud.Event, disk string) (err error) {
	fresh := disk == ""
	if fresh {
		if disk, err = os.MkdirTemp("", "enid-rig"); err != nil {
			return err
		}
	}
	m := &Machine{site: s, Instance: e.Instance, Dir: disk, Primary: e.ENI, allowed: map[metadata.MAC][]netip.Prefix{}}
	if m.VM, err = s.Lab.VM(e.Instance); err != nil {
		return err
	}
	s.mu.Lock()
	s.machines[e.Instance] = m
	delete(s.off, e.Instance)
	s.mu.Unlock()
	if err := errors.Join(m.Plug(e.ENI), m.dhcp()); err != nil {
		return err
	}
	if fresh {
		if err := m.configure(); err != nil {
			return err
		}
	}
	return m.documents()
}

// started tells of a VM that has come up.
func (s *Site) started(instance string) error {
	if s.Booted == nil {
		return nil
	}
	return s.Booted(s.Machine(instance))
}

// powerOn boots an instance that was stopped, with all its ENIs and its disk. What is in the runtime directory did
// not outlive the stop.
func (s *Site) powerOn(e cloud.Event) error {
	s.mu.Lock()
	disk := s.off[e.Instance]
	s.mu.Unlock()
	if disk != "" {
		run := filepath.Join(disk, "run")
		if err := errors.Join(os.RemoveAll(run), os.Mkdir(run, 0o755)); err != nil {
			return err
		}
	}
	if err := s.boot(e, disk); err != nil {
		return err
	}
	m := s.Machine(e.Instance)
	for _, other := range s.Cloud.Describe(e.Instance) {
		if !other.Primary && !s.followsByHand() {
			if err := m.Plug(other); err != nil {
				return err
			}
		}
	}
	return s.started(e.Instance)
}

// powerOff ends the VM of an instance that is stopped, as the power cut does. Its disk stays.
func (s *Site) powerOff(m *Machine) error {
	s.mu.Lock()
	delete(s.machines, m.Instance)
	s.off[m.Instance] = m.Dir
	s.mu.Unlock()
	m.kill()
	var errs []error
	for _, e := range s.Cloud.Describe(m.Instance) {
		if m.NIC(e.MAC) != "" {
			errs = append(errs, m.Unplug(e.MAC))
		}
	}
	return errors.Join(append(errs, s.Lab.Remove(m.VM))...)
}

// end stops the VM of an instance that was terminated.
func (s *Site) end(m *Machine) error {
	s.mu.Lock()
	delete(s.machines, m.Instance)
	s.mu.Unlock()
	m.kill()
	return errors.Join(m.Unplug(m.Primary.MAC), s.Lab.Remove(m.VM), os.RemoveAll(m.Dir))
}

// forget drops what is left of a stopped instance that was terminated.
func (s *Site) forget(instance string) error {
	s.mu.Lock()
	disk := s.off[instance]
	delete(s.off, instance)
	s.mu.Unlock()
	if disk == "" {
		return nil
	}
	return os.RemoveAll(disk)
}
