package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// exchangeSize is how much Exchange says, in bytes.
const exchangeSize = 300

// exchangeTimeout leaves time to a machine that is busy with something else. By UDP nothing is sent again.
const exchangeTimeout = 10 * time.Second

// Exchange says something from a host to an echo server by network "tcp" or "udp" and waits for all of it
// to come back. The source is src where it is valid, else the kernel's choice.
func (h *Host) Exchange(ctx context.Context, network string, src netip.Addr, dst netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	s, err := h.Session(ctx, network, src, dst)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Echo(ctx, exchangeSize)
}

// Session is a conversation with an echo server that is kept open.
type Session struct {
	net.Conn
	name string
}

// Session opens a conversation from a host, by network "tcp" or "udp". The caller closes it.
func (h *Host) Session(ctx context.Context, network string, src netip.Addr, dst netip.AddrPort) (*Session, error) {
	name := fmt.Sprintf("%s from %s %s to %s", network, h.Name, sourceText(src), dst)
	conn, err := h.Dial(ctx, network, src, dst)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Session{conn, name}, nil
}

// Echo says size bytes, by UDP in one packet, and waits until ctx ends for all of them to come back.
func (s *Session) Echo(ctx context.Context, size int) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(exchangeTimeout)
	}
	if err := echo(s, size, deadline); err != nil {
		return fmt.Errorf("%s: echo of %d bytes: %w", s.name, size, err)
	}
	return nil
}

// echo says size bytes and waits for all of them to come back.
func echo(conn net.Conn, size int, deadline time.Time) error {
	question, answer := make([]byte, size), make([]byte, size)
	_, _ = rand.Read(question) // never fails
	err := conn.SetDeadline(deadline)
	if err == nil {
		_, err = conn.Write(question)
	}
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err == nil && string(answer) != string(question) {
		err = errors.New("it is not what was sent")
	}
	return err
}

// SourcePort is where a host that TellSource was called on answers, by TCP.
const SourcePort = 9

// TellSource makes a host tell everybody who connects to its SourcePort the address that they seem to have.
// The caller closes the listener.
func (h *Host) TellSource() (io.Closer, error) {
	l, err := h.Listen("tcp", fmt.Sprintf(":%d", SourcePort))
	if err != nil {
		return nil, fmt.Errorf("tell sources in host %s: %w", h.Name, err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			from := netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr().Unmap()
			_, _ = io.WriteString(conn, from.String()) // whoever does not get it will say so
			conn.Close()
		}
	}()
	return l, nil
}

// SeenBy is the address that a host at dst, which must tell sources, sees when this host connects to it,
// from src where it is valid.
func (h *Host) SeenBy(ctx context.Context, src, dst netip.Addr) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s, err := h.Session(ctx, "tcp", src, netip.AddrPortFrom(dst, SourcePort))
	if err != nil {
		return netip.Addr{}, err
	}
	defer s.Close()
	deadline, _ := ctx.Deadline()
	if err := s.SetDeadline(deadline); err != nil {
		return netip.Addr{}, err
	}
	text, err := io.ReadAll(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: its source: %w", s.name, err)
	}
	return netip.ParseAddr(string(text))
}
