package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/offer"
)

// network is what answers to DHCP questions, and notes them.
type network struct {
	mu      sync.Mutex
	offer   offer.Offer // the zero Offer: silence
	ignored []error
	err     error // instead of ErrNone
	hangs   bool
	takes   time.Duration
	asked   []asking
}

// asking is one question to a network.
type asking struct {
	NIC     netcfg.Link
	Address netip.Addr
	At      time.Time
}

func (n *network) discover(ctx context.Context, nic netcfg.Link, address netip.Addr) (offer.Offer, []error, error) {
	n.mu.Lock()
	n.asked = append(n.asked, asking{nic, address, time.Now()})
	o, ignored, err, hangs, takes := n.offer, n.ignored, n.err, n.hangs, n.takes
	n.mu.Unlock()
	if o == (offer.Offer{}) && err == nil {
		err, takes = offer.ErrNone, 7*time.Second
	}
	if hangs {
		takes = 1000 * time.Hour
	}
	select {
	case <-ctx.Done():
		return offer.Offer{}, nil, ctx.Err()
	case <-time.After(takes):
	}
	if err != nil {
		o = offer.Offer{}
	}
	return o, ignored, err
}

func (n *network) set(change func(*network)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// questions takes those since the last call.
func (n *network) questions() []asking {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.asked
	n.asked = nil
	return asked
}

// offered1 is what the network of eni(1) offers.
func offered1(host byte) offer.Offer {
	return offer.Offer{
		Address: netip.AddrFrom4([4]byte{10, 0, 1, host}), Prefix: netip.MustParsePrefix("10.0.1.0/24"),
		Gateway: netip.MustParseAddr("10.0.1.1"), MTU: 1450, Server: netip.MustParseAddr("10.0.1.2"),
	}
}

// blank is an ENI as JD Cloud's metadata shows it: the primary address and nothing else of its network.
func blank(i, host int) metadata.Interface {
	e := eni(i, host)
	e.Addresses.State = metadata.AtLeast
	e.Subnets, e.Gateways, e.Prefixes = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}, metadata.Fact[[]netip.Prefix]{}
	e.SubnetID = metadata.Is(fmt.Sprintf("subnet-%d", i), "test")
	return e
}

// onJDCloud is a running host with the NIC of eni(1), on a cloud that says this of its ENIs.
func onJDCloud(t *testing.T, n *network, enis ...metadata.Interface) *host {
	h := newHost(t)
	h.plug(1)
	h.jdcloud(enis...)
	h.source = offered{h.cloud, newOffers(n.discover)}
	h.start()
	return h
}

func (h *host) jdcloud(enis ...metadata.Interface) {
	h.cloud.set(metadata.Snapshot{Provider: "jdcloud", Complete: true, Interfaces: enis}, nil, false)
}

// reasons are those of an ENI's problems.
func (e ENIStatus) reasons() (r []string) {
	for _, p := range e.Problems {
		r = append(r, p.Reason)
	}
	return r
}

func TestOfferCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(5), takes: time.Second}
		began := time.Now()
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.after(999 * time.Millisecond)
		h.wantAddresses("10.0.0.5")
		h.after(time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		want := []asking{{netcfg.Link{Index: 3, Name: "eth1", MAC: macOf(1), Up: true, MTU: 1500}, netip.MustParseAddr("10.0.1.5"), began}}
		if diff := cmp.Diff(want, n.questions(), compareAddrs); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		e := h.eni(1)
		by := "dhcp offer of 10.0.1.2 on eth1"
		if e.Phase != PhaseConfigured || e.Origins["subnets"] != by || e.Origins["gateway"] != by || len(e.Problems) > 0 {
			t.Errorf("the status is %+v", e)
		}
		if mtu := h.Settings[slices.IndexFunc(h.Settings, func(s netcfg.Setting) bool { return s.Link == 3 && s.Knob == netcfg.LinkMTU })].Value; mtu != "1450" {
			t.Errorf("the MTU is %s", mtu)
		}
		// What is said holds, and is asked for again once an hour.
		h.after(59 * time.Minute)
		if q := n.questions(); len(q) > 0 {
			t.Errorf("asked again: %+v", q)
		}
		h.after(2 * time.Minute)
		if q := n.questions(); len(q) != 1 {
			t.Errorf("asked after an hour: %+v", q)
		}
	})
}

// TestNoOffer: what nobody answers is asked ever less often, and told once.
func TestNoOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.after(time.Minute)
		e := h.eni(1)
		if e.Phase != netcfg.Incomplete || !slices.Contains(e.reasons(), "no-dhcp-offer") {
			t.Errorf("the status is %+v", e)
		}
		h.logged.take()
		h.after(3 * time.Hour)
		h.wantLog()
		q := n.questions()
		if len(q) < 20 || len(q) > 50 {
			t.Errorf("%d questions in three hours", len(q))
		}
		for i := 8; i < len(q); i++ {
			if pause := q[i].At.Sub(q[i-1].At); pause < 5*time.Minute || pause > 11*time.Minute {
				t.Errorf("%s between questions %d and %d", pause, i-1, i)
			}
		}
		n.set(func(n *network) { n.offer = offered1(5) })
		h.after(11 * time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		if e := h.eni(1); e.Phase != PhaseConfigured || len(e.Problems) > 0 {
			t.Errorf("the status is %+v", e)
		}
	})
}

// TestRetriesBeginAnew: after an offer the first failure is followed up soon.
func TestRetriesBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.after(2 * time.Hour)
		n.set(func(n *network) { n.offer = offered1(5) })
		h.after(11 * time.Minute)
		n.set(func(n *network) { n.offer = offer.Offer{} })
		n.questions()
		h.after(time.Hour + time.Minute)
		q := n.questions()
		if len(q) < 2 {
			t.Fatalf("asked %+v", q)
		}
		if pause := q[1].At.Sub(q[0].At); pause > 30*time.Second {
			t.Errorf("the first pause is %s", pause)
		}
	})
}

// TestDownIsNotAsked: nothing is sent by a NIC that somebody set down, until it is up again.
func TestDownIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		link := func(up string) {
			h.change(func() {
				i := slices.IndexFunc(h.Settings, func(s netcfg.Setting) bool { return s.Link == 3 && s.Knob == netcfg.LinkUp })
				h.Settings[i].Value = up
			})
		}
		h.after(time.Minute)
		link("0")
		h.after(time.Second)
		n.questions()
		h.after(time.Hour)
		if q := n.questions(); len(q) > 0 {
			t.Errorf("asked while down: %+v", q)
		}
		link("1")
		h.after(time.Second)
		if q := n.questions(); len(q) != 1 {
			t.Errorf("asked when up again: %+v", q)
		}
	})
}

// TestOfferHangs: nothing waits for a network, and a stop ends the question.
func TestOfferHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hangs: true}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		h.after(time.Minute)
		if asked := len(h.cloud.questions()); asked < 6 {
			t.Errorf("%d polls in a minute", asked)
		}
		if q := n.questions(); len(q) != 1 {
			t.Errorf("asked %+v", q)
		}
		h.jdcloud(eni(0, 5, 6), blank(1, 5))
		h.after(11 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.0.6")
		h.stop()
	})
}

// TestOfferStays: who does not answer any more takes nothing back, nor does a metadata that fails.
func TestOfferStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(5)}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.after(time.Minute)
		h.logged.take()
		before, writes := h.objects(), h.Writes
		n.set(func(n *network) { n.err = errors.New("write DHCP on eth1: no buffer space") })
		h.after(2 * time.Hour)
		h.wantLog()
		n.set(func(n *network) { n.err, n.offer = nil, offer.Offer{} })
		h.after(2 * time.Hour)
		h.wantLog()
		bare := blank(1, 5)
		bare.Addresses = metadata.Fact[[]netip.Addr]{}
		h.jdcloud(eni(0, 5), bare)
		h.after(time.Hour)
		h.wantLog()
		if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" || h.Writes != writes {
			t.Errorf("%d writes\n%s", h.Writes-writes, diff)
		}
		if len(n.questions()) < 5 {
			t.Error("nobody was asked again")
		}
	})
}
