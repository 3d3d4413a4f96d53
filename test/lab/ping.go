package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"crypto/rand"
)

// ICMP's echo messages (RFC 792, RFC 4443).
const (
	icmp4Request, icmp4Reply = 8, 0
	icmp6Request, icmp6Reply = 128, 129
	icmpHeader               = 8 // bytes
)

// Ping sends one ICMP echo request from a host to dst, from src where it is valid, and
// waits for the reply.
func (h *Host) Ping(ctx context.Context, src, dst netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := h.ping(ctx, src, dst)
	if err != nil {
		return fmt.Errorf("ping from %s %s to %s: %w", h.Name, sourceText(src), dst, err)
	}
	return nil
}

func (h *Host) ping(ctx context.Context, src, dst netip.Addr) error {
	network, request, reply := "ip4:icmp", byte(icmp4Request), byte(icmp4Reply)
	if dst.Is6() {
		network, request, reply = "ip6:ipv6-icmp", icmp6Request, icmp6Reply
	}
	conn, err := h.dialIP(ctx, network, src, dst)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	message := echoMessage(request)
	if _, err := conn.Write(message); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf) // without the IPv4 header, unlike Read
		if err != nil {
			return err
		}
		// Type apart, a reply is the request, whatever the checksum became.
		if n == len(message) && buf[0] == reply && string(buf[4:n]) == string(message[4:]) {
			return nil
		}
	}
}

func (h *Host) dialIP(ctx context.Context, network string, src, dst netip.Addr) (*net.IPConn, error) {
	var d net.Dialer
	if src.IsValid() {
		d.LocalAddr = &net.IPAddr{IP: src.AsSlice()}
	}
	var conn net.Conn
	err := h.Do(func() (err error) {
		conn, err = d.DialContext(ctx, network, dst.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	ip, ok := conn.(*net.IPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no IP connection", conn), conn.Close())
	}
	return ip, nil
}

// echoMessage is an echo request with random contents. The kernel fills in the checksum
// of ICMPv6.
func echoMessage(kind byte) []byte {
	m := make([]byte, icmpHeader+16)
	_, _ = rand.Read(m[4:]) // never fails
	m[0] = kind
	if kind == icmp4Request {
		binary.BigEndian.PutUint16(m[2:], checksum(m))
	}
	return m
}

// checksum is the Internet's (RFC 1071), of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
