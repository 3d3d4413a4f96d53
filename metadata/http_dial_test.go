package metadata

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	c, err := NewClient("http://"+listener.Addr().String(), Dial{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Get(t.Context(), "/x", nil)
	want := "metadata service http://" + listener.Addr().String() + ": GET /x: connect: connection refused"
	if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// pipe makes c dial a peer in memory, so that time can be the bubble's.
func pipe(t *testing.T, dial func(ctx context.Context) (net.Conn, error)) *Client {
	c, err := NewClient("http://service", Dial{})
	if err != nil {
		t.Fatal(err)
	}
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return c
}

// A peer may be silent, send a byte now and then, or never take the connection.
func TestHang(t *testing.T) {
	silent := func(peer net.Conn) { io.Copy(io.Discard, peer) }
	drip := func(peer net.Conn) {
		peer.Read(make([]byte, 1024))
		_, err := peer.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
		for err == nil {
			<-time.After(time.Second)
			_, err = peer.Write([]byte("x"))
		}
	}
	for name, peer := range map[string]func(net.Conn){"silent": silent, "drip": drip, "deaf": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var peers sync.WaitGroup
				testHang(t, pipe(t, func(ctx context.Context) (net.Conn, error) {
					if peer == nil {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					ours, theirs := net.Pipe()
					peers.Go(func() { peer(theirs) })
					return ours, nil
				}))
				synctest.Wait() // nothing is dialled any more
				peers.Wait()
			})
		})
	}
}

func testHang(t *testing.T, c *Client) {
	began := time.Now()
	_, err := c.Get(t.Context(), "/x", nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took != requestTimeout {
		t.Errorf("took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Get(ctx, "/x", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != requestTimeout+time.Second {
		t.Errorf("bounded by the caller: %v after %v", err, time.Since(began))
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(ctx, "/x", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if diff := cmp.Diff(map[string]uint64{"timeout": 2, "canceled": 1}, c.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	c.http.CloseIdleConnections()
}

func TestForbiddenByRoute(t *testing.T) {
	t.Parallel()
	c := pipe(t, func(context.Context) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EACCES}
	})
	for mark, want := range map[uint32]string{
		0: "permission denied; a prohibit route or a firewall locks the service, as systemd-imdsd does: set metadata.mark",
		7: "permission denied; a prohibit route or a firewall locks the service, also for the mark 0x7 of metadata.mark",
	} {
		c.dial.Mark = mark
		_, err := c.Get(t.Context(), "/x", nil)
		if !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want …%s", err, want)
		}
	}
}

// TestNoSuchInterface: what the kernel says of a setting names the setting.
func TestNoSuchInterface(t *testing.T) {
	t.Parallel()
	c, err := NewClient("http://127.0.0.1:1", Dial{Interface: "no-such-nic"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Get(t.Context(), "/x", nil)
	want := "metadata service http://127.0.0.1:1: GET /x: bind the connection to metadata.interface no-such-nic: no such device; name a NIC of this host, or none"
	if !errors.Is(err, syscall.ENODEV) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
