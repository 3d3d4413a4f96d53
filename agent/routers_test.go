package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/router"
)

// air is what carries router advertisements.
type air struct {
	mu    sync.Mutex
	err   error // instead of listening
	ears  map[string]*listener
	opens int
}

type listener struct {
	nic     netcfg.Link
	heard   func(router.Advertisement)
	refused func(error)
}

func (a *air) listen(ctx context.Context, nic netcfg.Link, heard func(router.Advertisement), refused func(error)) error {
	a.mu.Lock()
	err := a.err
	a.opens++
	if a.ears == nil {
		a.ears = map[string]*listener{}
	}
	mine := &listener{nic, heard, refused}
	a.ears[nic.Name] = mine
	a.mu.Unlock()
	if err == nil {
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ears[nic.Name] == mine {
		delete(a.ears, nic.Name)
	}
	return err
}

// on are the NICs that are listened on.
func (a *air) on() (names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.ears {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// says lets a router be heard on a NIC.
func (a *air) says(t *testing.T, nic string, ad router.Advertisement) {
	t.Helper()
	a.mu.Lock()
	l := a.ears[nic]
	a.mu.Unlock()
	if l == nil {
		t.Fatalf("nobody listens on %s", nic)
	}
	l.heard(ad)
	synctest.Wait()
}

func ra(last byte, lifetime time.Duration, prefixes ...string) router.Advertisement {
	a := router.Advertisement{Router: netip.AddrFrom16([16]byte{0xfe, 0x80, 15: last}), Lifetime: lifetime}
	for _, p := range prefixes {
		a.Prefixes = append(a.Prefixes, netip.MustParsePrefix(p))
	}
	return a
}

// likeAzure is an ENI as Azure's metadata shows it: of IPv6 the addresses and nothing else.
func likeAzure(i int, hosts ...int) metadata.Interface {
	e := eni(i, hosts...)
	for _, h := range hosts {
		e.Addresses.Value = append(e.Addresses.Value, six(i, h))
	}
	e.Subnets.State, e.Gateways.State = metadata.AtLeast, metadata.AtLeast
	return e
}

func six(i, host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(i), 15: byte(host)})
}

// onAzure is a running host with the NIC of eni(1).
func onAzure(t *testing.T, a *air, enis ...metadata.Interface) *host {
	h := newHost(t)
	h.plug(1)
	h.cloud.says(enis...)
	h.source = routed{h.cloud, newRouters(a.listen)}
	h.start()
	return h
}

// gateway is that of an ENI's IPv6 table.
func (h *host) gateway(i int) (via netip.Addr) {
	for _, r := range h.Routes {
		if r.Table == netcfg.DefaultNumbers.TableOf(h.eni(i).Slot) && r.Dst.Bits() == 0 && r.Dst.Addr().Is6() {
			via = r.Via
		}
	}
	return via
}

func (h *host) wantGateway(i int, want byte) {
	h.t.Helper()
	addr := netip.AddrFrom16([16]byte{0xfe, 0x80, 15: want})
	if want == 0 {
		addr = netip.Addr{}
	}
	if got := h.gateway(i); got != addr {
		h.t.Errorf("the gateway is %s, want %s", got, addr)
	}
}

func TestAdvertisementCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &air{}
		h := onAzure(t, a, eni(0, 5), likeAzure(1, 5, 6))
		defer h.stop()
		h.after(time.Second)
		if got := a.on(); !slices.Equal(got, []string{"eth1"}) {
			t.Fatalf("listens on %v", got)
		}
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6")
		if e := h.eni(1); e.Phase != netcfg.Incomplete || len(e.reasons()) == 0 {
			t.Errorf("the status is %+v", e)
		}
		ad := ra(1, 30*time.Minute, "2001:db8:0:1::/64", "2001:db8:0:9::/64")
		ad.MTU = 1400
		a.says(t, "eth1", ad)
		h.after(0)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6", "2001:db8:0:1::5", "2001:db8:0:1::6")
		h.wantGateway(1, 1)
		e := h.eni(1)
		by := "test, router advertisement of fe80::1 on eth1"
		if e.Phase != PhaseConfigured || e.Origins["subnets"] != by || e.Origins["gateway"] != by || len(e.Problems) > 0 ||
			!slices.Equal(e.Subnets, []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("2001:db8:0:1::/64")}) {
			t.Errorf("the status is %+v", e)
		}
		// The same again, every few minutes for ever, is no news.
		h.after(time.Minute)
		h.cloud.questions()
		h.logged.take()
		for range 100 {
			a.says(t, "eth1", ad)
		}
		if n := len(h.cloud.questions()); n > 0 {
			t.Errorf("the metadata was asked %d times", n)
		}
		h.wantLog()
		// The ENI's network is known now, so that a released address goes.
		h.cloud.says(eni(0, 5), likeAzure(1, 5))
		h.after(time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "2001:db8:0:1::5")
	})
}

// TestRouters: who is the gateway while routers come, go, and fall silent.
func TestRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &air{}
		h := onAzure(t, a, eni(0, 5), likeAzure(1, 5))
		defer h.stop()
		h.after(time.Second)
		says := func(want byte, ad router.Advertisement) {
			t.Helper()
			a.says(t, "eth1", ad)
			h.after(20 * time.Second) // another gateway takes two answers that say so
			h.wantGateway(1, want)
		}
		preferred := ra(3, 10*time.Minute)
		preferred.Preference = router.High
		says(0, ra(9, 0, "2001:db8:0:1::/64")) // tells the subnet, and leads nowhere
		says(1, ra(1, 10*time.Minute))
		says(1, ra(2, 10*time.Minute)) // the present one stays
		says(3, preferred)
		says(1, ra(3, 0)) // of two that want it as much, the first heard
		says(2, ra(1, 0))
		says(2, ra(2, 0)) // nobody is left: it stays, and that is told
		if e := h.eni(1); !slices.Contains(e.reasons(), "router-gone") || e.Phase != PhaseConfigured {
			t.Errorf("the status is %+v", e)
		}
		says(1, ra(1, 10*time.Minute))
		h.after(20 * time.Second)
		if e := h.eni(1); len(e.Problems) > 0 {
			t.Errorf("the status is %+v", e)
		}
		h.after(11 * time.Minute) // silence takes nothing away
		h.wantGateway(1, 1)
		if e := h.eni(1); !slices.Contains(e.reasons(), "router-expired") || e.Phase != PhaseConfigured {
			t.Errorf("the status is %+v", e)
		}
		says(2, ra(2, 10*time.Minute)) // somebody better is heard
		h.after(20 * time.Second)
		if e := h.eni(1); len(e.Problems) > 0 {
			t.Errorf("the status is %+v", e)
		}
	})
}

// TestNoRouter: it is told after a while, and once.
func TestNoRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &air{}
		h := onAzure(t, a, eni(0, 5), likeAzure(1, 5))
		defer h.stop()
		h.after(5 * time.Second)
		if slices.Contains(h.eni(1).reasons(), "no-router-advertisement") {
			t.Error("told too early")
		}
		h.after(30 * time.Second)
		if !slices.Contains(h.eni(1).reasons(), "no-router-advertisement") {
			t.Errorf("the status is %+v", h.eni(1))
		}
		a.ears["eth1"].refused(errors.New("the router advertisement of fe80::6 has the MTU 7, want 1280 to 9216"))
		h.after(time.Minute)
		if !slices.Contains(h.eni(1).reasons(), "router-advertisement-ignored") {
			t.Errorf("the status is %+v", h.eni(1))
		}
		h.logged.take()
		h.after(time.Hour)
		h.wantLog()
		if a.opens != 1 {
			t.Errorf("opened %d times", a.opens)
		}
	})
}

// TestDeafIsTold: a socket that cannot be had is told, and tried again now and then.
func TestDeafIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &air{err: errors.New("it needs CAP_NET_RAW")}
		h := onAzure(t, a, eni(0, 5), likeAzure(1, 5))
		defer h.stop()
		h.after(time.Hour)
		if e := h.eni(1); !slices.Contains(e.reasons(), "no-router-advertisement") {
			t.Errorf("the status is %+v", e)
		}
		if a.opens < 30 || a.opens > 200 {
			t.Errorf("opened %d times in an hour", a.opens)
		}
		a.mu.Lock()
		a.err = nil
		a.mu.Unlock()
		h.after(2 * time.Minute)
		a.says(t, "eth1", ra(1, time.Hour, "2001:db8:0:1::/64"))
		h.after(0)
		h.wantGateway(1, 1)
	})
}

// TestListensWhereItMust: on no NIC that is known, ignored or gone, and no longer than that.
func TestListensWhereItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := likeAzure(1, 5)
		known.Subnets.State, known.Gateways.State = metadata.Known, metadata.Known
		a := &air{}
		h := onAzure(t, a, eni(0, 5), known)
		h.after(time.Minute)
		if got := a.on(); len(got) > 0 {
			t.Errorf("listens on %v where all is known", got)
		}
		h.cloud.says(eni(0, 5), likeAzure(1, 5))
		h.after(time.Minute)
		if got := a.on(); !slices.Equal(got, []string{"eth1"}) {
			t.Errorf("listens on %v", got)
		}
		h.change(func() { h.Unplug(primaryNIC + 1) })
		h.after(time.Minute)
		if got := a.on(); len(got) > 0 {
			t.Errorf("listens on %v after its end", got)
		}
		h.stop()

		b := &air{}
		ignoring := newHost(t)
		ignoring.plug(1)
		ignoring.config.Interfaces = []InterfaceRule{{Match: Match{Name: "eth1"}, InterfaceConfig: InterfaceConfig{Ignore: true}}}
		ignoring.cloud.says(eni(0, 5), likeAzure(1, 5))
		ignoring.source = routed{ignoring.cloud, newRouters(b.listen)}
		ignoring.start()
		ignoring.after(time.Minute)
		if got := b.on(); len(got) > 0 {
			t.Errorf("listens on %v, which is to be left alone", got)
		}
		ignoring.stop()
	})
}

// TestLostDefault: while the primary's IPv6 default is lost, the routers are asked on its NIC, and no longer.
func TestLostDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &air{}
		h := newHost(t)
		primary := eni(0, 5)
		primary.Addresses.Value = append(primary.Addresses.Value, six(0, 5))
		primary.Subnets.Value = append(primary.Subnets.Value, netip.MustParsePrefix("2001:db8::/64"))
		primary.Gateways.Value = append(primary.Gateways.Value, netip.MustParseAddr("fe80::1"))
		h.cloud.says(primary)
		h.Addrs = append(h.Addrs, netcfg.Addr{Link: primaryNIC, Prefix: netip.PrefixFrom(six(0, 5), 64)})
		h.Forwards = map[netcfg.Family]bool{netcfg.V6: true}
		h.source = routed{h.cloud, newRouters(a.listen)}
		h.start()
		defer h.stop()
		h.after(time.Minute)
		if got := a.on(); !slices.Equal(got, []string{"eth0"}) {
			t.Fatalf("listens on %v", got)
		}
		h.change(func() {
			h.Routes = append(h.Routes, netcfg.Route{Table: netcfg.MainTable, Dst: netip.MustParsePrefix("::/0"),
				Via: netip.MustParseAddr("fe80::1"), Link: primaryNIC, Proto: 9, Metric: 1024})
		})
		h.after(time.Second)
		if got := a.on(); len(got) > 0 {
			t.Errorf("listens on %v although the default is back", got)
		}
		if e := h.eni(0); len(e.Problems) > 0 {
			t.Errorf("the status is %+v", e)
		}
	})
}

func TestSays(t *testing.T) {
	e := &ear{nic: netcfg.Link{Name: "eth1"}}
	e.heard(ra(1, time.Hour, "2001:db8:0:1::/64"))
	only6 := likeAzure(1, 5)
	only6.Addresses.Value = only6.Addresses.Value[1:]
	only6.Subnets, only6.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
	part := likeAzure(1, 5)
	part.Addresses.State = metadata.AtLeast
	outside := likeAzure(1, 5)
	outside.Addresses.Value = append(outside.Addresses.Value, six(2, 5))
	no4 := likeAzure(1, 5)
	no4.Subnets, no4.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
	for name, tt := range map[string]struct {
		eni             metadata.Interface
		subnet, gateway metadata.State
	}{
		"both families":         {likeAzure(1, 5), metadata.Known, metadata.Known},
		"IPv6 alone":            {only6, metadata.Known, metadata.Known},
		"more addresses":        {part, metadata.AtLeast, metadata.AtLeast},
		"another subnet":        {outside, metadata.AtLeast, metadata.Known},
		"IPv4 is not told":      {no4, metadata.AtLeast, metadata.AtLeast},
		"no address within any": {likeAzure(7, 5), metadata.Unknown, metadata.Known},
	} {
		got := e.says(tt.eni, true, true)
		if got.Subnets.State != tt.subnet || got.Gateways.State != tt.gateway {
			t.Errorf("%s: subnets %s, gateways %s", name, got.Subnets.State, got.Gateways.State)
		}
	}
}

// TestEarIsBounded: who forges routers fills no memory.
func TestEarIsBounded(t *testing.T) {
	e := &ear{}
	for i := range 200 {
		e.heard(ra(byte(i), time.Hour))
	}
	if len(e.known) != mostVoices {
		t.Errorf("%d routers are remembered", len(e.known))
	}
}

func TestRoutersOf(t *testing.T) {
	r := newRouters(nil)
	s := offered{routed{&cloud{}, r}, newOffers(nil)}
	if routersOf(s) != r || routersOf(&cloud{}) != nil || routersOf(nil) != nil {
		t.Error("not found")
	}
	real, err := NewSource(MetadataConfig{Provider: ProviderFile, File: "/nothing"})
	if err != nil || routersOf(real) == nil {
		t.Errorf("a source has no routers (%v)", err)
	}
	if diff := cmp.Diff(map[string]uint64(nil), (routed{&cloud{}, r}).Requests()); diff != "" {
		t.Error(diff)
	}
}
