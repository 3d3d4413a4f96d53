package rig

import (
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/lab"
)

// NICsByHand makes NICs come and go by Plug and Unplug alone, or by the cloud again.
func (r *Rig) NICsByHand(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byHand = on
}

func (r *Rig) followsByHand() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byHand
}

// Plug makes an ENI's NIC appear in the VM.
func (r *Rig) Plug(e cloud.ENI) error {
	r.mu.Lock()
	name := fmt.Sprintf("eth%d", r.names)
	r.names++
	r.mu.Unlock()
	return r.Lab.Plug(r.VM, lab.NIC{Name: name, MAC: e.MAC, Subnet: r.subnets[e.SubnetID], Allowed: r.everAllowed(e), MTU: e.MTU})
}

// Unplug removes an ENI's NIC.
func (r *Rig) Unplug(mac metadata.MAC) error {
	r.mu.Lock()
	delete(r.allowed, mac)
	r.mu.Unlock()
	return r.Lab.Unplug(mac)
}

// Subnet is one of SubnetNames in the laboratory.
func (r *Rig) Subnet(name string) *lab.Subnet { return r.subnets[name] }

// everAllowed are the sources that an ENI has, and had since it was attached.
func (r *Rig) everAllowed(e cloud.ENI) []netip.Prefix {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.allowed[e.MAC]
	for _, a := range e.Addresses {
		if p := netip.PrefixFrom(a, a.BitLen()); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	for _, p := range e.Prefixes {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	r.allowed[e.MAC] = all
	return all
}

// NIC is the name of an ENI's NIC in the VM, "" while it is not there.
func (r *Rig) NIC(mac metadata.MAC) string {
	links, err := r.VM.Netlink().LinkList()
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
