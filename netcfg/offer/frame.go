package offer

import (
	"encoding/binary"
	"slices"

	"enid/metadata"
)

// Ports of DHCP, and what else is fixed in a frame that carries it.
const (
	clientPort, serverPort = 68, 67

	ethernetHeader, ipHeader, udpHeader = 14, 20, 8
	etherIPv4, protoUDP                 = 0x0800, 17
)

// frame wraps a message in UDP, IPv4 and Ethernet: from nobody at this NIC to everybody.
func frame(mac metadata.MAC, message []byte) []byte {
	f := slices.Repeat([]byte{0xff}, 6)
	f = append(f, mac[:]...)
	f = binary.BigEndian.AppendUint16(f, etherIPv4)
	total := ipHeader + udpHeader + len(message)
	ip := []byte{0x45, 0, byte(total >> 8), byte(total), 0, 0, 0, 0, 64, protoUDP, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip))
	udp := make([]byte, udpHeader, udpHeader+len(message))
	binary.BigEndian.PutUint16(udp[0:], clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpHeader+len(message)))
	udp = append(udp, message...)
	// The addresses, the protocol and the length count as well (RFC 768); 0 would mean that nobody has added up.
	pseudo := sum(sum(protoUDP, ip[12:20]), udp[4:6])
	if check := ^sum(pseudo, udp); check != 0 {
		binary.BigEndian.PutUint16(udp[6:], check)
	} else {
		binary.BigEndian.PutUint16(udp[6:], 0xffff)
	}
	return slices.Concat(f, ip, udp)
}

// unwrap is the message in a frame from a DHCP server, false for any other frame. UDP's checksum is not looked
// at: on a virtual NIC the one who could fill it in is the one who sees that there is no need to.
func unwrap(f []byte) (message []byte, ok bool) {
	if len(f) < ethernetHeader+ipHeader+udpHeader || binary.BigEndian.Uint16(f[12:]) != etherIPv4 {
		return nil, false
	}
	ip := f[ethernetHeader:]
	header, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || header < ipHeader || total < header+udpHeader || len(ip) < total || ip[9] != protoUDP || sum(0, ip[:header]) != 0xffff {
		return nil, false
	}
	if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
		return nil, false // a part of a packet
	}
	udp := ip[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp) != serverPort || binary.BigEndian.Uint16(udp[2:]) != clientPort || length < udpHeader || length > len(udp) {
		return nil, false
	}
	return udp[udpHeader:length], true
}

// sum goes on with the internet's sum of 16-bit words (RFC 1071) over b.
func sum(from uint16, b []byte) uint16 {
	s := uint32(from)
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
