package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ContainerBridge is the bridge of a VM's containers, by Docker's name for it.
const ContainerBridge = "docker0"

// containerNets are the bridge's addresses: Docker's own choice, and one for IPv6, where it makes none.
var containerNets = []netip.Prefix{netip.MustParsePrefix("172.17.0.1/16"), netip.MustParsePrefix("fd00:17::1/64")}

// forwarding is what Docker switches on.
var forwarding = []string{"ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1"}

// Backend is one of the two firewalls of the kernel that iptables works on, as in iptables-nft.
type Backend string

// The backends.
const (
	NFT    Backend = "nft"
	Legacy Backend = "legacy"
)

// Container makes a container in a VM: a host behind the bridge docker0, 172.17.0.2 and fd00:17::2
// for the first one, that serves echoes. With the first one the VM begins to forward. What
// containers send is nobody's business until Publish translates it.
func (l *Lab) Container(vm *Host) (*Host, error) {
	vm.mu.Lock()
	vm.containers++
	n := vm.containers
	vm.mu.Unlock()
	c, err := l.host(fmt.Sprintf("%s container %d", vm.Name, n), neighbourSysctls...)
	if err == nil && n == 1 {
		err = l.addContainerBridge(vm)
	}
	if err == nil {
		err = l.addContainer(vm, c, n)
	}
	if err != nil {
		return nil, fmt.Errorf("lab: container %d in %s: %w", n, vm.Name, err)
	}
	return c, nil
}

func (l *Lab) addContainerBridge(vm *Host) error {
	mac := l.newMAC()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.Flags = ContainerBridge, mac[:], net.FlagUp
	snooping := false // as in a subnet's bridge
	if err := vm.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("add bridge %s: %w", ContainerBridge, err)
	}
	if err := vm.addAddrs(ContainerBridge, slices.Concat(containerNets, []netip.Prefix{linkLocalGateway})...); err != nil {
		return err
	}
	if err := vm.hurry(ContainerBridge); err != nil {
		return err
	}
	return vm.Do(func() error { return setSysctls(forwarding...) })
}

func (l *Lab) addContainer(vm, c *Host, n int) error {
	bridge, err := vm.nl.LinkByName(ContainerBridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", ContainerBridge, err)
	}
	mac := l.newMAC()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags = fmt.Sprintf("veth%d", n), bridge.Attrs().Index, net.FlagUp
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: mac[:], PeerNamespace: netlink.NsFd(int(c.ns.Fd()))}
	if err := vm.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth %s: %w", attrs.Name, err)
	}
	var addrs []netip.Prefix
	for _, p := range containerNets {
		a := p.Addr()
		for range n {
			a = a.Next()
		}
		addrs = append(addrs, netip.PrefixFrom(a, p.Bits()))
	}
	return c.settle(addrs, containerNets)
}

// IPTables runs iptables, or ip6tables where like is an IPv6 address, of a backend in a host. The line is what
// a shell would be given behind its name.
func (h *Host) IPTables(ctx context.Context, b Backend, like netip.Addr, line string) error {
	_, err := h.Run(ctx, "sh", "-c", fmt.Sprintf("%s -w %s", b.program(like), line))
	return err
}

func (b Backend) program(like netip.Addr) string {
	if like.Is6() {
		return "ip6tables-" + string(b)
	}
	return "iptables-" + string(b)
}

// Publish does what Docker does for a container with a published port: whoever asks any address of the VM
// at this port, by TCP or UDP, is sent to the container's EchoPort, and what containers send to
// elsewhere gets the address of the NIC that it leaves by.
func (h *Host) Publish(ctx context.Context, b Backend, port uint16, container *Host) error {
	for i, a := range container.Addrs {
		lines := []string{fmt.Sprintf("-t nat -A POSTROUTING -s %s ! -o %s -j MASQUERADE", containerNets[i].Masked(), ContainerBridge)}
		for _, protocol := range []string{"tcp", "udp"} {
			rule := fmt.Sprintf("-m addrtype --dst-type LOCAL -p %s --dport %d -j DNAT --to-destination %s", protocol, port, netip.AddrPortFrom(a, EchoPort))
			lines = append(lines, "-t nat -A PREROUTING "+rule, "-t nat -A OUTPUT "+rule)
		}
		for _, line := range lines {
			if err := h.IPTables(ctx, b, a, line); err != nil {
				return fmt.Errorf("lab: publish port %d of %s: %w", port, container.Name, err)
			}
		}
	}
	return nil
}

// ForgetConnections empties a host's table of connections, as "conntrack -F" does.
func (h *Host) ForgetConnections() error {
	nl, err := netlink.NewHandleAt(netns.NsHandle(h.ns.Fd()), unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("lab: forget the connections of %s: %w", h.Name, err)
	}
	defer nl.Close()
	if err := nl.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("lab: forget the connections of %s: %w", h.Name, err)
	}
	return nil
}
