package router

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"

	"enid/metadata"
)

// wire is a NIC whose network the test plays: packets go as source, hop limit, message.
type wire struct {
	net.Conn
	began time.Time
	deaf  time.Duration // how long there is no address to ask from

	mu    sync.Mutex
	asked []time.Duration
}

func (w *wire) receive(b []byte) (n int, from netip.Addr, hops int, err error) {
	packet := make([]byte, 2000)
	n, err = w.Read(packet)
	if err != nil {
		return 0, from, 0, err
	}
	return copy(b, packet[17:n]), netip.AddrFrom16([16]byte(packet[:16])), int(packet[16]), nil
}

func (w *wire) solicit() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, time.Since(w.began).Round(time.Millisecond))
	if time.Since(w.began) < w.deaf {
		return errNoSource
	}
	return nil
}

func (w *wire) questions() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

func packet(from netip.Addr, hops byte, message []byte) []byte {
	b := from.As16()
	return append(append(b[:], hops), message...)
}

// session is a Listen on a wire.
type session struct {
	*wire
	far     net.Conn
	heard   []Advertisement
	refused []string
	end     func() error
}

func listening(t *testing.T, deaf time.Duration) *session {
	near, far := net.Pipe()
	s := &session{wire: &wire{Conn: near, began: time.Now(), deaf: deaf}, far: far}
	ctx, cancel := context.WithCancel(context.Background())
	e := ear{conn: s.wire, until: map[netip.Addr]time.Time{},
		heard:   func(a Advertisement) { s.heard = append(s.heard, a) },
		refused: func(err error) { s.refused = append(s.refused, err.Error()) },
		backoff: metadata.Backoff{Min: askLeast, Max: askMost, Random: func() float64 { return 1 }}}
	done := make(chan error, 1)
	go func() { done <- e.listen(ctx) }()
	s.end = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = s.end() })
	return s
}

// says sends a packet to the NIC.
func (s *session) says(t *testing.T, p []byte) {
	t.Helper()
	if _, err := s.far.Write(p); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// after lets time pass, and gives the questions since the beginning.
func (s *session) after(d time.Duration) []time.Duration {
	<-time.After(d)
	synctest.Wait()
	return s.questions()
}

func seconds(at ...float64) (d []time.Duration) {
	for _, s := range at {
		d = append(d, time.Duration(s*float64(time.Second)))
	}
	return d
}

// TestAsksUntilAnswered: at once, ever less often, then not while a router's word lasts.
func TestAsksUntilAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listening(t, 0)
		if diff := cmp.Diff(seconds(0, 1, 3, 7, 15), s.after(16*time.Second)); diff != "" {
			t.Errorf("unanswered (-want +got):\n%s", diff)
		}
		s.says(t, packet(one, 255, written(t, ndp.RouterAdvertisement{RouterLifetime: 10 * time.Minute}, onLink(subnet))))
		if diff := cmp.Diff(seconds(0, 1, 3, 7, 15), s.after(9*time.Minute)); diff != "" {
			t.Errorf("answered (-want +got):\n%s", diff)
		}
		// Its time goes on with the next one; when it is over, it is asked after.
		s.says(t, packet(one, 255, written(t, ndp.RouterAdvertisement{RouterLifetime: 10 * time.Minute})))
		if diff := cmp.Diff(seconds(0, 1, 3, 7, 15, 16+9*60+10*60, 1157, 1159), s.after(10*time.Minute+4*time.Second)); diff != "" {
			t.Errorf("over (-want +got):\n%s", diff)
		}
		if len(s.heard) != 2 || len(s.heard[0].Prefixes) != 1 || len(s.refused) != 0 {
			t.Errorf("heard %+v, refused %v", s.heard, s.refused)
		}
		if err := s.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestNoDefaultIsNoAnswer: a router that is none by default is heard, and does not end the questions.
func TestNoDefaultIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listening(t, 0)
		synctest.Wait()
		s.says(t, packet(one, 255, written(t, ndp.RouterAdvertisement{}, onLink(subnet))))
		if diff := cmp.Diff(seconds(0, 1, 3), s.after(4*time.Second)); diff != "" || len(s.heard) != 1 {
			t.Errorf("heard %v (-want +got):\n%s", s.heard, diff)
		}
	})
}

// TestNoise: what is no good is told, what is of no concern is not, and neither changes when to ask.
func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listening(t, 0)
		synctest.Wait()
		s.says(t, packet(one, 64, written(t, usual())))
		s.says(t, packet(netip.MustParseAddr("2001:db8::1"), 255, written(t, usual())))
		s.says(t, packet(one, 255, solicitation()))
		if diff := cmp.Diff(seconds(0, 1, 3), s.after(4*time.Second)); diff != "" || len(s.heard) != 0 {
			t.Errorf("heard %v (-want +got):\n%s", s.heard, diff)
		}
		if len(s.refused) != 2 || !strings.Contains(s.refused[0], "hop limit of 64") || !strings.Contains(s.refused[1], "link-local") {
			t.Errorf("refused %q", s.refused)
		}
	})
}

// TestManyRouters: who forges a thousand routers fills no memory.
func TestManyRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		e := ear{conn: &wire{Conn: near}, heard: func(Advertisement) {}, until: map[netip.Addr]time.Time{}}
		ra := written(t, usual())
		go func() {
			for i := range 1000 {
				_, _ = far.Write(packet(netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(i >> 8), 15: byte(i)}), 255, ra))
			}
		}()
		buffer := make([]byte, 2000)
		for range 1000 {
			if err := e.next(buffer); err != nil {
				t.Fatal(err)
			}
		}
		if len(e.until) != mostRouters {
			t.Errorf("%d remembered", len(e.until))
		}
	})
}

// TestTentative: while the NIC has no address to ask from, it is tried again soon.
func TestTentative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listening(t, 1500*time.Millisecond)
		if diff := cmp.Diff(seconds(0, 1, 3), s.after(4*time.Second)); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

// TestNICGoes: an error of the NIC ends it.
func TestNICGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listening(t, 0)
		synctest.Wait()
		s.far.Close()
		synctest.Wait()
		if err := s.end(); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
