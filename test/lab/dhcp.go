package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"enid/metadata"

	"golang.org/x/sys/unix"
)

// DHCPOptions say what a subnet's DHCP server offers.
type DHCPOptions struct {
	// Offers is the address for a NIC; false for none, and the server is silent.
	Offers func(metadata.MAC) (netip.Addr, bool)
	MTU    int        // bytes, 0: the offer does not say
	Server netip.Addr // who says that he offers; zero: the subnet's second host, where a VPC has its server
	// NoRouter leaves out the gateway. Garbage makes a subnet mask that is none.
	NoRouter, Garbage bool
}

// DHCPServer answers each DHCPDISCOVER of a subnet's NICs by an offer. It gives no leases: whatever else a client
// says is an error of Lab.Close, because enid only asks.
type DHCPServer struct {
	subnet *Subnet
	socket *PacketSocket
	done   chan struct{}

	mu      sync.Mutex
	options DHCPOptions
	asked   map[metadata.MAC]int // DHCPDISCOVERs
	errs    []error
}

// ServeDHCP starts a DHCP server in a subnet, which needs an IPv4 prefix. It ends with the lab. A subnet may
// have more than one: the second is a rogue.
func (l *Lab) ServeDHCP(s *Subnet, o DHCPOptions) (*DHCPServer, error) {
	if !s.prefix4().IsValid() {
		return nil, fmt.Errorf("lab: DHCP in subnet %s: it has no IPv4 prefix", s.Name)
	}
	socket, err := l.fabric.Packets(s.bridge, unix.ETH_P_IP)
	if err != nil {
		return nil, fmt.Errorf("lab: DHCP in subnet %s: %w", s.Name, err)
	}
	d := &DHCPServer{subnet: s, socket: socket, done: make(chan struct{}), options: o, asked: map[metadata.MAC]int{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dhcp = append(l.dhcp, d)
	go d.serve()
	return d, nil
}

// Set changes what is offered from now on.
func (d *DHCPServer) Set(o DHCPOptions) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options = o
}

// Asked is how often a NIC has asked.
func (d *DHCPServer) Asked(mac metadata.MAC) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[mac]
}

// serve works until the socket is closed.
func (d *DHCPServer) serve() {
	defer close(d.done)
	frame := make([]byte, 2000)
	for {
		n, err := d.socket.Read(frame)
		if err == nil {
			err = d.answer(frame[:n])
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			d.fail(err)
			return
		}
	}
}

func (d *DHCPServer) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errs = append(d.errs, fmt.Errorf("DHCP in subnet %s: %w", d.subnet.Name, err))
}

// close ends the server and says what went wrong.
func (d *DHCPServer) close() error {
	err := d.socket.Close()
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(append(d.errs, err)...)
}

// answer takes in a frame, and answers where it is a question to a DHCP server.
func (d *DHCPServer) answer(frame []byte) error {
	q, ok := parseDHCP(frame)
	if !ok {
		return nil
	}
	if q.kind != dhcpDiscover {
		d.fail(fmt.Errorf("%s sent a message of type %d, want nothing but DHCPDISCOVER (1)", q.mac, q.kind))
		return nil
	}
	d.mu.Lock()
	d.asked[q.mac]++
	o := d.options
	d.mu.Unlock()
	address, ok := o.Offers(q.mac)
	if !ok {
		return nil
	}
	_, err := d.socket.Write(d.offer(q, o, address))
	return err
}

// Types of DHCP messages (RFC 2132, 9.6).
const (
	dhcpDiscover = 1
	dhcpOffer    = 2
)

// dhcpQuestion is what counts of a client's message.
type dhcpQuestion struct {
	kind  byte
	id    [4]byte
	flags [2]byte
	mac   metadata.MAC
}

// parseDHCP reads a client's message, if it is one whose options begin with its type, as most clients' do.
func parseDHCP(f []byte) (q dhcpQuestion, ok bool) {
	const header = 14 + 20 + 8 // Ethernet, IPv4, UDP
	if len(f) < header+243 || f[14] != 0x45 || f[23] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(f[36:]) != 67 {
		return q, false
	}
	m := f[header:]
	if m[0] != 1 || m[1] != 1 || m[2] != 6 || binary.BigEndian.Uint32(m[236:]) != 0x63825363 || m[240] != 53 {
		return q, false
	}
	q.kind = m[242]
	copy(q.id[:], m[4:])
	copy(q.flags[:], m[10:])
	copy(q.mac[:], m[28:])
	return q, true
}

// offer is the frame of an offer, to everybody where the client wants that, else to its MAC.
func (d *DHCPServer) offer(q dhcpQuestion, o DHCPOptions, address netip.Addr) []byte {
	prefix := d.subnet.prefix4()
	server := o.Server
	if !server.IsValid() {
		server = firstHost(prefix).Next()
	}
	m := make([]byte, 240)
	m[0], m[1], m[2] = 2, 1, 6
	copy(m[4:], q.id[:])
	copy(m[10:], q.flags[:])
	copy(m[16:], address.AsSlice())
	copy(m[28:], q.mac[:])
	binary.BigEndian.PutUint32(m[236:], 0x63825363)
	m = append(m, 53, 1, dhcpOffer, 54, 4)
	m = append(m, server.AsSlice()...)
	m = append(m, 51, 4, 0, 0, 14, 16) // the lease that nobody takes: an hour
	m = append(m, 1, 4)
	if o.Garbage {
		m = append(m, 255, 0, 255, 1)
	} else {
		m = append(m, ipNet(prefix).Mask...)
	}
	if !o.NoRouter {
		m = append(append(m, 3, 4), firstHost(prefix).AsSlice()...)
	}
	if o.MTU != 0 {
		m = binary.BigEndian.AppendUint16(append(m, 26, 2), uint16(o.MTU))
	}
	return d.wrap(q, server, address, append(m, 255))
}

// wrap puts UDP, without a checksum, IPv4 and Ethernet around a message.
func (d *DHCPServer) wrap(q dhcpQuestion, server, address netip.Addr, m []byte) []byte {
	to, mac := address, q.mac
	if q.flags[0]&0x80 != 0 {
		to, mac = netip.AddrFrom4([4]byte{255, 255, 255, 255}), metadata.MAC{255, 255, 255, 255, 255, 255}
	}
	f := append(mac[:], d.socket.MAC[:]...)
	f = append(f, 8, 0, 0x45, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(20+8+len(m)))
	f = append(f, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0)
	f = append(append(f, server.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(f[24:], checksum(f[14:]))
	f = append(f, 0, 67, 0, 68)
	f = binary.BigEndian.AppendUint16(f, uint16(8+len(m)))
	return append(append(f, 0, 0), m...)
}

// prefix4 is the subnet's IPv4 prefix, the zero Prefix where it has none.
func (s *Subnet) prefix4() netip.Prefix {
	for _, p := range s.Prefixes {
		if p.Addr().Is4() {
			return p
		}
	}
	return netip.Prefix{}
}
