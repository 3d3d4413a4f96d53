package lab

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// published is where the tests publish.
const published = 8080

func TestPublishedPort(t *testing.T) {
	for _, backend := range []Backend{NFT, Legacy} {
		t.Run(string(backend), func(t *testing.T) {
			l, vm, subnets := newLab(t)
			container, err := l.Container(vm)
			check(t, err)
			if diff := cmp.Diff([]string{"172.17.0.2", "fd00:17::2"}, texts(container.Addrs)); diff != "" {
				t.Errorf("addresses of the first container (-want +got):\n%s", diff)
			}
			check(t, vm.Publish(t.Context(), backend, published, container))
			for _, own := range []netip.Addr{addr("10.0.0.5"), addr("2001:db8::5")} {
				at := netip.AddrPortFrom(own, published)
				for _, network := range []string{"tcp", "udp"} {
					for _, peer := range []*Host{l.Outside(), subnets[0].Neighbour, subnets[1].Neighbour, vm} {
						check(t, peer.Exchange(t.Context(), network, netip.Addr{}, at))
					}
					check(t, container.Exchange(t.Context(), network, netip.Addr{}, netip.AddrPortFrom(l.Outside().Addr(own), EchoPort)))
				}
			}
			wantSpoofs(t, l)
		})
	}
}

func TestPublishedPortAnswersByTheWrongNIC(t *testing.T) {
	l, vm, subnets := newLab(t)
	check(t, l.Plug(vm, NIC{Name: "eth1", MAC: mac1, Subnet: subnets[1], Allowed: prefixes("10.0.1.5/32")}))
	check(t, vm.addAddrs("eth1", prefixes("10.0.1.5/24")...))
	container, err := l.Container(vm)
	check(t, err)
	check(t, vm.Publish(t.Context(), NFT, published, container))
	at := netip.AddrPortFrom(addr("10.0.1.5"), published)
	check(t, subnets[1].Neighbour.Exchange(t.Context(), "tcp", netip.Addr{}, at))

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Outside().Exchange(ctx, "udp", netip.Addr{}, at); err == nil {
		t.Error("the reply of a container has left by the NIC of the default route, and came back all the same")
	}
	if spoofs, err := l.Spoofed(); err != nil || len(spoofs) != 1 || spoofs[0].Port != "vm eth0" || spoofs[0].Src != addr("10.0.1.5") {
		t.Errorf("got %v, %v, want the container's reply as spoofed", spoofs, err)
	}
}

func TestContainersReachEachOther(t *testing.T) {
	l, vm, _ := newLab(t)
	first, err := l.Container(vm)
	check(t, err)
	second, err := l.Container(vm)
	check(t, err)
	for _, a := range second.Addrs {
		check(t, first.Probe(t.Context(), netip.Addr{}, a))
		check(t, vm.Probe(t.Context(), netip.Addr{}, a))
	}
}

func TestSessionOutlivesItsConnection(t *testing.T) {
	l, vm, _ := newLab(t)
	container, err := l.Container(vm)
	check(t, err)
	check(t, vm.Publish(t.Context(), NFT, published, container))
	s, err := l.Outside().Session(t.Context(), "udp", netip.Addr{}, netip.AddrPortFrom(addr("10.0.0.5"), published))
	check(t, err)
	defer s.Close()
	check(t, s.Echo(t.Context(), 300))
	check(t, vm.ForgetConnections())
	check(t, s.Echo(t.Context(), 1200))
}

func texts(addrs []netip.Addr) (all []string) {
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return all
}

func TestSource(t *testing.T) {
	l, vm, _ := newLab(t)
	container, err := l.Container(vm)
	check(t, err)
	teller, err := l.Outside().TellSource()
	check(t, err)
	t.Cleanup(func() { check(t, teller.Close()) })
	check(t, vm.Publish(t.Context(), NFT, published, container))
	for _, own := range []netip.Addr{addr("10.0.0.5"), addr("2001:db8::5")} {
		for _, h := range []*Host{vm, container} {
			if got, err := h.SeenBy(t.Context(), netip.Addr{}, l.Outside().Addr(own)); err != nil || got != own {
				t.Errorf("%s is seen as %s, %v, want %s", h.Name, got, err, own)
			}
		}
	}
}
