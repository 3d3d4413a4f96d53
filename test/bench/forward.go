package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"enid/netcfg"
	"enid/test/lab"
)

// What forwarded traffic pays for enid's rules and marks: a router between two hosts, with the rules
// of nobody, of somebody else, of enid, and of an agent that has a rule for each address.

var (
	clientNet = netip.MustParsePrefix("192.0.2.0/24")
	serverNet = netip.MustParsePrefix("198.51.100.0/24")
)

// router is a machine that forwards between a client and a server.
type router struct {
	*machine
	client, server *lab.Host
	in             int // ifindex of the NIC towards the client
	lookups        []time.Duration
	packets        []time.Duration
	streams        []time.Duration
	listener       net.Listener
}

// kind is how a router is made what it is.
type kind struct {
	name    string
	prepare func(*bench, context.Context, *router) error
}

var kinds = []kind{
	{"no policy rule", func(*bench, context.Context, *router) error { return nil }},
	{"one policy rule of somebody else", func(_ *bench, _ context.Context, r *router) error { return r.addRules(1) }},
	{"enid, 8 ENIs with 21 addresses", (*bench).byEnid},
	{"a rule for each of the 168 addresses", func(_ *bench, _ context.Context, r *router) error { return r.addRules(168) }},
}

func (b *bench) forward(ctx context.Context) error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	var routers []*router
	for _, k := range kinds {
		r, err := s.router()
		if err == nil {
			err = k.prepare(b, ctx, r)
		}
		if err == nil {
			err = r.warm()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		routers = append(routers, r)
	}
	for round := range b.rounds * 3 {
		for i := range routers { // in turns, a different one first each round
			if err := routers[(i+round)%len(routers)].once(); err != nil {
				return err
			}
		}
	}
	b.heading("What a forwarded packet pays that is none of the ENIs' (%d rounds in turns, the fastest counts)", b.rounds*5)
	b.show("the lookup alone (bpf_fib_lookup)", "")
	for i, r := range routers {
		b.compare("  "+kinds[i].name, r.lookups, routers[1].lookups, limitOf(i, 1.08))
	}
	b.show("the whole way of a small UDP packet, connection tracking on", "")
	for i, r := range routers {
		b.compare("  "+kinds[i].name, r.packets, routers[0].packets, 0)
	}
	b.show(fmt.Sprintf("%d MiB over one TCP connection", streamBytes>>20), "")
	for i, r := range routers {
		b.compare("  "+kinds[i].name, r.streams, routers[0].streams, limitOf(i, 1.02))
	}
	return nil
}

// limitOf is the requirement on enid's router; the others are there to compare with.
func limitOf(i int, limit float64) float64 {
	if i == 2 {
		return limit
	}
	return 0
}

// router makes a machine that forwards, as one with containers does: with connection tracking.
func (s *site) router() (*router, error) {
	m, err := s.machine()
	if err != nil {
		return nil, err
	}
	r := &router{machine: m}
	if r.client, err = s.end(m, "c", clientNet); err != nil {
		return nil, err
	}
	if r.server, err = s.end(m, "s", serverNet); err != nil {
		return nil, err
	}
	link, err := m.Netlink().LinkByName("c")
	if err != nil {
		return nil, err
	}
	r.in = link.Attrs().Index
	if r.listener, err = r.server.Listen("tcp", netip.AddrPortFrom(serverNet.Addr().Next().Next(), streamPort).String()); err != nil {
		return nil, err
	}
	return r, m.Do(func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return err
		}
		out, err := exec.Command("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "-o", nic(0), "-j", "MASQUERADE").CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables: %w: %s", err, out)
		}
		return nil
	})
}

// end makes a host that has the machine for its gateway.
func (s *site) end(m *machine, name string, p netip.Prefix) (*lab.Host, error) {
	h, err := s.VM(m.name + name)
	if err != nil {
		return nil, err
	}
	err = h.Do(func() error {
		there, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer func() { _ = there.Close() }()
		return m.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(there.Fd()))})
	})
	if err != nil {
		return nil, err
	}
	gateway, own := p.Addr().Next(), p.Addr().Next().Next()
	if err := address(m.Netlink(), name, netip.PrefixFrom(gateway, p.Bits())); err != nil {
		return nil, err
	}
	if err := address(h.Netlink(), "eth0", netip.PrefixFrom(own, p.Bits())); err != nil {
		return nil, err
	}
	return h, h.Netlink().RouteAdd(&netlink.Route{Gw: gateway.AsSlice(), Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}})
}

func address(h *netlink.Handle, name string, p netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	return h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}})
}

// addRules is what an agent does that has a rule for each address, in front of main.
func (r *router) addRules(n int) error {
	for i := range n {
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Table = unix.AF_INET, 10000+i, 10001+i/perENI
		rule.Src = &net.IPNet{IP: addrOf(1+i/perENI, i%perENI).AsSlice(), Mask: net.CIDRMask(32, 32)}
		if err := r.Netlink().RuleAdd(rule); err != nil {
			return err
		}
	}
	return nil
}

// byEnid is what enid makes of the machine.
func (b *bench) byEnid(ctx context.Context, r *router) error {
	return r.Do(func() error {
		k, err := netcfg.NewKernel(r.dir)
		if err != nil {
			return err
		}
		defer k.Close()
		for {
			ops, err := decide(ctx, k, true)
			if err != nil || len(ops) == 0 {
				return err
			}
			for _, result := range k.Apply(ctx, ops) {
				if result.Err != nil {
					return result.Err
				}
			}
		}
	})
}

// warm sends the first packets, for which the neighbours have to be found.
func (r *router) warm() error {
	for range 3 {
		if _, err := r.send(100); err != nil {
			return err
		}
	}
	return nil
}

func (r *router) once() error {
	took, err := r.send(packetsARound)
	if err != nil {
		return err
	}
	r.packets = append(r.packets, took)
	if took, err = r.stream(streamBytes); err != nil {
		return err
	}
	r.streams = append(r.streams, took)
	return r.Do(func() error {
		took, err := lookupTime(r.in, clientNet.Addr().Next().Next(), serverNet.Addr().Next().Next())
		r.lookups = append(r.lookups, took)
		return err
	})
}

const packetsARound = 20_000

// send is the time that a packet takes from the client's socket through the router to the server,
// which has a socket and never reads it. The kernel goes all that way before the system call ends.
func (r *router) send(n int) (each time.Duration, err error) {
	return each, r.client.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		to := unix.SockaddrInet4{Port: 9, Addr: serverNet.Addr().Next().Next().As4()}
		if err := unix.Connect(fd, &to); err != nil {
			return err
		}
		payload := make([]byte, 18) // the smallest frame
		began := time.Now()
		for range n {
			if _, err := unix.Write(fd, payload); err != nil && err != unix.ECONNREFUSED && err != unix.ENOBUFS {
				return err
			}
		}
		each = time.Since(began) / time.Duration(n)
		return nil
	})
}

const (
	streamPort  = 5201
	streamBytes = 512 << 20
)

// stream is the time that so many bytes take from the client to the server over TCP.
func (r *router) stream(n int64) (time.Duration, error) {
	conn, err := r.client.Dial(context.Background(), "tcp", netip.Addr{}, netip.AddrPortFrom(serverNet.Addr().Next().Next(), streamPort))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	arrived, err := r.listener.Accept()
	if err != nil {
		return 0, err
	}
	defer func() { _ = arrived.Close() }()
	sent := make(chan error, 1)
	began := time.Now()
	go func() {
		chunk := make([]byte, 1<<20)
		for left := n; left > 0; left -= int64(len(chunk)) {
			if _, err := conn.Write(chunk); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	buf := make([]byte, 1<<20)
	for got := int64(0); got < n; {
		m, err := arrived.Read(buf)
		if err != nil {
			return 0, err
		}
		got += int64(m)
	}
	took := time.Since(began)
	return took, <-sent
}

// compare prints a cost beside that of the baseline; limit 0 is no requirement. The fastest rounds are
// compared: what else a machine does only ever adds, and adds more than what is looked for.
func (r *report) compare(name string, times, baseline []time.Duration, limit float64) {
	fastest := slices.Min(times)
	x := float64(fastest) / float64(slices.Min(baseline))
	line := fmt.Sprintf("%d ns (median %d)", fastest, median(times))
	if fastest > time.Millisecond {
		line = fmt.Sprintf("%s (median %s)", short(fastest), short(median(times)))
	}
	if limit == 0 {
		fmt.Fprintf(r.out, "  %-58s %-22s %.3f x\n", name, line, x)
		return
	}
	word := "ok"
	if x > limit {
		word = "MISSED"
		r.missed++
	}
	fmt.Fprintf(r.out, "  %-58s %-22s %.3f x  (required: at most %.2f x) %s\n", name, line, x, limit, word)
}
