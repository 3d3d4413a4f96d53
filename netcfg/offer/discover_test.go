package offer

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"enid/netcfg"
)

// network is what is at the other end of the NIC: it answers each question with frames.
type network struct {
	net.Conn
	questions chan []byte
}

// serve starts a network that answers the nth question with the frames of answers[n].
func serve(answers ...[][]byte) (conn, *network) {
	near, far := net.Pipe()
	n := &network{far, make(chan []byte, 8)}
	go func() {
		for {
			buffer := make([]byte, maxFrame)
			size, err := far.Read(buffer)
			if err != nil {
				return
			}
			n.questions <- buffer[:size]
			if len(answers) == 0 {
				continue
			}
			for _, f := range answers[0] {
				if _, err := far.Write(f); err != nil {
					return
				}
			}
			answers = answers[1:]
		}
	}()
	return near, n
}

// offering is a frame that offers an address.
func offering(host byte, options map[byte][]byte) []byte {
	m := reply(options)
	m[atYours+3] = host
	return served(m)
}

func TestAsk(t *testing.T) {
	good, foreign := offering(5, usual()), offering(77, with(optServer, 10, 0, 1, 3))
	noise := served(reply(with(optType, 5)))
	tests := map[string]struct {
		answers [][][]byte
		sent    int
		took    time.Duration
		ignored string
		err     error
	}{
		"at once":          {answers: [][][]byte{{good}}, sent: 1},
		"after noise":      {answers: [][][]byte{{{1, 2, 3}, noise, good}}, sent: 1},
		"after a foreign":  {answers: [][][]byte{{foreign, foreign, good}}, sent: 1, ignored: "10.0.1.3 offers 10.0.1.77, which is not the ENI's primary address 10.0.1.5"},
		"the second time":  {answers: [][][]byte{nil, {good}}, sent: 2, took: time.Second},
		"the third time":   {answers: [][][]byte{nil, {noise}, {good}}, sent: 3, took: 3 * time.Second},
		"never":            {sent: 3, took: 7 * time.Second, err: ErrNone},
		"only a foreign":   {answers: [][][]byte{{foreign}, {foreign}}, sent: 3, took: 7 * time.Second, err: ErrNone, ignored: "10.0.1.77"},
		"without sense":    {answers: [][][]byte{{offering(5, with(optMask))}}, sent: 3, took: 7 * time.Second, err: ErrNone, ignored: "no subnet mask"},
		"sense the second": {answers: [][][]byte{{offering(5, with(optMask))}, {good}}, sent: 2, took: time.Second, ignored: "no subnet mask"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, n := serve(tt.answers...)
				began := time.Now()
				o, ignored, err := asked.ask(context.Background(), c)
				if took := time.Since(began); took != tt.took || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Errorf("%v after %s, want %v after %s", err, took, tt.err, tt.took)
				}
				if want := offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 1450); err == nil && o != want {
					t.Errorf("got %+v, want %+v", o, want)
				}
				if (tt.ignored == "") != (len(ignored) == 0) || len(ignored) > 1 || len(ignored) == 1 && !strings.Contains(ignored[0].Error(), tt.ignored) {
					t.Errorf("ignored %v, want %q", ignored, tt.ignored)
				}
				c.Close()
				synctest.Wait()
				close(n.questions)
				checkQuestions(t, n.questions, tt.sent)
			})
		})
	}
}

// checkQuestions: all are one DHCPDISCOVER, whose seconds go on.
func checkQuestions(t *testing.T, questions <-chan []byte, want int) {
	t.Helper()
	n := 0
	for f := range questions {
		m := f[ethernetHeader+ipHeader+udpHeader:]
		if diff := cmp.Diff(asked.message(uint16([]int{0, 1, 3}[n])), m); diff != "" {
			t.Errorf("question %d (-want +got):\n%s", n, diff)
		}
		n++
	}
	if n != want {
		t.Errorf("%d questions, want %d", n, want)
	}
}

// TestOffersAreBounded: a server that offers all addresses in turn fills no memory.
func TestOffersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all [][]byte
		for host := byte(10); host < 200; host++ {
			all = append(all, offering(host, usual()))
		}
		c, _ := serve(all)
		_, ignored, err := asked.ask(context.Background(), c)
		if len(ignored) != maxIgnored || !errors.Is(err, ErrNone) {
			t.Errorf("%d ignored, %v", len(ignored), err)
		}
		c.Close()
	})
}

// TestAskEnds: with its context, at once, and leaves nothing behind.
func TestAskEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		c, _ := serve()
		why := errors.New("enid stops")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(why) })
		began := time.Now()
		_, _, err := asked.ask(ctx, c)
		if took := time.Since(began); !errors.Is(err, why) || took != 1500*time.Millisecond {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// TestNICGoes: an error of the NIC is no silence of the network.
func TestNICGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := serve()
		time.AfterFunc(time.Second/2, func() { n.Close() })
		if _, _, err := asked.ask(context.Background(), c); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("got %v", err)
		}
		c.Close()
	})
}

func TestDiscoverWantsIPv4(t *testing.T) {
	if _, _, err := Discover(t.Context(), linkOf("eth1"), six); err == nil || !strings.Contains(err.Error(), "IPv4") {
		t.Errorf("got %v", err)
	}
}

var six = netip.MustParseAddr("2001:db8::5")

func linkOf(name string) netcfg.Link {
	return netcfg.Link{Index: 9999, Name: name, MAC: asked.mac, Up: true}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// TestAskForAny: where nobody knows the address, it is not asked for, and what is offered counts.
func TestAskForAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := serve([][]byte{offering(77, usual())})
		any := asked
		any.want = netip.Addr{}
		o, ignored, err := any.ask(context.Background(), c)
		if want := netip.MustParseAddr("10.0.1.77"); err != nil || len(ignored) > 0 || o.Address != want {
			t.Errorf("got %+v, ignored %v, %v; want an offer of %s", o, ignored, err, want)
		}
		c.Close()
		synctest.Wait()
		q, ok := unwrapped(<-n.questions)
		if !ok || q[optRequested] != nil || len(q[optType]) != 1 {
			t.Errorf("the question has the options %v", q)
		}
	})
}

// unwrapped are the options of a question in its frame.
func unwrapped(frame []byte) (options, bool) {
	o := options{}
	m := frame[len(frame)-leastMessage:]
	return o, o.add(m[atOptions:])
}
