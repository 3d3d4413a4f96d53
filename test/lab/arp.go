package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"enid/metadata"

	"golang.org/x/sys/unix"
)

// arpWindow is how long answers are waited for. In here they come within microseconds; this
// is for a machine that is busy with something else.
const arpWindow = 100 * time.Millisecond

// ARPOwner asks from a subnet's neighbour who has each of the IPv4 addresses and returns the MACs
// that answered, sorted: one where all is well, none for an address that nobody has. It
// takes a tenth of a second, for however many addresses.
func (l *Lab) ARPOwner(ctx context.Context, s *Subnet, addrs ...netip.Addr) (map[netip.Addr][]metadata.MAC, error) {
	self := s.Neighbour.Addr(netip.IPv4Unspecified())
	if !self.IsValid() {
		return nil, fmt.Errorf("lab: ask by ARP in subnet %s: it has no IPv4 prefix", s.Name)
	}
	socket, err := s.Neighbour.Packets("eth0", unix.ETH_P_ARP)
	if err != nil {
		return nil, fmt.Errorf("lab: ask by ARP in subnet %s: %w", s.Name, err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) })
	defer stop()
	for _, a := range addrs {
		if _, err := socket.Write(arpRequest(socket.MAC, self, a)); err != nil {
			return nil, fmt.Errorf("lab: ask for %s in subnet %s: %w", a, s.Name, err)
		}
	}
	return arpAnswers(socket, addrs)
}

func arpAnswers(socket *PacketSocket, addrs []netip.Addr) (map[netip.Addr][]metadata.MAC, error) {
	owners := map[netip.Addr][]metadata.MAC{}
	if err := socket.SetReadDeadline(time.Now().Add(arpWindow)); err != nil {
		return nil, err
	}
	frame := make([]byte, 1514)
	for {
		n, err := socket.Read(frame)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return owners, nil
		}
		if err != nil {
			return nil, err
		}
		mac, addr, ok := parseARPReply(frame[:n])
		if ok && slices.Contains(addrs, addr) && !slices.Contains(owners[addr], mac) {
			owners[addr] = append(owners[addr], mac)
			slices.SortFunc(owners[addr], func(a, b metadata.MAC) int { return slices.Compare(a[:], b[:]) })
		}
	}
}

// ARP's operations (RFC 826).
const (
	arpAsk   = 1
	arpReply = 2
)

// arpRequest is a broadcast frame by which a NIC asks who has an address.
func arpRequest(mac metadata.MAC, self, who netip.Addr) []byte {
	return arpFrame(mac, mac, self, who)
}

// arpFrame is the same with a sender of one's choice.
func arpFrame(source, sender metadata.MAC, senderIP, who netip.Addr) []byte {
	f := slices.Repeat([]byte{0xff}, 6)
	f = append(f, source[:]...)
	f = binary.BigEndian.AppendUint16(f, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4, 0, arpAsk)
	f = append(f, sender[:]...)
	f = append(f, senderIP.AsSlice()...)
	f = append(f, make([]byte, 6)...)
	return append(f, who.AsSlice()...)
}

// parseARPReply returns who answers for which address.
func parseARPReply(f []byte) (mac metadata.MAC, addr netip.Addr, ok bool) {
	if len(f) < 42 || binary.BigEndian.Uint16(f[12:]) != unix.ETH_P_ARP || f[21] != arpReply {
		return mac, addr, false
	}
	copy(mac[:], f[22:28])
	return mac, netip.AddrFrom4([4]byte(f[28:32])), true
}

// PacketSocket sends and receives whole Ethernet frames on one NIC.
type PacketSocket struct {
	*os.File
	MAC metadata.MAC // of the NIC, when the socket was made
}

// Packets opens a PacketSocket on a host's NIC for an EtherType, such as unix.ETH_P_ALL.
// The caller closes it.
func (h *Host) Packets(nic string, etherType uint16) (*PacketSocket, error) {
	link, err := h.nl.LinkByName(nic)
	if err != nil {
		return nil, fmt.Errorf("find %s in host %s: %w", nic, h.Name, err)
	}
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, etherType))
	fd := -1
	err = h.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(protocol))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket in host %s: %w", h.Name, err)
	}
	s := &PacketSocket{File: os.NewFile(uintptr(fd), "packets of "+nic)}
	copy(s.MAC[:], link.Attrs().HardwareAddr)
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Attrs().Index})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bind a packet socket to %s in host %s: %w", nic, h.Name, err), s.Close())
	}
	return s, nil
}
