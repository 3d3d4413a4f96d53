package rig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/lab"
)

// Machine is the VM of an instance.
type Machine struct {
	VM       *lab.Host
	Instance string
	Primary  cloud.ENI
	Dir      string    // configuration, runtime and state directories of this VM's enid
	Output   io.Writer // gets what its enids write as well; nil: nobody

	site    *Site
	names   int
	allowed map[metadata.MAC][]netip.Prefix
	daemons []*Daemon
}

// dhcp gives the primary NIC the primary address of each family and a default route. On Compute Engine the address
// stands alone.
func (m *Machine) dhcp() error {
	for _, p := range m.Primary.Subnets {
		i := slices.IndexFunc(m.Primary.Addresses, p.Contains)
		if i < 0 {
			continue
		}
		a := m.Primary.Addresses[i]
		bits := p.Bits()
		if m.site.Dialect == cloud.GCP {
			bits = a.BitLen()
		}
		if err := m.site.Lab.VMPrimary(m.VM, netip.PrefixFrom(a, bits), p.Addr().Next()); err != nil {
			return err
		}
	}
	return nil
}

// configure writes the VM's configuration file.
func (m *Machine) configure() error {
	for _, d := range []string{"run", "state", "overlay"} {
		if err := os.MkdirAll(filepath.Join(m.Dir, d), 0o755); err != nil {
			return err
		}
	}
	more := ""
	if m.site.Dialect == cloud.File {
		more = "\n  file: " + m.DocumentFile()
	}
	if m.site.DetachAfter > 0 {
		more += "\n  detach_after: " + m.site.DetachAfter.String()
	}
	if m.site.openAPI != "" {
		more += "\n  openapi: " + m.site.openAPI
	}
	return m.WriteConfig(fmt.Sprintf("metadata:\n  provider: %s\n  poll: %s\n  overlay: %s%s\nhttp: \"\"\nruntime_dir: %s\nstate_dir: %s\n%s",
		m.site.Dialect, cmp.Or(m.site.Poll, defaultPoll), filepath.Join(m.Dir, "overlay"), more,
		filepath.Join(m.Dir, "run"), filepath.Join(m.Dir, "state"), m.site.Config))
}

// ConfigFile is the VM's configuration file.
func (m *Machine) ConfigFile() string { return filepath.Join(m.Dir, "enid.yaml") }

// DocumentFile is the interfaces document of the file provider.
func (m *Machine) DocumentFile() string { return filepath.Join(m.Dir, "interfaces.yaml") }

// WriteConfig replaces the configuration file in one step.
func (m *Machine) WriteConfig(text string) error { return replace(m.ConfigFile(), []byte(text)) }

func replace(file string, data []byte) error {
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// WriteDocument writes the interfaces document of the file provider as the cloud has it.
func (m *Machine) WriteDocument() error {
	data, err := m.site.Cloud.Document(m.Instance)
	if err != nil {
		return err
	}
	return replace(m.DocumentFile(), data)
}

// follow does to the VM what the cloud did to its instance.
func (m *Machine) follow(e cloud.Event) error {
	var err error
	switch e.Kind {
	case cloud.Attached:
		if !m.site.followsByHand() {
			err = m.Plug(e.ENI)
		}
	case cloud.Detached:
		if !m.site.followsByHand() {
			err = m.Unplug(e.ENI.MAC)
		}
	case cloud.Addresses:
		// A released address stays allowed on its own port: the VM learns of the release only
		// after the cloud, and what matters is that nothing leaves by another port.
		err = errors.Join(m.site.Lab.SetAllowed(e.ENI.MAC, m.everAllowed(e.ENI)), m.own(e.ENI))
	}
	if err == nil {
		err = m.documents()
	}
	return err
}

// documents writes what this VM is told by files.
func (m *Machine) documents() error {
	switch {
	case m.site.Dialect == cloud.File:
		return m.WriteDocument()
	case m.site.Overlay:
		return replace(filepath.Join(m.Dir, "overlay", "cloud.yaml"), m.overlay())
	}
	return nil
}

// linkLocalGateway is the IPv6 gateway of every subnet of the laboratory.
const linkLocalGateway = "fe80::1"

// overlay lists the addresses of every ENI and where they are, as an operator would: the rest is in the metadata.
func (m *Machine) overlay() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "interfaces:")
	for _, e := range m.site.Cloud.Describe(m.Instance) {
		fmt.Fprintf(&b, "  - mac: %q\n    subnets:\n", e.MAC)
		for _, p := range e.Subnets {
			fmt.Fprintf(&b, "      - %q\n", p)
		}
		fmt.Fprintf(&b, "    gateway:\n      - %q\n", e.Gateway)
		if len(e.Subnets) > 1 {
			fmt.Fprintf(&b, "      - %q\n", linkLocalGateway)
		}
		fmt.Fprintln(&b, "    addresses:")
		for _, a := range e.Addresses {
			fmt.Fprintf(&b, "      - %q\n", a)
		}
	}
	return b.Bytes()
}

// PID is the process of the newest enid, 0 for none.
func (m *Machine) PID() int {
	if len(m.daemons) == 0 {
		return 0
	}
	return m.daemons[len(m.daemons)-1].PID()
}

func (m *Machine) kill() {
	for _, d := range m.daemons {
		if !d.Ended() {
			d.Kill()
		}
	}
}
