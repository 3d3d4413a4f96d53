package router

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// How often routers are asked while none has answered: soon, because a NIC that has just come up is deaf for a
// second, then ever less often (RFC 7559).
const (
	askLeast = time.Second
	askMost  = 10 * time.Minute
)

// conn is a NIC to ask by, and to hear from. To hear nothing until the deadline is os.ErrDeadlineExceeded.
type conn interface {
	// receive waits for an ICMPv6 message, and says from whom it is and with which hop limit it has come.
	receive(buffer []byte) (n int, from netip.Addr, hops int, err error)
	// solicit asks all routers. An error that wraps errNoSource will pass.
	solicit() error
	SetReadDeadline(time.Time) error
	Close() error
}

// errNoSource: the NIC has no address yet to ask from, as in the second in which its link-local one is tentative.
var errNoSource = errors.New("the NIC has no usable IPv6 address yet")

// Listen calls heard with every advertisement that a NIC which is up receives, until ctx ends, and
// refused with why one does not count. It asks the routers at once, again while none offers
// itself as a default router, and when the time of the last one that did is over. It takes no packet from
// anybody: the kernel gets the same advertisements. It needs CAP_NET_RAW. The error is that of the socket, or
// that of ctx.
func Listen(ctx context.Context, nic netcfg.Link, heard func(Advertisement), refused func(error)) error {
	c, err := open(nic)
	if err != nil {
		return err
	}
	defer c.Close()
	e := ear{conn: c, heard: heard, refused: refused, until: map[netip.Addr]time.Time{},
		backoff: metadata.Backoff{Min: askLeast, Max: askMost}}
	if err := e.listen(ctx); err != nil {
		return fmt.Errorf("router advertisements on %s: %w", nic.Name, err)
	}
	return context.Cause(ctx)
}

// ear is a Listen under way.
type ear struct {
	conn
	heard   func(Advertisement)
	refused func(error)
	until   map[netip.Addr]time.Time // how long each router offers itself as a default router
	backoff metadata.Backoff
}

// mostRouters bounds what is remembered: who forges more is on the wire anyway.
const mostRouters = 16

// listen asks and hears in turn. It is nil when ctx has ended.
func (e *ear) listen(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = e.Close() })
	defer stop()
	buffer := make([]byte, 1<<16) // the longest packet
	for {
		err := e.solicit()
		if errors.Is(err, errNoSource) {
			err = nil
		}
		for next := time.Now().Add(e.backoff.Next()); err == nil; {
			if err = e.SetReadDeadline(next); err == nil {
				err = e.next(buffer)
			}
			if until := e.offered(); until.After(time.Now()) {
				next = until
				e.backoff.Reset()
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// offered is until when there is a default router.
func (e *ear) offered() (until time.Time) {
	for _, t := range e.until {
		if t.After(until) {
			until = t
		}
	}
	return until
}

// next hears one message. What it says is for others; the error is the NIC's.
func (e *ear) next(buffer []byte) error {
	n, from, hops, err := e.receive(buffer)
	if err != nil {
		return err
	}
	a, err := parse(buffer[:n], from, hops)
	switch {
	case errors.Is(err, errOther):
		return nil
	case err != nil:
		e.refused(err)
		return nil
	}
	if _, known := e.until[a.Router]; known || len(e.until) < mostRouters {
		e.until[a.Router] = time.Now().Add(a.Lifetime)
	}
	e.heard(a)
	return nil
}
