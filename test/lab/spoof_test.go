package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// ethernet is a broadcast frame.
func ethernet(source metadata.MAC, etherType uint16, payload ...byte) []byte {
	f := append(slices.Repeat([]byte{0xff}, 6), source[:]...)
	f = binary.BigEndian.AppendUint16(f, etherType)
	return append(f, payload...)
}

// ipv4 is a packet with the protocol number 253 (for experiments) and a payload to know it by.
func ipv4(src, dst string, payload string) []byte {
	h := []byte{0x45, 0, 0, byte(20 + len(payload)), 0, 0, 0, 0, 64, 253, 0, 0}
	h = append(append(h, addr(src).AsSlice()...), addr(dst).AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

// udpFromNobody is a datagram from 0.0.0.0 to 255.255.255.255.
func udpFromNobody(source metadata.MAC, from, to byte) []byte {
	p := ipv4("0.0.0.0", "255.255.255.255", string([]byte{0, from, 0, to, 0, 12, 0, 0})+"dhcp")
	p[9] = unix.IPPROTO_UDP
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	return ethernet(source, unix.ETH_P_IP, p...)
}

func ipv6(src, dst string, next byte, payload []byte) []byte {
	h := []byte{0x60, 0, 0, 0, 0, byte(len(payload)), next, 255}
	return append(append(append(h, addr(src).AsSlice()...), addr(dst).AsSlice()...), payload...)
}

// discovery is a neighbour discovery message about a target, with one link-layer address option.
func discovery(kind byte, target string, option byte, mac metadata.MAC) []byte {
	m := append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, addr(target).AsSlice()...)
	return append(append(m, option, 1), mac[:]...)
}

const (
	solicitation, advertisement, routerAdvertisement = 135, 136, 134

	sourceOption, targetOption = 1, 2
)

func arp(source, sender metadata.MAC, senderIP string) []byte {
	return arpFrame(source, sender, addr(senderIP), addr("10.0.0.254"))
}

// The VM's NIC is mac0 with 10.0.0.5, 10.0.0.32/28, 2001:db8::5 and 2001:db8:0:0:5::/80.
func TestSpoofedFrames(t *testing.T) {
	l, vm, subnets := newLab(t)
	check(t, l.SetAllowed(mac0, prefixes("10.0.0.5/32", "10.0.0.32/28", "2001:db8::5/128", "2001:db8:0:0:5::/80")))
	tests := map[string]struct {
		frame []byte
		want  Spoof // Packets 0: let through
	}{
		"own IPv4":              {frame: ethernet(mac0, unix.ETH_P_IP, ipv4("10.0.0.5", "10.0.0.254", "own")...)},
		"delegated IPv4":        {frame: ethernet(mac0, unix.ETH_P_IP, ipv4("10.0.0.40", "10.0.0.254", "pod")...)},
		"own IPv6":              {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5", "2001:db8::1", 253, []byte("own6"))...)},
		"delegated IPv6":        {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5:1:2:3", "2001:db8::1", 253, []byte("pod6"))...)},
		"link-local IPv6":       {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("fe80::77", "2001:db8::1", 253, []byte("link"))...)},
		"own ARP":               {frame: arp(mac0, mac0, "10.0.0.5")},
		"ARP probe":             {frame: arp(mac0, mac0, "0.0.0.0")},
		"DHCP discover":         {frame: udpFromNobody(mac0, 68, 67)},
		"IPv6 address probe":    {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("::", "ff02::1:ff00:5", 58, discovery(solicitation, "2001:db8::5", 14, mac2))...)},
		"own advertisement":     {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5", "ff02::1", 58, discovery(advertisement, "2001:db8::5", targetOption, mac0))...)},
		"delegated advertised":  {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5", "ff02::1", 58, discovery(advertisement, "2001:db8::5:0:0:9", targetOption, mac0))...)},
		"link-local advertised": {frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("fe80::1:2", "ff02::1", 58, discovery(advertisement, "fe80::1:2", targetOption, mac0))...)},

		"wrong IPv4": {
			frame: ethernet(mac0, unix.ETH_P_IP, ipv4("10.0.1.5", "10.0.0.254", "leak")...),
			want:  Spoof{"vm eth0", "ip", mac0, metadata.MAC{}, addr("10.0.1.5"), addr("10.0.0.254"), 1},
		},
		"wrong IPv4, beside a delegated prefix": {
			frame: ethernet(mac0, unix.ETH_P_IP, ipv4("10.0.0.48", "10.0.0.254", "leak")...),
			want:  Spoof{"vm eth0", "ip", mac0, metadata.MAC{}, addr("10.0.0.48"), addr("10.0.0.254"), 1},
		},
		"IPv4 from nobody": {
			frame: ethernet(mac0, unix.ETH_P_IP, ipv4("0.0.0.0", "10.0.0.254", "zero")...),
			want:  Spoof{"vm eth0", "ip", mac0, metadata.MAC{}, addr("0.0.0.0"), addr("10.0.0.254"), 1},
		},
		"to everybody from nobody": {
			frame: ethernet(mac0, unix.ETH_P_IP, ipv4("0.0.0.0", "255.255.255.255", "zero")...),
			want:  Spoof{"vm eth0", "ip", mac0, metadata.MAC{}, addr("0.0.0.0"), addr("255.255.255.255"), 1},
		},
		"DHCP server": {
			frame: udpFromNobody(mac0, 67, 68),
			want:  Spoof{"vm eth0", "ip", mac0, metadata.MAC{}, addr("0.0.0.0"), addr("255.255.255.255"), 1},
		},
		"another port": {
			frame: udpFromNobody(mac0, 68, 69),
			want:  Spoof{"vm eth0", "ip", mac0, metadata.MAC{}, addr("0.0.0.0"), addr("255.255.255.255"), 1},
		},
		"DHCP from another's MAC": {
			frame: udpFromNobody(mac1, 68, 67),
			want:  Spoof{"vm eth0", "ip", mac1, metadata.MAC{}, addr("0.0.0.0"), addr("255.255.255.255"), 1},
		},
		"wrong IPv6": {
			frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8:0:1::5", "2001:db8::1", 253, []byte("leak6"))...),
			want:  Spoof{"vm eth0", "ip6", mac0, metadata.MAC{}, addr("2001:db8:0:1::5"), addr("2001:db8::1"), 1},
		},
		"wrong MAC": {
			frame: ethernet(mac1, unix.ETH_P_IP, ipv4("10.0.0.5", "10.0.0.254", "mac")...),
			want:  Spoof{"vm eth0", "ip", mac1, metadata.MAC{}, addr("10.0.0.5"), addr("10.0.0.254"), 1},
		},
		"ARP with another's IP": {
			frame: arp(mac0, mac0, "10.0.0.9"),
			want:  Spoof{"vm eth0", "arp", mac0, mac0, addr("10.0.0.9"), addr("10.0.0.254"), 1},
		},
		"ARP with another's MAC inside": {
			frame: arp(mac0, mac2, "10.0.0.5"),
			want:  Spoof{"vm eth0", "arp", mac0, mac2, addr("10.0.0.5"), addr("10.0.0.254"), 1},
		},
		"ARP with another's MAC outside": {
			frame: arp(mac2, mac0, "10.0.0.5"),
			want:  Spoof{"vm eth0", "arp", mac2, mac0, addr("10.0.0.5"), addr("10.0.0.254"), 1},
		},
		"advertisement of another's address": {
			frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5", "ff02::1", 58, discovery(advertisement, "2001:db8::9", targetOption, mac0))...),
			want:  Spoof{"vm eth0", "ip6", mac0, metadata.MAC{}, addr("2001:db8::5"), addr("ff02::1"), 1},
		},
		"advertisement of another's MAC": {
			frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5", "ff02::2", 58, discovery(advertisement, "2001:db8::5", targetOption, mac2))...),
			want:  Spoof{"vm eth0", "ip6", mac0, metadata.MAC{}, addr("2001:db8::5"), addr("ff02::2"), 1},
		},
		"solicitation from another's MAC": {
			frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("2001:db8::5", "ff02::1:ff00:1", 58, discovery(solicitation, "2001:db8::1", sourceOption, mac2))...),
			want:  Spoof{"vm eth0", "ip6", mac0, metadata.MAC{}, addr("2001:db8::5"), addr("ff02::1:ff00:1"), 1},
		},
		"router advertisement": {
			frame: ethernet(mac0, unix.ETH_P_IPV6, ipv6("fe80::5", "ff02::1", 58, discovery(routerAdvertisement, "::", 0, mac0))...),
			want:  Spoof{"vm eth0", "ip6", mac0, metadata.MAC{}, addr("fe80::5"), addr("ff02::1"), 1},
		},
		"a VLAN around it": {
			frame: ethernet(mac0, unix.ETH_P_8021Q, append([]byte{0, 5, 8, 0}, ipv4("10.0.0.5", "10.0.0.254", "vlan")...)...),
			want:  Spoof{Port: "vm eth0", Kind: "ethertype 8021q", MAC: mac0, Packets: 1},
		},
		"a protocol without a name": {
			frame: ethernet(mac0, 0x88b5, make([]byte, 46)...),
			want:  Spoof{Port: "vm eth0", Kind: "ethertype 34997", MAC: mac0, Packets: 1},
		},
	}
	from, err := vm.Packets("eth0", unix.ETH_P_ALL)
	check(t, err)
	defer from.Close()
	to, err := subnets[0].Neighbour.Packets("eth0", unix.ETH_P_ALL)
	check(t, err)
	defer to.Close()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			check(t, l.ResetSpoofed())
			_, err := from.Write(tt.frame)
			check(t, err)
			if tt.want.Packets == 0 {
				check(t, to.awaitFrame(tt.frame))
				wantSpoofs(t, l)
				return
			}
			await(t, func() bool { got, err := l.Spoofed(); return err != nil || len(got) > 0 })
			wantSpoofs(t, l, tt.want)
			// What was dropped has not gone out behind one that was let through.
			last := ethernet(mac0, unix.ETH_P_IP, ipv4("10.0.0.5", "10.0.0.254", "after "+name)...)
			_, err = from.Write(last)
			check(t, err)
			check(t, to.awaitFrame(last, tt.frame))
		})
	}
}

// awaitFrame reads until want comes, and fails where one of never is among what comes before.
func (s *PacketSocket) awaitFrame(want []byte, never ...[]byte) error {
	if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	frame := make([]byte, 2000)
	for {
		n, err := s.Read(frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errors.New("a frame that is right has not come through")
		case err != nil:
			return err
		case slices.ContainsFunc(never, func(f []byte) bool { return bytes.HasPrefix(frame[:n], f) }):
			return errors.New("a spoofed frame has come through")
		case bytes.HasPrefix(frame[:n], want):
			return nil
		}
	}
}

func TestSpoofString(t *testing.T) {
	tests := map[string]Spoof{
		"3 × ip from vm eth1, source 02:29:96:8f:00:01 10.0.0.5 to 10.0.1.254": {
			Port: "vm eth1", Kind: "ip", MAC: mac1, Src: addr("10.0.0.5"), Dst: addr("10.0.1.254"), Packets: 3},
		"1 × arp from vm eth1, source 02:29:96:8f:00:01 (sender 02:29:96:8f:00:02) 10.0.0.5 to 10.0.1.254": {
			Port: "vm eth1", Kind: "arp", MAC: mac1, Sender: mac2, Src: addr("10.0.0.5"), Dst: addr("10.0.1.254"), Packets: 1},
		"2 × ethertype lldp from vm eth1, source 02:29:96:8f:00:01": {
			Port: "vm eth1", Kind: "ethertype lldp", MAC: mac1, Packets: 2},
	}
	for want, s := range tests {
		if got := s.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestParseEvidence(t *testing.T) {
	const key = `{"nftables":[{"set":{"name":"spoof4","elem":[{"elem":{"val":{"concat":["p1","02:29:96:8f:00:01","10.0.0.1"KEY]},"counter":{"packets":7}}}]}},{"counter":{"name":"spoofs","packets":9}}]}`
	spoofs, total, err := parseEvidence(bytes.Replace([]byte(key), []byte("KEY"), []byte(`,"10.0.0.2"`), 1))
	check(t, err)
	want := []Spoof{{Port: "p1", Kind: "ip", MAC: mac1, Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), Packets: 7}}
	if diff := cmp.Diff(want, spoofs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || total != 9 {
		t.Errorf("total %d, want 9; (-want +got):\n%s", total, diff)
	}
	for _, bad := range []string{``, `,"ten"`, `,"10.0.0.2","10.0.0.3"`} {
		if _, _, err := parseEvidence(bytes.Replace([]byte(key), []byte("KEY"), []byte(bad), 1)); err == nil {
			t.Errorf("a key that ends in %q is no error", bad)
		}
	}
}

func FuzzParseEvidence(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"metainfo":{}},{"set":{"name":"spoofother","elem":[{"elem":{"val":{"concat":["p1","02:00:00:00:00:01",34997]},"counter":{"packets":1}}}]}}]}`))
	f.Add([]byte(`{"nftables":[{"set":{"name":"spoofarp","elem":[{"elem":{"val":{"concat":["p1","02:00:00:00:00:01","02:00:00:00:00:01","10.0.0.1","10.0.0.2"]},"counter":{"packets":1}}}]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		spoofs, _, err := parseEvidence(b)
		for _, s := range spoofs {
			if err == nil && (s.Kind == "" || s.Packets == 0) {
				t.Errorf("evidence of nothing: %+v", s)
			}
		}
	})
}
