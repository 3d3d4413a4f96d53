package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// TestBackendBehindAnotherENI: what comes in by one ENI for a backend behind another one is answered by
// the first.
func TestBackendBehindAnotherENI(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true, Config: "interfaces:\n  - match: {name: eth2}\n    subnet_route: on\n"}, lab.NFT)
	start(t, v.Rig)
	in, out := attach(t, v.Rig, "subnet-b", 2), attach(t, v.Rig, "subnet-c", 1)
	settle(t, v.Rig)
	const port = 8081
	for _, a := range []netip.Addr{in.Addresses[1], in.Addresses[len(in.Addresses)-1], v.Primary.Addresses[0]} {
		backend := netip.AddrPortFrom(v.Subnet("subnet-c").Neighbour.Addr(a), lab.EchoPort)
		for _, network := range []string{"tcp", "udp"} {
			v.iptables(t, a, "-t nat -A PREROUTING -d %s -p %s --dport %d -j DNAT --to-destination %s", a, network, port, backend)
		}
		v.iptables(t, a, "-t nat -A POSTROUTING -o %s -d %s -j MASQUERADE", v.NIC(out.MAC), backend.Addr())
		v.forwarded(t, netip.AddrPortFrom(a, port))
	}
}

// forwarded probes from outside and from the neighbours in the ENI's subnet and the primary's.
func (v hostVM) forwarded(t *testing.T, at netip.AddrPort) {
	t.Helper()
	for _, h := range []*lab.Host{v.Lab.Outside(), v.Subnet("subnet-a").Neighbour, v.Subnet("subnet-b").Neighbour} {
		for _, network := range []string{"tcp", "udp"} {
			if err := h.Exchange(patient(t), network, netip.Addr{}, at); err != nil {
				t.Error(err)
			}
		}
	}
	noSpoofs(t, v.Rig)
}

// TestLocalTarget: a port of one ENI that leads to a service on another ENI's address is
// answered by the NIC at which it was asked.
func TestLocalTarget(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true}, lab.NFT)
	start(t, v.Rig)
	one, two := attach(t, v.Rig, "subnet-b", 2), attach(t, v.Rig, "subnet-b", 2)
	settle(t, v.Rig)
	const port = 8082
	for _, pair := range [][2]cloud.ENI{{v.Primary, one}, {one, v.Primary}, {two, one}} {
		for is4, asked := range firsts(pair[0]) {
			target := last(pair[1], is4)
			for _, network := range []string{"tcp", "udp"} {
				v.iptables(t, asked, "-t nat -A PREROUTING -d %s -p %s --dport %d -j DNAT --to-destination %s", asked, network, port, netip.AddrPortFrom(target, lab.EchoPort))
			}
			v.forwarded(t, netip.AddrPortFrom(asked, port))
		}
	}
}

// TestPathMTU: the error about a packet that is too big for the container's way leaves by the ENI, and the asker
// learns from it.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true, PrimarySecondary: 1}, lab.NFT)
	sh(t, v.Rig, "ip link set %s mtu 1280", lab.ContainerBridge)
	start(t, v.Rig)
	enis := append(v.fourNICs(t), v.Primary)
	for _, e := range enis {
		for _, a := range e.Addresses {
			at := netip.AddrPortFrom(a, published)
			for _, network := range []string{"tcp", "udp"} {
				v.learns(t, network, at, 1280)
			}
		}
	}
	noSpoofs(t, v.Rig)
}

// learns talks to the container in packets that are too big until the asker has learnt the MTU.
func (v hostVM) learns(t *testing.T, network string, at netip.AddrPort, mtu int) {
	t.Helper()
	outside := v.Lab.Outside()
	must1[string](t)(outside.Run(patient(t), "sh", "-c", "ip route flush cache; ip -6 route flush cache"))
	s := must1[*lab.Session](t)(outside.Session(patient(t), network, netip.Addr{}, at))
	defer s.Close()
	if network == "tcp" {
		if err := s.Echo(patient(t), 8000); err != nil {
			t.Error(err)
		}
		v.knows(t, at.Addr(), mtu)
		return
	}
	_, err := s.Write(make([]byte, 1400)) // by default the kernel does not let others cut it
	must(t, err)
	must(t, s.SetReadDeadline(time.Now().Add(patience)))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("%s: a packet that is too big for the container ends with %v, want %v", at, err, unix.EMSGSIZE)
	}
	v.knows(t, at.Addr(), mtu)
	if err := s.Echo(patient(t), 1400); err != nil {
		t.Error(err)
	}
}

// knows waits until the host outside knows the MTU of its way to an address.
func (v hostVM) knows(t *testing.T, a netip.Addr, mtu int) {
	t.Helper()
	var out string
	if _, err := lab.Await(patient(t), func() bool {
		out, _ = v.Lab.Outside().Run(context.WithoutCancel(t.Context()), "ip", "route", "get", a.String())
		return strings.Contains(out, fmt.Sprintf("mtu %d", mtu))
	}); err != nil {
		t.Errorf("from outside to %s no MTU of %d was learnt: %s", a, mtu, out)
	}
}
