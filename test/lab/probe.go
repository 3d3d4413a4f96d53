package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vishvananda/netlink"
)

// How long a probe may take: long enough for the kernel to send a lost SYN again.
const probeTimeout = 2 * time.Second

// pollTimeout is for probes that are repeated until they succeed.
const pollTimeout = 30 * time.Millisecond

// matrixWidth bounds the threads that wait in a namespace at a time.
const matrixWidth = 48

// Probe connects from a host to dst, which must serve echoes (ServeEcho), by TCP and
// waits for one echo. The source is src where it is valid, else the kernel's choice.
func (h *Host) Probe(ctx context.Context, src, dst netip.Addr) error {
	return h.probe(ctx, probeTimeout, src, dst)
}

func (h *Host) probe(ctx context.Context, timeout time.Duration, src, dst netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := h.Dial(ctx, "tcp", src, netip.AddrPortFrom(dst, EchoPort))
	if err != nil {
		return fmt.Errorf("from %s %s: %w", h.Name, sourceText(src), err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := echo(conn, probeBytes, deadline); err != nil {
		return fmt.Errorf("from %s %s: connected to %s, echo: %w", h.Name, sourceText(src), dst, err)
	}
	return nil
}

// probeBytes is what a probe says: enough that nobody else says the same.
const probeBytes = 26

func sourceText(src netip.Addr) string {
	if !src.IsValid() {
		return "(any source)"
	}
	return src.String()
}

// Direction is which end of a probe connects.
type Direction string

// In is from the peer to the VM, Out from the VM to the peer.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// ProbeResult is one cell of a Matrix.
type ProbeResult struct {
	Addr      netip.Addr // the VM's
	Direction Direction
	Peer      string
	PeerAddr  netip.Addr
	Err       error // nil: an echo came back
}

func (r ProbeResult) String() string {
	arrow, end := "→", "ok"
	if r.Direction == In {
		arrow = "←"
	}
	if r.Err != nil {
		end = r.Err.Error()
	}
	return fmt.Sprintf("%s %s %s (%s): %s", r.Addr, arrow, r.PeerAddr, r.Peer, end)
}

// Matrix probes every address of a VM against every neighbour and the host outside, in both
// directions, by TCP. The results are in the order of addrs.
func (l *Lab) Matrix(ctx context.Context, vm *Host, addrs []netip.Addr) ([]ProbeResult, error) {
	if err := vm.ServeEcho(); err != nil {
		return nil, err
	}
	var results []ProbeResult
	var peers []*Host
	for _, a := range addrs {
		for _, peer := range l.peers() {
			if at := peer.Addr(a); at.IsValid() {
				results = append(results, ProbeResult{a, In, peer.Name, at, nil}, ProbeResult{a, Out, peer.Name, at, nil})
				peers = append(peers, peer, peer)
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(matrixWidth)
	for i := range results {
		g.Go(func() error {
			r := &results[i]
			if r.Direction == Out {
				r.Err = vm.Probe(ctx, r.Addr, r.PeerAddr)
			} else {
				r.Err = peers[i].Probe(ctx, netip.Addr{}, r.Addr)
			}
			return nil
		})
	}
	return results, g.Wait()
}

// Failed keeps the results that are errors.
func Failed(results []ProbeResult) []ProbeResult {
	var failed []ProbeResult
	for _, r := range results {
		if r.Err != nil {
			failed = append(failed, r)
		}
	}
	return failed
}

// peers are the neighbours in the order of their subnets, then the host outside.
func (l *Lab) peers() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	var peers []*Host
	for _, s := range l.subnets {
		peers = append(peers, s.Neighbour)
	}
	return append(peers, l.outside)
}

// Reachable reports whether an address of a VM, which must serve echoes, is reached from
// the host outside and reaches it. It gives up soon and is meant for Await.
func (l *Lab) Reachable(ctx context.Context, vm *Host, addr netip.Addr) bool {
	// In before out: the lab's hosts ask again for a MAC after 10 ms, the VM only
	// after a second, and whoever is asked learns the asker's. Before the address is
	// there, asking would only delay the moment when it is seen.
	peer := l.outside.Addr(addr)
	return vm.has(addr) &&
		l.outside.probe(ctx, pollTimeout, netip.Addr{}, addr) == nil &&
		vm.probe(ctx, pollTimeout, addr, peer) == nil
}

// has reports whether an address is a host's own and fit for use.
func (h *Host) has(addr netip.Addr) bool {
	err := h.Do(func() error {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return err == nil
}

// Await calls done until it is true and returns how long that took, to about half a
// millisecond; when ctx ends first, its error.
func Await(ctx context.Context, done func() bool) (time.Duration, error) {
	begin := time.Now()
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for {
		if done() {
			return time.Since(begin), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Since(begin), fmt.Errorf("still not so after %s: %w", time.Since(begin).Round(time.Millisecond), context.Cause(ctx))
		}
	}
}

// Egress is the NIC by which the kernel of a host sends a packet from src, which must be an
// address of the host, to dst: what "ip route get" answers. Where it would send
// none it is an error, such as EHOSTUNREACH from an unreachable rule.
func (h *Host) Egress(src, dst netip.Addr) (string, error) {
	routes, err := h.nl.RouteGetWithOptions(dst.AsSlice(), &netlink.RouteGetOptions{SrcAddr: src.AsSlice()})
	if err == nil && len(routes) != 1 {
		err = fmt.Errorf("the kernel gave %d routes", len(routes))
	}
	if err != nil {
		return "", fmt.Errorf("route from %s to %s in host %s: %w", src, dst, h.Name, err)
	}
	link, err := h.nl.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", fmt.Errorf("route from %s to %s in host %s leaves by link %d: %w", src, dst, h.Name, routes[0].LinkIndex, err)
	}
	return link.Attrs().Name, nil
}
