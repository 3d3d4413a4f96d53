package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// VMPrimary does for a VM's eth0 what DHCP would have done: up, an address with its
// subnet's length, a default route by the gateway. Call it once for each family. It
// returns when the VM and its gateway know each other's MAC. An address that stands alone (/32, /128) is as
// Compute Engine's DHCP gives it: the gateway is on the link all the same.
func (l *Lab) VMPrimary(vm *Host, addr netip.Prefix, gateway netip.Addr) error {
	err := vm.addAddrs("eth0", addr)
	if err == nil && addr.IsSingleIP() {
		err = vm.addOnLink("eth0", gateway)
	}
	if err == nil {
		err = vm.addDefault("eth0", gateway, unix.RTPROT_DHCP)
	}
	if err == nil {
		err = l.greet(addr.Addr())
	}
	if err != nil {
		return fmt.Errorf("lab: primary address of %s: %w", vm.Name, err)
	}
	return nil
}

// greet calls on an address until something comes back. A NIC that has just been set up is
// deaf until the kernel has noticed its carrier, and a VM that asks for its
// gateway in that moment asks again only after a second.
func (l *Lab) greet(addr netip.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	var last error
	_, err := Await(ctx, func() bool {
		last = l.fabric.probe(ctx, pollTimeout, netip.Addr{}, addr)
		return last == nil || errors.Is(last, unix.ECONNREFUSED)
	})
	if err != nil {
		return fmt.Errorf("%s does not answer its gateway (is it among the NIC's Allowed?): %w: %w", addr, err, last)
	}
	return nil
}
