package lab

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/router"
)

// TestRouterOnTheWire: what enid's listener sends is understood by a router, and what a router says by the listener,
// on real sockets; and the kernel understands the same advertisements.
func TestRouterOnTheWire(t *testing.T) {
	l, _, _ := newLab(t)
	s := subnetOf(t, l, "2001:db8:0:7::/64")
	vm, mac := vmIn(t, l, s, "2001:db8:0:7::5/128")
	o := RAOptions{Lifetime: 30 * time.Minute, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:0:7::/64")}, MTU: 1400}
	a, err := l.Advertise(s, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Run(t.Context(), "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip link set eth0 up"); err != nil {
		t.Fatal(err)
	}
	link, err := vm.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	nic := netcfg.Link{Index: link.Attrs().Index, Name: "eth0", MAC: mac, Up: true}
	ctx, cancel := context.WithTimeoutCause(t.Context(), probeTimeout*5, errors.New("nothing was heard"))
	defer cancel()
	heard, refused := make(chan router.Advertisement, 16), make(chan error, 16)
	done := make(chan error, 1)
	go func() {
		done <- vm.Do(func() error {
			return router.Listen(ctx, nic, func(a router.Advertisement) { heard <- a }, func(err error) { refused <- err })
		})
	}()
	want := router.Advertisement{Router: netip.MustParseAddr("fe80::1"), Lifetime: 30 * time.Minute, Prefixes: o.Prefixes, MTU: 1400}
	select {
	case got := <-heard:
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
	case err := <-done:
		t.Fatal(err)
	}
	if a.Asked(mac) < 1 {
		t.Error("the router was not asked")
	}
	o.HopLimit = 64
	a.Set(o)
	if err := a.Send(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !strings.Contains(err.Error(), "hop limit of 64") {
			t.Error(err)
		}
	case err := <-done:
		t.Fatal(err)
	}
	stop := errors.New("enough")
	cancelled, end := context.WithCancelCause(t.Context())
	end(stop)
	if err := vm.Do(func() error { return router.Listen(cancelled, nic, nil, nil) }); !errors.Is(err, stop) {
		t.Errorf("after the end: %v", err)
	}
}

// subnetOf is a subnet of its own.
func subnetOf(t *testing.T, l *Lab, prefix string) *Subnet {
	t.Helper()
	s, err := l.Subnet("advertised", netip.MustParsePrefix(prefix))
	check(t, err)
	return s
}

// vmIn is a VM with a NIC in a subnet, bare.
func vmIn(t *testing.T, l *Lab, s *Subnet, allowed ...string) (*Host, metadata.MAC) {
	t.Helper()
	vm, err := l.VM("listener")
	check(t, err)
	check(t, l.Plug(vm, NIC{Name: "eth0", MAC: mac2, Subnet: s, Allowed: prefixes(allowed...)}))
	return vm, mac2
}
