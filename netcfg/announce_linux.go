package netcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// announcer tells a NIC's subnet which addresses are there now, so that traffic follows an address that
// moved from another host at once instead of when ARP and neighbour entries grow old. Of IPv4 by a gratuitous
// ARP request (RFC 5227, section 3), of IPv6 by an unsolicited neighbour advertisement (RFC 4861, section 7.2.6). The
// kernel does neither for an address that is added (arp_notify and ndisc_notify are about NICs).
type announcer struct {
	fd      int   // a packet socket that receives nothing
	missing error // why there is none
	pending []Addr
	problem error // of the newest try, which is made again
}

// newAnnouncer opens the socket in the namespace of the calling thread. Without CAP_NET_RAW there is none,
// which is a problem once there is something to tell.
func newAnnouncer() announcer {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return announcer{missing: fmt.Errorf("open a packet socket: %w", err)}
	}
	return announcer{fd: fd}
}

func (a *announcer) close() {
	if a.missing == nil {
		_ = unix.Close(a.fd)
	}
}

// tell announces what is pending on NICs that carry traffic; the rest waits for the next look, as a NIC
// that was just set up is deaf and dumb for a moment. Addresses that are gone are not told of.
func (a *announcer) tell(l look) {
	var waiting []Addr
	var errs []error
	for _, addr := range a.pending {
		switch {
		case !l.has(addr):
		case a.missing != nil:
			errs = append(errs, a.missing)
			waiting = append(waiting, addr)
		case !l.conf[addr.Link].running:
			waiting = append(waiting, addr)
		default:
			if err := a.send(addr, l.conf[addr.Link].mac); err != nil {
				errs = append(errs, err)
				waiting = append(waiting, addr)
			}
		}
	}
	a.pending, a.problem = waiting, nil
	if len(errs) > 0 {
		a.problem = errs[0]
	}
}

// trouble says what kept an announcement from being made, in a sentence, "" for nothing.
func (a *announcer) trouble() string {
	switch {
	case a.problem == nil:
		return ""
	case errors.Is(a.problem, unix.EPERM):
		return fmt.Sprintf("addresses that come are not announced to their subnet: %v; it needs CAP_NET_RAW: run enid as root, or give its service AmbientCapabilities=CAP_NET_RAW", a.problem)
	}
	return fmt.Sprintf("an address was not announced to its subnet, whose hosts may send to the one that had it before until their ARP entries grow old: %v", a.problem)
}

func (a *announcer) send(addr Addr, mac [6]byte) error {
	ip := addr.Prefix.Addr()
	frame, to := gratuitousARP(ip, mac), unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ARP), Ifindex: addr.Link, Halen: 6}
	copy(to.Addr[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	if ip.Is6() {
		var err error
		if frame, err = advertisement(ip, mac); err != nil {
			return fmt.Errorf("announce %s: %w", ip, err)
		}
		to.Protocol = bigEndian(unix.ETH_P_IPV6)
		copy(to.Addr[:], []byte{0x33, 0x33, 0, 0, 0, 1})
	}
	if err := unix.Sendto(a.fd, frame, 0, &to); err != nil {
		return fmt.Errorf("announce %s: %w", ip, err)
	}
	return nil
}

// gratuitousARP asks for ip in the name of ip: all who know it learn the new MAC.
func gratuitousARP(ip netip.Addr, mac [6]byte) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their lengths, request
	b = append(append(b, mac[:]...), ip.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), ip.AsSlice()...)
}

var allNodes = netip.MustParseAddr("ff02::1")

// advertisement is an IPv6 packet to all nodes that says where ip is now.
func advertisement(ip netip.Addr, mac [6]byte) ([]byte, error) {
	body, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Override: true, TargetAddress: ip,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac[:]}},
	}, ip, allNodes)
	if err != nil {
		return nil, err
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, unix.IPPROTO_ICMPV6, 255} // version 6, length below, hop limit 255 as RFC 4861 wants
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b = append(append(b, ip.AsSlice()...), allNodes.AsSlice()...)
	return append(b, body...), nil
}

// bigEndian is a protocol number as sockaddr_ll has it.
func bigEndian(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
