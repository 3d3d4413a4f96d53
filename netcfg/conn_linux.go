package netcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dumpAttempts bounds how often a dump is tried again that a change of the
// kernel's tables ran into. A host where ten in a row fail is being rebuilt; the
// next pass will do.
const dumpAttempts = 10

// stall is how long the kernel may leave a request unanswered. It answers in
// the system call that asks, so that only a bug or a frozen machine comes here.
var stall = unix.Timeval{Sec: 10}

// conn is a netlink request socket. The library's own allocates 64 KiB for
// every message it receives, which is megabytes a pass; this one keeps its buffer.
type conn struct {
	fd     int
	seq    uint32
	buf    []byte
	strict bool // the kernel filters dumps (Linux 4.20)
}

// openConn opens a socket for links, addresses, routes and rules.
func openConn() (*conn, error) { return openSocket(unix.NETLINK_ROUTE) }

// openSocket opens a socket in the network namespace of the calling thread, where
// it stays whatever thread uses it.
func openSocket(protocol int) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	c := &conn{fd: fd, buf: make([]byte, 1<<16)}
	// Connected to the kernel, the socket takes messages of nobody else.
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &stall),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &stall),
		unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	if err != nil {
		c.close()
		return nil, fmt.Errorf("connect a netlink socket to the kernel: %w", err)
	}
	c.strict = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1) == nil
	// Without the explanations errors are shorter, nothing else.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return c, nil
}

// port is the port id that the kernel knows the socket by, 0 for not known.
func (c *conn) port() uint32 {
	if own, err := unix.Getsockname(c.fd); err == nil {
		if a, ok := own.(*unix.SockaddrNetlink); ok {
			return a.Pid
		}
	}
	return 0
}

func (c *conn) close() { _ = unix.Close(c.fd) }

// do sends a request that changes something and returns the kernel's answer to
// it, an errno.
func (c *conn) do(typ, flags int, parts ...nl.NetlinkRequestData) error {
	return c.exchange(request(typ, flags|unix.NLM_F_ACK, parts), func([]byte) error { return nil })
}

// dump collects what parse takes of a dump's answers; all of them or an error.
func dump[T any](c *conn, typ int, parse func([]byte) (T, bool), parts ...nl.NetlinkRequestData) ([]T, error) {
	var found []T
	err := retryInterrupted(func() error {
		found = nil
		return c.exchange(request(typ, unix.NLM_F_DUMP, parts), func(body []byte) error {
			if v, ok := parse(body); ok {
				found = append(found, v)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// retryInterrupted reads again while the kernel says that a change ran into
// the dump: what came then may lack objects that are there.
func retryInterrupted(read func() error) (err error) {
	for range dumpAttempts {
		if err = read(); !errors.Is(err, nl.ErrDumpInterrupted) {
			return err
		}
	}
	return fmt.Errorf("read %d times while others kept changing it: %w", dumpAttempts, err)
}

func request(typ, flags int, parts []nl.NetlinkRequestData) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Type: uint16(typ), Flags: unix.NLM_F_REQUEST | uint16(flags)},
		Data:     parts,
	}
}

// exchange sends a request and gives the body of every answer to visit, up to
// the last. The body is valid only until visit returns.
func (c *conn) exchange(req *nl.NetlinkRequest, visit func([]byte) error) error {
	c.seq++
	req.Seq = c.seq
	if _, err := retryEINTR(func() (int, error) { return unix.Write(c.fd, req.Serialize()) }); err != nil {
		return err
	}
	interrupted := false
	for {
		n, err := retryEINTR(func() (int, error) { return unix.Read(c.fd, c.buf) })
		if err != nil {
			return err
		}
		last, err := c.answers(c.buf[:n], &interrupted, visit)
		if err != nil {
			return err
		}
		if last && interrupted {
			return nl.ErrDumpInterrupted
		}
		if last {
			return nil
		}
	}
}

// answers reads one datagram. It reports whether the exchange is over.
func (c *conn) answers(b []byte, interrupted *bool, visit func([]byte) error) (last bool, err error) {
	for m, err := range messages(b) {
		if err != nil {
			return true, err
		}
		if m.seq != c.seq { // a late answer to a request that was given up
			continue
		}
		*interrupted = *interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		if m.typ == unix.NLMSG_DONE || m.typ == unix.NLMSG_ERROR {
			return true, m.errno()
		}
		if err := visit(m.body); err != nil {
			return true, err
		}
	}
	return false, nil
}

func retryEINTR(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// message is one netlink message.
type message struct {
	typ, flags uint16
	seq        uint32
	port       uint32 // of the socket that asked for what an event tells of, 0 for the kernel itself
	body       []byte
}

var errTruncated = errors.New("truncated netlink message")

// messages walks a datagram.
func messages(b []byte) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		for len(b) > 0 {
			if len(b) < unix.SizeofNlMsghdr {
				yield(message{}, errTruncated)
				return
			}
			size := int(u32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				yield(message{}, errTruncated)
				return
			}
			m := message{typ: u16(b[4:]), flags: u16(b[6:]), seq: u32(b[8:]), port: u32(b[12:]), body: b[unix.SizeofNlMsghdr:size]}
			if !yield(m, nil) {
				return
			}
			b = b[min(aligned(size), len(b)):]
		}
	}
}

// errno is what an NLMSG_ERROR or NLMSG_DONE says, with the kernel's
// explanation where it gives one; nil for success.
func (m message) errno() error {
	if len(m.body) < 4 {
		return nil
	}
	code := int32(u32(m.body))
	if code >= 0 {
		return nil
	}
	err := unix.Errno(-code)
	if text := m.explanation(); text != "" {
		return fmt.Errorf("%w (%s)", err, text)
	}
	return err
}

// explanation is NLMSGERR_ATTR_MSG. An NLMSG_ERROR repeats the request in front of it.
func (m message) explanation() string {
	if m.flags&unix.NLM_F_ACK_TLVS == 0 {
		return ""
	}
	rest := m.body[4:]
	if m.typ == unix.NLMSG_ERROR && len(rest) >= unix.SizeofNlMsghdr {
		skip := unix.SizeofNlMsghdr
		if m.flags&unix.NLM_F_CAPPED == 0 {
			skip = aligned(int(u32(rest)))
		}
		rest = rest[min(max(skip, 0), len(rest)):]
	}
	for typ, value := range attributes(rest) {
		if typ == nl.NLMSGERR_ATTR_MSG {
			return unix.ByteSliceToString(value)
		}
	}
	return ""
}

// attributes walks the attributes of a message, ending at the first that is
// damaged.
func attributes(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(u16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			if !yield(int(u16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)), b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(aligned(size), len(b)):]
		}
	}
}

func aligned(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func u16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }

// u32 is 0 for a value that is too short to be one.
func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func attrU32(typ int, v uint32) *nl.RtAttr { return nl.NewRtAttr(typ, nl.Uint32Attr(v)) }

func attrString(typ int, s string) *nl.RtAttr { return nl.NewRtAttr(typ, nl.ZeroTerminated(s)) }

// netlinkFamily is AF_INET or AF_INET6.
func netlinkFamily(f Family) uint8 {
	if f == V4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
