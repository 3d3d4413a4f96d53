package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"

	"enid/metadata"
)

// EchoPort is where hosts that serve echoes listen, by TCP and UDP.
const EchoPort = 7

// metadataAddrs are where clouds have their metadata service: nearly all at the first, Alibaba Cloud, Volcengine and
// Tencent Cloud at the next three, and EC2 also over IPv6.
var metadataAddrs = []netip.Prefix{
	netip.MustParsePrefix("169.254.169.254/32"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("100.96.0.96/32"),
	netip.MustParsePrefix("169.254.0.23/32"),
	netip.MustParsePrefix("fd00:ec2::254/128"),
}

// The link between the fabric's router and the host outside: ranges that are
// reserved for documentation.
var (
	outsidePrefixes = []netip.Prefix{netip.MustParsePrefix("198.51.100.10/24"), netip.MustParsePrefix("2001:db8:ffff::10/64")}
	outsideRouter   = []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("2001:db8:ffff::1/64")}
)

// Lab is one VPC with its hosts. Labs do not know of each other. Its methods
// may be called by several goroutines.
type Lab struct {
	// NoCommonLink makes neighbours send to an address where SetOwner says it is, without asking for it by ARP: on
	// Compute Engine the hosts of a subnet have no link in common. It is set before the first NIC is plugged in.
	NoCommonLink bool

	fabric  *Host
	outside *Host

	mu          sync.Mutex
	hosts       []*Host // all but the fabric
	subnets     []*Subnet
	dhcp        []*DHCPServer
	advertisers []*Advertiser
	ports       map[metadata.MAC]*port
	// owners are the NICs that the router sends addresses to without asking.
	owners  map[netip.Addr]metadata.MAC
	numbers int // of names and MACs given out
}

// New makes a lab with an empty VPC: the fabric's namespace, its firewall and the metadata address.
func New() (*Lab, error) {
	if os.Getenv(stage) != "inside" {
		return nil, errors.New("lab: not inside: call lab.Enter, or lab.Main in TestMain, before anything else")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, fmt.Errorf("lab: the fabric's firewall needs nft (package nftables): %w", err)
	}
	fabric, err := newHost("fabric", fabricSysctls...)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{fabric: fabric, ports: map[metadata.MAC]*port{}, owners: map[netip.Addr]metadata.MAC{}}
	err = fabric.addAddrs("lo", metadataAddrs...)
	if err == nil {
		err = l.nft(guardTable)
	}
	if err == nil {
		err = l.addOutside()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Close())
	}
	return l, nil
}

// Close ends every process that was started in the lab's hosts, and the hosts. The
// kernel then removes namespaces and NICs, as soon as the caller has closed the
// sockets that it got from them.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, d := range l.dhcp {
		errs = append(errs, d.close())
	}
	l.dhcp = nil
	for _, a := range l.advertisers {
		errs = append(errs, a.close())
	}
	l.advertisers = nil
	for _, h := range append(l.hosts, l.fabric) {
		errs = append(errs, h.close())
	}
	l.hosts = nil
	return errors.Join(errs...)
}

// VM makes a host with no NIC but lo, and the kernel's own defaults in every sysctl that
// concerns enid, whatever this machine's are.
func (l *Lab) VM(name string) (*Host, error) {
	return l.host(name, vmSysctls...)
}

// Remove ends a VM whose NICs are all unplugged, with every process that was started in it.
func (l *Lab) Remove(vm *Host) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = slices.DeleteFunc(l.hosts, func(h *Host) bool { return h == vm })
	return vm.close()
}

func (l *Lab) host(name string, sysctls ...string) (*Host, error) {
	h, err := newHost(name, sysctls...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = append(l.hosts, h)
	return h, nil
}

// Outside is the host beyond the fabric's router. It reaches all subnets by plain
// routing, and serves echoes.
func (l *Lab) Outside() *Host { return l.outside }

func (l *Lab) addOutside() error {
	h, err := l.host("outside", neighbourSysctls...)
	if err != nil {
		return err
	}
	l.outside = h
	if err := l.wire("out", 0, h, NIC{Name: "eth0", MAC: l.newMAC()}); err != nil {
		return err
	}
	if err := l.fabric.addAddrs("out", slices.Concat(outsideRouter, []netip.Prefix{linkLocalGateway})...); err != nil {
		return err
	}
	if err := l.fabric.hurry("out"); err != nil {
		return err
	}
	return h.settle(outsidePrefixes, outsideRouter)
}

// MetadataListener listens on one of the addresses that metadata services have, which every host reaches by its
// default route. The caller closes it.
func (l *Lab) MetadataListener(at netip.AddrPort) (net.Listener, error) {
	return l.fabric.Listen("tcp", at.String())
}

// number gives out 1, 2, 3 and so on.
func (l *Lab) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers++
	return l.numbers
}

// newMAC is a MAC of the lab's own NICs; those of VMs are the caller's choice.
func (l *Lab) newMAC() metadata.MAC {
	n := l.number()
	return metadata.MAC{0x06, 0x1a, 0xb0, 0, byte(n >> 8), byte(n)}
}
