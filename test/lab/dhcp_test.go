package lab

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/offer"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// nicInB is a lab with a bare NIC in its second subnet: up, without an address. It may send from
// 10.0.1.5.
func nicInB(t *testing.T) (*Lab, *Host, *Subnet, netcfg.Link) {
	t.Helper()
	l, vm, subnets := newLab(t)
	check(t, l.Plug(vm, NIC{Name: "eth1", MAC: mac1, Subnet: subnets[1], Allowed: prefixes("10.0.1.5/32")}))
	link, err := vm.nl.LinkByName("eth1")
	check(t, err)
	check(t, vm.nl.LinkSetUp(link))
	check(t, vm.hurry("eth1"))
	return l, vm, subnets[1], netcfg.Link{Index: link.Attrs().Index, Name: "eth1", MAC: mac1, Up: true}
}

func discover(t *testing.T, vm *Host, nic netcfg.Link) (o offer.Offer, ignored []error, err error) {
	t.Helper()
	return o, ignored, vm.Do(func() error {
		o, ignored, err = offer.Discover(t.Context(), nic, addr("10.0.1.5"))
		return err
	})
}

// always offers one address to everybody.
func always(a string) func(metadata.MAC) (netip.Addr, bool) {
	return func(metadata.MAC) (netip.Addr, bool) { return addr(a), true }
}

func never(metadata.MAC) (netip.Addr, bool) { return netip.Addr{}, false }

func TestDHCPOffers(t *testing.T) {
	good := offer.Offer{Address: addr("10.0.1.5"), Prefix: netip.MustParsePrefix("10.0.1.0/24"), Gateway: addr("10.0.1.1"), Server: addr("10.0.1.2")}
	jumbo, bare := good, good
	jumbo.MTU, bare.Gateway = 8500, netip.Addr{}
	rogue := DHCPOptions{Offers: always("10.0.1.77"), Server: addr("10.0.1.66")}
	tests := map[string]struct {
		servers []DHCPOptions
		want    offer.Offer // zero: none
		ignored string
	}{
		"usual":           {servers: []DHCPOptions{{Offers: always("10.0.1.5")}}, want: good},
		"MTU":             {servers: []DHCPOptions{{Offers: always("10.0.1.5"), MTU: 8500}}, want: jumbo},
		"no router":       {servers: []DHCPOptions{{Offers: always("10.0.1.5"), NoRouter: true}}, want: bare},
		"silent":          {servers: []DHCPOptions{{Offers: never}}},
		"nobody":          {},
		"wrong address":   {servers: []DHCPOptions{{Offers: always("10.0.1.77")}}, ignored: "10.0.1.2 offers 10.0.1.77"},
		"garbage":         {servers: []DHCPOptions{{Offers: always("10.0.1.5"), Garbage: true}}, ignored: "255.0.255.1"},
		"a rogue first":   {servers: []DHCPOptions{rogue, {Offers: always("10.0.1.5")}}, want: good, ignored: "10.0.1.66 offers 10.0.1.77"},
		"rogue's garbage": {servers: []DHCPOptions{{Offers: always("10.0.1.5"), Garbage: true, Server: addr("10.0.1.66")}, {Offers: always("10.0.1.5")}}, want: good, ignored: "10.0.1.66"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, vm, subnet, nic := nicInB(t)
			var servers []*DHCPServer
			for _, o := range tt.servers {
				s, err := l.ServeDHCP(subnet, o)
				check(t, err)
				servers = append(servers, s)
			}
			got, ignored, err := discover(t, vm, nic)
			if (err == nil) != (tt.want != offer.Offer{}) || err != nil && !errors.Is(err, offer.ErrNone) {
				t.Errorf("the error is %v", err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			// Two servers answer in any order, so the rogue may come second.
			if text := errors.Join(ignored...); text != nil && (tt.ignored == "" || !strings.Contains(text.Error(), tt.ignored)) || text == nil && tt.ignored != "" && len(servers) < 2 {
				t.Errorf("ignored %v, want %q", text, tt.ignored)
			}
			for i, s := range servers {
				if err != nil {
					await(t, func() bool { return s.Asked(mac1) == 3 })
				} else if n := s.Asked(mac1); n < 1 || n > 3 {
					t.Errorf("server %d was asked %d times", i, n)
				}
			}
			wantSpoofs(t, l)
		})
	}
}

// TestDHCPBesideAClient: the host's own DHCP client has port 68, and the NIC has an address and other traffic: neither
// is in the way.
func TestDHCPBesideAClient(t *testing.T) {
	l, vm, subnet, nic := nicInB(t)
	_, err := l.ServeDHCP(subnet, DHCPOptions{Offers: always("10.0.1.5")})
	check(t, err)
	check(t, vm.addAddrs("eth1", netip.MustParsePrefix("10.0.1.5/24")))
	var client net.PacketConn
	check(t, vm.Do(func() (err error) {
		client, err = net.ListenPacket("udp4", "0.0.0.0:68")
		return err
	}))
	defer client.Close()
	if got, _, err := discover(t, vm, nic); err != nil || got.Gateway != addr("10.0.1.1") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDHCPDown: a NIC that is down is an error, not a network without a server.
func TestDHCPDown(t *testing.T) {
	l, vm, subnets := newLab(t)
	check(t, l.Plug(vm, NIC{Name: "eth1", MAC: mac1, Subnet: subnets[1]}))
	link, err := vm.nl.LinkByName("eth1")
	check(t, err)
	_, _, err = discover(t, vm, netcfg.Link{Index: link.Attrs().Index, Name: "eth1", MAC: mac1})
	if !errors.Is(err, unix.ENETDOWN) || !strings.Contains(err.Error(), "eth1") {
		t.Errorf("got %v", err)
	}
	_, _, err = discover(t, vm, netcfg.Link{Index: 9999, Name: "eth9", MAC: mac1})
	if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "eth9") {
		t.Errorf("got %v", err)
	}
}

// TestDHCPServerTells: who does more than ask is found out.
func TestDHCPServerTells(t *testing.T) {
	l, vm, subnet, _ := nicInB(t)
	s, err := l.ServeDHCP(subnet, DHCPOptions{Offers: never})
	check(t, err)
	nic, err := vm.Packets("eth1", unix.ETH_P_IP)
	check(t, err)
	defer nic.Close()
	m := make([]byte, 243)
	m[0], m[1], m[2] = 1, 1, 6
	copy(m[28:], mac1[:])
	copy(m[236:], []byte{0x63, 0x82, 0x53, 0x63, 53, 1, 3}) // DHCPREQUEST
	p := ipv4("0.0.0.0", "255.255.255.255", string([]byte{0, 68, 0, 67, 0, 251, 0, 0})+string(m))
	p[2], p[9], p[10], p[11] = 1, unix.IPPROTO_UDP, 0, 0
	sum := checksum(p[:20])
	p[10], p[11] = byte(sum>>8), byte(sum)
	_, err = nic.Write(ethernet(mac1, unix.ETH_P_IP, p...))
	check(t, err)
	await(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.errs) > 0
	})
	if err := s.close(); err == nil || !strings.Contains(err.Error(), "DHCPDISCOVER") {
		t.Errorf("got %v", err)
	}
	l.dhcp = nil // or the end of the test would fail it too
}
