package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"enid/netcfg"
)

// socket is a raw ICMPv6 socket on one NIC. The kernel checks the sums of what comes and makes those of what goes.
type socket struct {
	*os.File
	nic int // ifindex
}

// allRouters is the group of a link's routers.
var allRouters = netip.MustParseAddr("ff02::2")

// open makes a socket that hears nothing but router advertisements, by the NIC alone.
func open(nic netcfg.Link) (conn, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, fmt.Errorf("open a socket for router advertisements on %s: %w", nic.Name, advise(err))
	}
	s := socket{os.NewFile(uintptr(fd), "router advertisements on "+nic.Name), nic.Index}
	if err := s.narrow(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("narrow the socket for router advertisements to %s: %w", nic.Name, err), s.Close())
	}
	return s, nil
}

func (s socket) narrow(fd int) error {
	var filter unix.ICMPv6Filter // a bit set is a type that is blocked
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[typeAdvertisement/32] &^= 1 << (typeAdvertisement % 32)
	err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
	for _, o := range []struct{ level, option, value int }{
		{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, s.nic},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit},
		{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0},
	} {
		if e := unix.SetsockoptInt(fd, o.level, o.option, o.value); e != nil && !(o.option == unix.SO_BINDTOIFINDEX && errors.Is(e, unix.ENOPROTOOPT)) {
			err = errors.Join(err, fmt.Errorf("option %d: %w", o.option, e))
		}
	}
	return err
}

func advise(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w; it needs CAP_NET_RAW: run enid as root, or give its service that capability", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w; allow AF_INET6 in RestrictAddressFamilies of its service, or say the IPv6 gateway in an interfaces document", err)
	}
	return err
}

// solicit asks from the NIC's link-local address, or from another of the NIC's.
func (s socket) solicit() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet6{Addr: allRouters.As16(), ZoneId: uint32(s.nic)}
	var failure error
	err = raw.Write(func(fd uintptr) bool {
		failure = unix.Sendto(int(fd), solicitation(), 0, to)
		return !errors.Is(failure, unix.EAGAIN)
	})
	if errors.Is(failure, unix.EADDRNOTAVAIL) || errors.Is(failure, unix.ENETUNREACH) || errors.Is(failure, unix.ENETDOWN) {
		return fmt.Errorf("%w: %w", errNoSource, failure)
	}
	return errors.Join(err, failure)
}

func (s socket) receive(buffer []byte) (n int, from netip.Addr, hops int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, from, 0, err
	}
	control := make([]byte, 128)
	for {
		var failure error
		var size int
		var sender unix.Sockaddr
		err = raw.Read(func(fd uintptr) bool {
			n, size, _, sender, failure = unix.Recvmsg(int(fd), buffer, control, 0)
			return !errors.Is(failure, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return 0, from, 0, err
		case errors.Is(failure, unix.EINTR), errors.Is(failure, unix.ENETDOWN): // the NIC may come up again
			continue
		case failure != nil:
			return 0, from, 0, failure
		}
		if a, ok := sender.(*unix.SockaddrInet6); ok {
			from = netip.AddrFrom16(a.Addr)
		}
		hops, nic := ancillary(control[:size])
		if nic == s.nic {
			return n, from, hops, nil
		}
	}
}

// ancillary reads the hop limit of a packet, and the NIC that it has come by; -1 for what is not said.
func ancillary(control []byte) (hops, nic int) {
	hops, nic = -1, -1
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return hops, nic
	}
	for _, m := range messages {
		switch {
		case m.Header.Level != unix.IPPROTO_IPV6:
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			hops = int(int32(native32(m.Data)))
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 20:
			nic = int(int32(native32(m.Data[16:])))
		}
	}
	return hops, nic
}

func native32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
