package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"enid/metadata"
	"enid/test/lab"
)

// JD Cloud's limit: 7 ENIs beside the primary, 21 addresses each.
const (
	secondaries = 7
	perENI      = 21
)

// site makes machines whose NICs end in a namespace that stands for the cloud. It keeps all
// of them until it is closed: the kernel takes namespaces down in the background, under the
// very lock that the next measurement needs.
type site struct {
	*lab.Lab
	far *lab.Host
	dir string
	n   int
}

func newSite() (*site, error) {
	l, err := lab.New()
	if err != nil {
		return nil, err
	}
	s := &site{Lab: l}
	if s.far, err = l.VM("far"); err == nil {
		s.dir, err = os.MkdirTemp("", "enid-bench")
	}
	return s, err
}

func (s *site) close() {
	_ = s.Lab.Close()
	_ = os.RemoveAll(s.dir)
}

// machine is a fresh namespace with the NICs of a primary ENI, configured as DHCP would have
// done it, and of secondaries, bare.
type machine struct {
	*lab.Host
	dir  string // of its enid
	name string
}

func (s *site) machine() (*machine, error) {
	s.n++
	m := &machine{name: fmt.Sprintf("m%d", s.n)}
	m.dir = filepath.Join(s.dir, m.name)
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if m.Host, err = s.VM(m.name); err != nil {
		return nil, err
	}
	for i := range secondaries + 1 {
		if err := s.plug(m, i); err != nil {
			return nil, err
		}
	}
	return m, m.primary()
}

// plug makes NIC number i.
func (s *site) plug(m *machine, i int) error {
	return s.far.Do(func() error {
		far, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer func() { _ = far.Close() }()
		mac := macOf(i)
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nic(i), HardwareAddr: mac[:], MTU: 1500},
			PeerName:  fmt.Sprintf("%s-%d", m.name, i), PeerNamespace: netlink.NsFd(int(far.Fd())),
		}
		if err := m.Netlink().LinkAdd(veth); err != nil {
			return fmt.Errorf("add %s: %w", veth.Name, err)
		}
		peer, err := s.far.Netlink().LinkByName(veth.PeerName)
		if err != nil {
			return err
		}
		return s.far.Netlink().LinkSetUp(peer)
	})
}

// primary configures eth0.
func (m *machine) primary() error {
	link, err := m.Netlink().LinkByName(nic(0))
	if err != nil {
		return err
	}
	if err := m.Netlink().LinkSetUp(link); err != nil {
		return err
	}
	if err := m.Netlink().AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: addrOf(0, 0).AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
		return err
	}
	return m.Netlink().RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: subnetOf(0).Addr().Next().AsSlice(), Protocol: unix.RTPROT_DHCP})
}

func nic(i int) string { return fmt.Sprintf("eth%d", i) }

func macOf(i int) metadata.MAC { return metadata.MAC{2, 0x29, 0x96, 0x8f, 0, byte(i + 1)} }

func subnetOf(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i)) }

func addrOf(i, n int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i, 10+n))
}

// snapshot is the metadata of every machine here.
func snapshot() metadata.Snapshot {
	const origin = "bench"
	s := metadata.Snapshot{Provider: origin, Complete: true}
	for i := range secondaries + 1 {
		addrs := []netip.Addr{addrOf(i, 0)}
		for n := 1; n < perENI && i > 0; n++ {
			addrs = append(addrs, addrOf(i, n))
		}
		s.Interfaces = append(s.Interfaces, metadata.Interface{
			MAC: macOf(i), ID: metadata.Is(fmt.Sprintf("port-%d", i), origin), Primary: metadata.Is(i == 0, origin),
			Subnets:   metadata.Is([]netip.Prefix{subnetOf(i)}, origin),
			Gateways:  metadata.Is([]netip.Addr{subnetOf(i).Addr().Next()}, origin),
			Addresses: metadata.Is(addrs, origin), Prefixes: metadata.IsNone[[]netip.Prefix](origin),
		})
	}
	return metadata.Validate(s)
}
