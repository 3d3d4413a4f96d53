package offer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"time"

	"enid/netcfg"
)

// waits are how long an answer is waited for after each time that the question is sent (RFC 2131, 4.1, with
// shorter ones: the server is next door).
var waits = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// ErrNone is what Discover's error wraps when the question was sent and nobody made a fitting offer.
var ErrNone = errors.New("no DHCP server offers it")

// maxIgnored bounds what is told of offers that do not count.
const maxIgnored = 4

// conn is a NIC to send frames to and get them from. A read that takes longer than its deadline is
// os.ErrDeadlineExceeded.
type conn interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// Discover sends a DHCPDISCOVER by a NIC that is up, with or without an address, and returns the first sane
// offer of the address want, which the cloud says is the ENI's; of any address where want is the zero Addr, because
// the cloud leaves it to DHCP to tell. It sends up to three times and waits 7 seconds in all. It never answers an
// offer, so no lease is taken and no other DHCP client is disturbed.
//
// ignored are the offers before it that do not count: of other addresses, or such as make no sense.
// They are also there where the error is ErrNone. Any other error is that of the socket, which needs
// CAP_NET_RAW; or that of ctx.
func Discover(ctx context.Context, nic netcfg.Link, want netip.Addr) (offer Offer, ignored []error, err error) {
	if want.IsValid() && !want.Is4() {
		return Offer{}, nil, fmt.Errorf("DHCP on %s: %s is not an IPv4 address", nic.Name, want)
	}
	c, err := listen(nic)
	if err != nil {
		return Offer{}, nil, err
	}
	defer c.Close()
	q := question{id: rand.Uint32(), mac: nic.MAC, want: want}
	offer, ignored, err = q.ask(ctx, c)
	if err != nil {
		return Offer{}, ignored, fmt.Errorf("%s by DHCP on %s: %w", q.what(), nic.Name, err)
	}
	return offer, ignored, nil
}

// what is asked for, in words.
func (q question) what() string {
	if !q.want.IsValid() {
		return "an address"
	}
	return q.want.String()
}

// ask sends the question until a fitting offer comes.
func (q question) ask(ctx context.Context, c conn) (Offer, []error, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	var ignored []error
	buffer := make([]byte, maxFrame)
	began := time.Now()
	for _, wait := range waits {
		seconds := uint16(time.Since(began) / time.Second)
		_, err := c.Write(frame(q.mac, q.message(seconds)))
		if err == nil {
			err = c.SetReadDeadline(time.Now().Add(wait))
		}
		for err == nil {
			var o Offer
			var why error
			if o, why, err = q.next(c, buffer); err == nil && why == nil {
				return o, ignored, nil
			}
			ignored = note(ignored, why)
		}
		if ctx.Err() != nil {
			return Offer{}, ignored, context.Cause(ctx)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return Offer{}, ignored, err
		}
	}
	return Offer{}, ignored, ErrNone
}

// next waits for one frame. Why it does not count is in why; err is that of the NIC.
func (q question) next(c conn, buffer []byte) (o Offer, why, err error) {
	n, err := c.Read(buffer)
	if err != nil {
		return Offer{}, nil, err
	}
	m, ok := unwrap(buffer[:n])
	if !ok {
		return Offer{}, errNotOurs, nil
	}
	parsed, why := q.parse(m)
	if why == nil {
		o, why = parsed.read()
	}
	if why == nil && q.want.IsValid() && o.Address != q.want {
		why = fmt.Errorf("%s offers %s, which is not the ENI's primary address %s", o.Server, o.Address, q.want)
	}
	return o, why, nil
}

// note adds what is news to a short list.
func note(ignored []error, why error) []error {
	same := func(e error) bool { return e.Error() == why.Error() }
	if why == nil || errors.Is(why, errNotOurs) || len(ignored) == maxIgnored || slices.ContainsFunc(ignored, same) {
		return ignored
	}
	return append(ignored, why)
}
