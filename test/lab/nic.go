package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"enid/metadata"

	"github.com/vishvananda/netlink"
)

// MTUs in bytes: of a NIC that does not say, and of the fabric itself, wide enough for
// every NIC's.
const (
	usualMTU  = 1500
	fabricMTU = 9216
)

// NIC is an ENI as the fabric sees it.
type NIC struct {
	Name   string // in the VM
	MAC    metadata.MAC
	Subnet *Subnet
	// Allowed are the sources that the fabric lets through: addresses as /32 and /128, and
	// delegated prefixes. The fabric routes a delegated prefix to the first address of its
	// family; without one the prefix may send but is not reached.
	Allowed []netip.Prefix
	MTU     int // 0 means 1500
}

// port is the fabric's end of a NIC.
type port struct {
	name string
	vm   *Host
	nic  NIC
	// owned are the addresses that the router sends here without asking.
	owned []netip.Addr
}

// Plug hot-plugs a NIC: it appears in the VM's namespace in one step, with its name
// and MAC, down and bare, when the fabric is ready for it.
func (l *Lab) Plug(vm *Host, nic NIC) error {
	p := &port{name: fmt.Sprintf("p%d", l.number()), vm: vm, nic: nic}
	if nic.Subnet == nil {
		return fmt.Errorf("lab: plug %s into %s: no subnet", nic.MAC, vm.Name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, plugged := l.ports[nic.MAC]; plugged {
		return fmt.Errorf("lab: plug %s into %s: the MAC is plugged in already", nic.MAC, vm.Name)
	}
	if err := l.connect(p); err != nil {
		return fmt.Errorf("lab: plug %s into %s: %w", nic.MAC, vm.Name, err)
	}
	l.ports[nic.MAC] = p
	return nil
}

func (l *Lab) connect(p *port) error {
	if err := l.nft(guardAdd(*p)); err != nil {
		return err
	}
	// Before the NIC, so that it finds everything in place.
	if err := l.steer(p.nic.Subnet, nil, p.nic.Allowed); err != nil {
		return errors.Join(err, l.nft(guardDel(*p)))
	}
	if err := l.wire(p.name, p.nic.Subnet.index, p.vm, p.nic); err != nil {
		return errors.Join(err, l.steer(p.nic.Subnet, p.nic.Allowed, nil), l.nft(guardDel(*p)))
	}
	return nil
}

// wire makes the veth between the fabric and a host in one request. The fabric's end is
// up, and a port of the bridge with index master or, if that is 0, the router's link
// to the outside.
func (l *Lab) wire(name string, master int, h *Host, nic NIC) error {
	mtu := cmp.Or(nic.MTU, usualMTU)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags, attrs.MTU = name, master, net.FlagUp, usualMTU
	if master != 0 {
		attrs.MTU = fabricMTU
	}
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: nic.Name, PeerHardwareAddr: nic.MAC[:],
		PeerNamespace: netlink.NsFd(int(h.ns.Fd())), PeerMTU: uint32(mtu),
	}
	if err := l.fabric.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth %s with peer %s in host %s: %w", name, nic.Name, h.Name, err)
	}
	return nil
}

// Unplug removes a NIC, wherever its VM has moved it and whatever it has called it.
func (l *Lab) Unplug(mac metadata.MAC) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.portOf(mac)
	if err != nil {
		return err
	}
	// The NIC first: with its port's chain gone its last frames would read as spoofed.
	if err := l.withLink(p, l.fabric.nl.LinkDel); err != nil {
		return err
	}
	for _, a := range p.owned {
		if l.owners[a] == mac {
			delete(l.owners, a)
			err = errors.Join(err, l.disown(p, a))
		}
	}
	delete(l.ports, mac)
	if err := errors.Join(err, l.nft(guardDel(*p)), l.steer(p.nic.Subnet, p.nic.Allowed, nil)); err != nil {
		return fmt.Errorf("lab: unplug %s from %s: %w", mac, p.vm.Name, err)
	}
	return nil
}

// SetAllowed replaces the sources that the fabric lets through from a NIC, in one step.
func (l *Lab) SetAllowed(mac metadata.MAC, allowed []netip.Prefix) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.portOf(mac)
	if err != nil {
		return err
	}
	before := p.nic.Allowed
	p.nic.Allowed = slices.Clone(allowed)
	if err := errors.Join(l.nft(guardSet(*p)), l.steer(p.nic.Subnet, before, allowed)); err != nil {
		return fmt.Errorf("lab: set the allowed sources of %s: %w", mac, err)
	}
	return nil
}

// SetCarrier gives a NIC its carrier or takes it away.
func (l *Lab) SetCarrier(mac metadata.MAC, on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.portOf(mac)
	if err != nil {
		return err
	}
	if on {
		return l.withLink(p, l.fabric.nl.LinkSetUp)
	}
	return l.withLink(p, l.fabric.nl.LinkSetDown)
}

func (l *Lab) portOf(mac metadata.MAC) (*port, error) {
	p, plugged := l.ports[mac]
	if !plugged {
		return nil, fmt.Errorf("lab: no NIC with MAC %s is plugged in", mac)
	}
	return p, nil
}

// withLink does something to the fabric's end of a NIC.
func (l *Lab) withLink(p *port, do func(netlink.Link) error) error {
	link, err := l.fabric.nl.LinkByName(p.name)
	if err == nil {
		err = do(link)
	}
	if err != nil {
		return fmt.Errorf("lab: fabric's port %s of %s in %s: %w", p.name, p.nic.MAC, p.vm.Name, err)
	}
	return nil
}
