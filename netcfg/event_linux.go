package netcfg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// eventSocket is a netlink socket that hears multicast groups.
type eventSocket struct{ file *os.File }

// openEvents opens the socket in the network namespace of the calling thread. It hears nothing yet.
func openEvents(protocol int) (eventSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return eventSocket{}, fmt.Errorf("open a netlink socket for events: %w", err)
	}
	e := eventSocket{os.NewFile(uintptr(fd), "netlink events")}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		e.close()
		return eventSocket{}, fmt.Errorf("bind the netlink socket for events: %w", err)
	}
	// With CAP_NET_ADMIN beyond the host's limit, else up to it.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer)
	}
	return e, nil
}

func (e eventSocket) close() { _ = e.file.Close() }

// listen is in the groups until ctx ends, and tells of it by running. notice judges each datagram, nil
// for a loss of some, and poke is called where it says so, and once in the beginning.
func (e eventSocket) listen(ctx context.Context, groups []int, running func(bool), notice func([]byte) bool, poke func()) error {
	if err := e.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if err := e.join(unix.NETLINK_ADD_MEMBERSHIP, groups); err != nil {
		return err
	}
	running(true)
	defer func() {
		running(false)
		_ = e.join(unix.NETLINK_DROP_MEMBERSHIP, groups) // fails only where close was first
	}()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = e.file.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-stopped
		}
	}()
	poke() // for what happened before
	return e.receive(ctx, notice, poke)
}

// join enters or leaves groups.
func (e eventSocket) join(option int, groups []int) error {
	return e.control(func(fd int) error {
		for _, group := range groups {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, group); err != nil {
				return fmt.Errorf("netlink group %d: %w", group, err)
			}
		}
		return nil
	})
}

func (e eventSocket) control(f func(fd int) error) error {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

func (e eventSocket) receive(ctx context.Context, notice func([]byte) bool, poke func()) error {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var failure error
		err := raw.Read(func(fd uintptr) bool {
			n, failure = retryEINTR(func() (int, error) { return unix.Read(int(fd), buf) })
			return !errors.Is(failure, unix.EAGAIN)
		})
		heard := buf[:max(n, 0)]
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case errors.Is(failure, unix.ENOBUFS):
			heard = nil
		case failure != nil:
			return failure
		}
		if notice(heard) {
			poke()
		}
	}
}
