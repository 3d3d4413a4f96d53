package netcfg

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// listen is what arrives on a NIC from now on.
func (h *host) listen(nic string) *sniffer {
	h.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ALL)))
	h.must(err)
	h.Cleanup(func() { _ = unix.Close(fd) })
	h.must(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: h.link(nic).Index}))
	return &sniffer{h, fd}
}

type sniffer struct {
	*host
	fd int
}

// announced are the addresses announced so far in the name of mac, in order, each once. A frame that a
// veth sends is there when the send returns.
func (s *sniffer) announced(mac []byte) (told []netip.Addr) {
	s.Helper()
	b := make([]byte, 2000)
	for {
		n, from, err := unix.Recvfrom(s.fd, b, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return told
		}
		s.must(err)
		if l, ok := from.(*unix.SockaddrLinklayer); !ok || l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if a, ok := announcement(s.TB, b[:n], mac); ok {
			told = append(told, a)
		}
	}
}

// announcement reads a frame as a neighbour would, and checks what must be right in it.
func announcement(t testing.TB, frame, mac []byte) (netip.Addr, bool) {
	body := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_ARP:
		sender, _ := netip.AddrFromSlice(body[14:18])
		target, _ := netip.AddrFromSlice(body[24:28])
		if !bytes.Equal(frame[:6], bytes.Repeat([]byte{0xff}, 6)) || !bytes.Equal(body[:8], []byte{0, 1, 8, 0, 6, 4, 0, 1}) ||
			!bytes.Equal(body[8:14], mac) || !bytes.Equal(frame[6:12], mac) || sender != target {
			t.Errorf("a strange ARP packet: % x", frame)
		}
		return sender, true
	case unix.ETH_P_IPV6:
		if body[6] != unix.IPPROTO_ICMPV6 || body[40] != 136 {
			return netip.Addr{}, false
		}
		src, _ := netip.AddrFromSlice(body[8:24])
		m, err := ndp.ParseMessage(body[40:])
		na, ok := m.(*ndp.NeighborAdvertisement)
		if err != nil || !ok || !na.Override || na.Solicited || body[7] != 255 || src != na.TargetAddress || checksum(body) != 0xffff {
			t.Errorf("a strange neighbour advertisement: %v % x", err, frame)
		}
		lla, ok := na.Options[0].(*ndp.LinkLayerAddress)
		if !ok || !bytes.Equal(lla.Addr, mac) {
			t.Errorf("it tells of %v", na.Options)
		}
		return na.TargetAddress, true
	}
	return netip.Addr{}, false
}

// checksum sums an IPv6 packet with its pseudo header (RFC 8200, section 8.1): 0xffff where its own checksum is right.
func checksum(packet []byte) uint16 {
	sum := uint32(len(packet)-40) + uint32(packet[6])
	for b := packet[8:]; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	return uint16(sum>>16) + uint16(sum)
}

func addrOps(link int, addrs ...string) (o []Op) {
	for _, a := range addrs {
		o = append(o, ops(Add, Addr{link, pfx(a)})...)
	}
	return o
}

func wantAnnounced(t testing.TB, got []netip.Addr, want ...string) {
	t.Helper()
	var w []netip.Addr
	for _, a := range want {
		w = append(w, ip(a))
	}
	if len(got) != len(w) {
		t.Fatalf("announced %v, want %v", got, w)
	}
	for i := range w {
		if got[i] != w[i] {
			t.Errorf("announced %v, want %v", got, w)
		}
	}
}

// TestAnnounce: an address that comes is announced once, to all of its NIC's subnet; one that was there is not.
func TestAnnounce(t *testing.T) {
	h := newHost(t)
	l := h.plugUp("eth1", 1)
	neighbour := h.listen("eth1x")
	h.apply(addrOps(l.Index, "10.0.1.5/24", "10.0.1.6/32", "2001:db8:1::5/64")...)
	wantAnnounced(t, neighbour.announced(l.MAC[:]), "10.0.1.5", "10.0.1.6", "2001:db8:1::5")
	h.see(h.scope())
	h.apply(addrOps(l.Index, "10.0.1.7/32")...)
	h.apply(ops(Del, Addr{l.Index, pfx("10.0.1.6/32")})...)
	wantAnnounced(t, neighbour.announced(l.MAC[:]), "10.0.1.7")
}

// TestAnnounceLater: on a NIC that does not carry traffic yet it waits until one look finds that it does.
func TestAnnounceLater(t *testing.T) {
	h := newHost(t)
	l := h.plug("eth1", 1)
	neighbour := h.listen("eth1x")
	h.apply(addrOps(l.Index, "10.0.1.5/24", "10.0.1.6/32")...)
	h.see(h.scope())
	wantAnnounced(t, neighbour.announced(l.MAC[:]))
	h.apply(ops(Del, Addr{l.Index, pfx("10.0.1.6/32")})...)
	h.must(h.conn.setLink(Setting{l.Index, LinkUp, "1"}))
	h.settle("eth1", true)
	h.see(h.scope())
	wantAnnounced(t, neighbour.announced(l.MAC[:]), "10.0.1.5")
	h.see(h.scope())
	wantAnnounced(t, neighbour.announced(l.MAC[:]))
}

// TestAnnounceInVain: what cannot be announced holds nothing up, is told, and is tried again.
func TestAnnounceInVain(t *testing.T) {
	h := newHost(t)
	l := h.plugUp("eth1", 1)
	h.announcer.close()
	h.announcer = announcer{missing: unix.EPERM}
	if p := mustObserve(h).Host.Unannounced; p != "" {
		t.Errorf("there was nothing to announce: %s", p)
	}
	h.apply(addrOps(l.Index, "10.0.1.5/24")...)
	if p := mustObserve(h).Host.Unannounced; p == "" {
		t.Error("nobody says that the address was not announced")
	}
	neighbour := h.listen("eth1x")
	pending := h.announcer.pending
	h.announcer = newAnnouncer()
	h.announcer.pending = pending
	if p := mustObserve(h).Host.Unannounced; p != "" {
		t.Errorf("it was announced, and there is still said: %s", p)
	}
	wantAnnounced(t, neighbour.announced(l.MAC[:]), "10.0.1.5")
}

func mustObserve(h *host) Observation {
	h.Helper()
	o, err := h.Observe(h.Context(), h.scope())
	h.must(err)
	return o
}
