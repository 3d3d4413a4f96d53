package rig

import (
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/lab"
)

func (s *Site) followsByHand() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byHand
}

// Plug makes an ENI's NIC appear in the VM.
func (m *Machine) Plug(e cloud.ENI) error {
	subnet, err := m.site.AddSubnet(e.SubnetID, e.Subnets...)
	if err != nil {
		return err
	}
	m.site.mu.Lock()
	name := fmt.Sprintf("eth%d", m.names)
	m.names++
	m.site.mu.Unlock()
	if err := m.site.Lab.Plug(m.VM, lab.NIC{Name: name, MAC: e.MAC, Subnet: subnet, Allowed: m.everAllowed(e), MTU: e.MTU}); err != nil {
		return err
	}
	return m.own(e)
}

// own tells the fabric which addresses are an ENI's: it has no other way to know. Ranges are routed to the first.
func (m *Machine) own(e cloud.ENI) error {
	return m.site.Lab.SetOwner(e.MAC, slices.Concat(e.Addresses, e.Forwarded))
}

// Unplug removes an ENI's NIC.
func (m *Machine) Unplug(mac metadata.MAC) error {
	m.site.mu.Lock()
	delete(m.allowed, mac)
	m.site.mu.Unlock()
	return m.site.Lab.Unplug(mac)
}

// everAllowed are the sources that an ENI has, and had since it was attached.
func (m *Machine) everAllowed(e cloud.ENI) []netip.Prefix {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()
	all := m.allowed[e.MAC]
	for _, a := range slices.Concat(e.Addresses, e.Forwarded) {
		if p := netip.PrefixFrom(a, a.BitLen()); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	for _, p := range slices.Concat(e.Prefixes, e.Aliases) {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	m.allowed[e.MAC] = all
	return all
}

// NIC is the name of an ENI's NIC in the VM, "" while it is not there.
func (m *Machine) NIC(mac metadata.MAC) string {
	links, err := m.VM.Netlink().LinkList()
	if err != nil {
		return ""
	}
	for _, l := range links {
		if l.Attrs().HardwareAddr.String() == mac.String() {
			return l.Attrs().Name
		}
	}
	return ""
}
