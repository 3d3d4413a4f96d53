package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if part := os.Getenv(enterTest); part != "" {
		os.Exit(playPart(part))
	}
	if err := Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func prefixes(text ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, t := range text {
		ps = append(ps, netip.MustParsePrefix(t))
	}
	return ps
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

var (
	mac0 = metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 0}
	mac1 = metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 1}
	mac2 = metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 2}
)

// newLab is a lab with two subnets of both families, and a VM with its primary NIC
// 10.0.0.5 and 2001:db8::5 in the first, configured.
func newLab(t *testing.T) (*Lab, *Host, []*Subnet) {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, l.Close()) })
	var subnets []*Subnet
	for i := range 2 {
		s, err := l.Subnet(fmt.Sprintf("subnet%d", i),
			prefixes(fmt.Sprintf("10.0.%d.0/24", i), fmt.Sprintf("2001:db8:0:%d::/64", i))...)
		check(t, err)
		subnets = append(subnets, s)
	}
	vm, err := l.VM("vm")
	check(t, err)
	check(t, l.Plug(vm, NIC{Name: "eth0", MAC: mac0, Subnet: subnets[0], Allowed: prefixes("10.0.0.5/32", "2001:db8::5/128")}))
	check(t, l.VMPrimary(vm, netip.MustParsePrefix("10.0.0.5/24"), addr("10.0.0.1")))
	check(t, l.VMPrimary(vm, netip.MustParsePrefix("2001:db8::5/64"), addr("2001:db8::1")))
	return l, vm, subnets
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantSpoofs(t *testing.T, l *Lab, want ...Spoof) {
	t.Helper()
	got, err := l.Spoofed()
	check(t, err)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("spoofed (-want +got):\n%s", diff)
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := Await(ctx, done); err != nil {
		t.Fatal(err)
	}
}

func TestMatrix(t *testing.T) {
	begin := time.Now()
	l, vm, _ := newLab(t)
	t.Logf("a lab with 2 subnets and a VM: %s", time.Since(begin).Round(time.Millisecond))

	begin = time.Now()
	results, err := l.Matrix(t.Context(), vm, []netip.Addr{addr("10.0.0.5"), addr("2001:db8::5"), addr("10.0.0.6")})
	check(t, err)
	t.Logf("%d probes: %s", len(results), time.Since(begin).Round(time.Millisecond))
	if len(results) != 3*2*3 {
		t.Errorf("got %d results, want 3 addresses × 2 directions × 3 peers", len(results))
	}
	for _, r := range results {
		if own := r.Addr != addr("10.0.0.6"); own != (r.Err == nil) {
			t.Errorf("%s", r)
		}
	}
	if n := len(Failed(results)); n != 6 {
		t.Errorf("got %d failed, want the 6 of the address that the VM does not have", n)
	}
	wantSpoofs(t, l)
}

func TestReachable(t *testing.T) {
	l, vm, _ := newLab(t)
	check(t, vm.ServeEcho())
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.6/32")))
	if l.Reachable(t.Context(), vm, addr("10.0.0.6")) {
		t.Error("an address that the VM does not have is reachable")
	}
	check(t, vm.addAddrs("eth0", netip.MustParsePrefix("10.0.0.6/32")))
	await(t, func() bool { return l.Reachable(t.Context(), vm, addr("10.0.0.6")) })

	check(t, l.SetCarrier(mac0, false))
	if l.Reachable(t.Context(), vm, addr("10.0.0.6")) {
		t.Error("reachable without a carrier")
	}
	check(t, l.SetCarrier(mac0, true))
	await(t, func() bool { return l.Reachable(t.Context(), vm, addr("10.0.0.6")) })
}

func TestPing(t *testing.T) {
	l, vm, subnets := newLab(t)
	for _, own := range []netip.Addr{addr("10.0.0.5"), addr("2001:db8::5")} {
		for _, peer := range []*Host{l.Outside(), subnets[0].Neighbour, subnets[1].Neighbour} {
			check(t, vm.Ping(t.Context(), own, peer.Addr(own)))
			check(t, peer.Ping(t.Context(), netip.Addr{}, own))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Outside().Ping(ctx, netip.Addr{}, addr("10.0.0.77")); err == nil {
		t.Error("an address that nobody has answers")
	}
}

func TestEgress(t *testing.T) {
	l, vm, subnets := newLab(t)
	check(t, l.Plug(vm, NIC{Name: "eth1", MAC: mac1, Subnet: subnets[1]}))
	check(t, vm.addAddrs("eth1", prefixes("10.0.1.5/24")...))
	tests := []struct {
		src, dst, want string
	}{
		{"10.0.0.5", "198.51.100.10", "eth0"},
		{"2001:db8::5", "2001:db8:ffff::10", "eth0"},
		{"10.0.1.5", "10.0.1.254", "eth1"},
		{"10.0.1.5", "198.51.100.10", "eth0"}, // the very leak that enid is there for
		{"10.0.0.5", "10.0.1.5", "lo"},
	}
	for _, tt := range tests {
		got, err := vm.Egress(addr(tt.src), addr(tt.dst))
		if err != nil || got != tt.want {
			t.Errorf("from %s to %s: got %q, %v, want %q", tt.src, tt.dst, got, err, tt.want)
		}
	}
	if nic, err := vm.Egress(addr("10.9.9.9"), addr("10.0.0.1")); err == nil {
		t.Errorf("a source that the VM does not have leaves by %s", nic)
	}
}

func TestMetadata(t *testing.T) {
	l, vm, subnets := newLab(t)
	listener, err := l.MetadataListener(netip.AddrPortFrom(metadataAddrs[0].Addr(), 80))
	check(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr)
	})}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { check(t, server.Close()); <-served })

	for _, h := range []*Host{vm, subnets[1].Neighbour} {
		conn, err := h.Dial(t.Context(), "tcp", netip.Addr{}, netip.AddrPortFrom(metadataAddrs[0].Addr(), 80))
		check(t, err)
		_, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		check(t, err)
		answer, err := io.ReadAll(conn)
		check(t, err)
		if want := conn.LocalAddr().String(); string(answer[len(answer)-len(want):]) != want {
			t.Errorf("%s: got %q, want it to end in %s", h.Name, answer, want)
		}
		check(t, conn.Close())
	}
	wantSpoofs(t, l)
}

func TestLabsDoNotMeet(t *testing.T) {
	one, vm, _ := newLab(t)
	other, twin, _ := newLab(t)
	check(t, other.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.6/32")))
	check(t, twin.addAddrs("eth0", netip.MustParsePrefix("10.0.0.6/32")))
	check(t, twin.ServeEcho())
	check(t, vm.ServeEcho())
	await(t, func() bool { return other.Reachable(t.Context(), twin, addr("10.0.0.6")) })
	if one.Reachable(t.Context(), vm, addr("10.0.0.6")) || one.Outside().Probe(t.Context(), netip.Addr{}, addr("10.0.0.6")) == nil {
		t.Error("an address of one lab's VM is reached in another lab")
	}
	if !one.Reachable(t.Context(), vm, addr("10.0.0.5")) || !other.Reachable(t.Context(), twin, addr("10.0.0.5")) {
		t.Error("an address that both labs have is not reachable in both")
	}
}
