package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// echoServer sends back what comes, by TCP and UDP, on all addresses of a host.
type echoServer struct {
	tcp net.Listener
	udp *net.UDPConn

	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]bool
}

// ServeEcho makes the host answer on EchoPort, by TCP and UDP, on every address that it
// has or will have, until the lab is closed. A second call does nothing.
func (h *Host) ServeEcho() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.echo != nil {
		return nil
	}
	e := &echoServer{conns: map[net.Conn]bool{}}
	err := h.Do(func() (err error) {
		if e.tcp, err = net.Listen("tcp", fmt.Sprintf(":%d", EchoPort)); err != nil {
			return err
		}
		e.udp, err = listenUDP()
		return err
	})
	if err != nil {
		if e.tcp != nil {
			err = errors.Join(err, e.tcp.Close())
		}
		return fmt.Errorf("lab: echo server in host %s: %w", h.Name, err)
	}
	e.running.Go(e.serveTCP)
	e.running.Go(e.serveUDP)
	h.echo = e
	return nil
}

// listenUDP listens with the destination of each packet at hand: an answer has to come
// from the address that was asked, not from the one that the route prefers.
func listenUDP() (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			deepQueue(fd)
		})
		return errors.Join(err, set)
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", EchoPort))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func (e *echoServer) serveTCP() {
	for {
		conn, err := e.tcp.Accept()
		if err != nil {
			return // closed
		}
		if !e.track(conn) {
			return
		}
		e.running.Go(func() {
			defer e.untrack(conn)
			// By their bare methods: left to itself, Copy keeps two pipes for each connection.
			_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
		})
	}
}

func (e *echoServer) serveUDP() {
	buf, oob := make([]byte, 64<<10), make([]byte, 256)
	for {
		n, oobn, _, from, err := e.udp.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error about an answer
		}
		// Whoever cannot be answered has lost a packet, which is for the asker to find.
		_, _, _ = e.udp.WriteMsgUDPAddrPort(buf[:n], answerFrom(oob[:oobn]), from)
	}
}

// deepQueue lets a socket wait for a CPU that is busy with something else without losing packets: who
// counts lost ones wants those of the network. Only root of the machine may go beyond the limit.
func deepQueue(fd uintptr) {
	const bytes = 16 << 20
	if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
}

// answerFrom turns the control message with a packet's destination into one with an
// answer's source. The NIC is left to routing: that is what is tested.
func answerFrom(oob []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo {
			info := *(*unix.Inet6Pktinfo)(unsafe.Pointer(&m.Data[0]))
			if a := netip.AddrFrom16(info.Addr); a.IsMulticast() {
				return nil
			}
			info.Ifindex = 0
			return unix.PktInfo6(&info)
		}
	}
	return nil
}

// track keeps a connection so that close can end it; false means that close was faster.
func (e *echoServer) track(conn net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		conn.Close()
		return false
	}
	e.conns[conn] = true
	return true
}

func (e *echoServer) untrack(conn net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, conn)
	conn.Close()
}

// close ends the server and all its goroutines.
func (e *echoServer) close() error {
	err := errors.Join(e.tcp.Close(), e.udp.Close())
	e.mu.Lock()
	e.closed = true
	for conn := range e.conns {
		conn.Close()
	}
	e.mu.Unlock()
	e.running.Wait()
	return err
}
