package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/offer"
)

// TestOfferIsAboutOneNIC: another NIC, or another address, is asked for anew.
func TestOfferIsAboutOneNIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(5)}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.after(time.Minute)
		n.questions()
		h.change(func() {
			h.Unplug(3)
			h.Plug(netcfg.Link{Index: 9, Name: "eth9", MAC: macOf(1), MTU: 1500})
		})
		h.after(time.Second)
		if q := n.questions(); len(q) != 1 || q[0].NIC.Index != 9 {
			t.Errorf("after another NIC: %+v", q)
		}
		h.jdcloud(eni(0, 5), blank(1, 7))
		n.set(func(n *network) { n.offer = offered1(7) })
		h.after(11 * time.Second)
		if q := n.questions(); len(q) != 1 || q[0].Address != netip.MustParseAddr("10.0.1.7") {
			t.Errorf("after another address: %+v", q)
		}
	})
}

// TestForeignOffer: what is offered that is not the ENI's is told, and does nothing.
func TestForeignOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{ignored: []error{errors.New("10.0.1.3 offers 10.0.1.77, which is not the ENI's primary address 10.0.1.5")}}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.after(time.Minute)
		h.wantAddresses("10.0.0.5")
		e := h.eni(1)
		i := slices.Index(e.reasons(), "dhcp-offer-ignored")
		if i < 0 || !strings.Contains(e.Problems[i].Text, "on eth1 10.0.1.3 offers 10.0.1.77") {
			t.Errorf("the problems are %v", e.Problems)
		}
		n.set(func(n *network) { n.offer = offered1(5) })
		h.after(11 * time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		if e := h.eni(1); !slices.Equal(e.reasons(), []string{"dhcp-offer-ignored"}) {
			t.Errorf("the problems are %v", e.Problems)
		}
	})
}

// TestNobodyIsAsked where nothing is missing, or where it is not known what to ask for.
func TestNobodyIsAsked(t *testing.T) {
	primary, noAddress, noRole, noMTU := blank(0, 5), blank(1, 5), blank(1, 5), eni(1, 5)
	noAddress.Addresses = metadata.Fact[[]netip.Addr]{}
	noRole.Primary = metadata.Fact[bool]{}
	none := blank(1, 5)
	none.Subnets, none.Gateways = metadata.IsNone[[]netip.Prefix]("test"), metadata.IsNone[[]netip.Addr]("test")
	for name, enis := range map[string][]metadata.Interface{
		"the primary": {primary}, "no address": {eni(0, 5), noAddress}, "no role": {eni(0, 5), noRole}, "all but the MTU": {eni(0, 5), noMTU},
		"it has none": {eni(0, 5), none}, "no NIC": {eni(0, 5), blank(2, 5)},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{offer: offered1(5)}
			h := onJDCloud(t, n, enis...)
			defer h.stop()
			h.after(time.Minute)
			if q := n.questions(); len(q) > 0 {
				t.Errorf("%s: asked %+v", name, q)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(5)}
		h := onJDCloud(t, n, eni(0, 5), blank(1, 5))
		defer h.stop()
		h.cloud.says(eni(0, 5), blank(1, 5)) // another provider
		h.after(time.Minute)
		n.questions()
		h.after(2 * time.Hour)
		if q := n.questions(); len(q) > 2 { // of the first answer, once an hour
			t.Errorf("another provider: asked %+v", q)
		}
	})
}

// TestIgnoredIsNotAsked: nothing is sent by the NIC of an ENI that enid is to leave alone, also where it is up.
func TestIgnoredIsNotAsked(t *testing.T) {
	for _, match := range []Match{{MAC: macOf(1)}, {ID: "port-1"}, {Name: "eth1"}} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{offer: offered1(5)}
			h := newHost(t)
			h.Plug(netcfg.Link{Index: 3, Name: "eth1", MAC: macOf(1), Up: true, MTU: 1500})
			h.jdcloud(eni(0, 5), blank(1, 5))
			h.config.Interfaces = []InterfaceRule{{match, InterfaceConfig{Ignore: true}}}
			h.source = offered{h.cloud, newOffers(n.discover)}
			h.start()
			defer h.stop()
			h.after(time.Hour)
			if q := n.questions(); len(q) > 0 {
				t.Errorf("%+v: asked %+v", match, q)
			}
		})
	}
}

// TestGatewayAlone: what is known is not replaced.
func TestGatewayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(5)}
		part := blank(1, 5)
		part.Subnets = metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, "overlay")
		h := onJDCloud(t, n, eni(0, 5), part)
		defer h.stop()
		h.after(time.Minute)
		e := h.eni(1)
		if e.Origins["subnets"] != "overlay" || e.Origins["gateway"] != "dhcp offer of 10.0.1.2 on eth1" || !slices.Equal(e.Subnets, part.Subnets.Value) {
			t.Errorf("the status is %+v", e)
		}
	})
}

// TestOfferInThePrimarysSubnet: nobody answers, and nothing is missing.
func TestOfferInThePrimarysSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, other := blank(0, 5), blank(1, 9)
		other.Addresses.Value = []netip.Addr{netip.MustParseAddr("10.0.0.9")}
		other.SubnetID = primary.SubnetID
		h := onJDCloud(t, &network{}, primary, other)
		defer h.stop()
		h.after(time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.0.9")
		if e := h.eni(1); e.Phase != PhaseConfigured || len(e.Problems) > 0 {
			t.Errorf("the status is %+v", e)
		}
	})
}

// TestApplyWaitsForTheOffer: without the daemon there is no later.
func TestApplyWaitsForTheOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []*network{{offer: offered1(5), takes: 2 * time.Second}, {}} {
			h := newHost(t)
			h.plug(1)
			h.jdcloud(eni(0, 5), blank(1, 5))
			h.source = offered{h.cloud, newOffers(n.discover)}
			h.make()
			began := time.Now()
			err := h.agent.Apply(context.Background())
			switch took := time.Since(began); {
			case n.offer != offer.Offer{}:
				h.wantAddresses("10.0.0.5", "10.0.1.5")
				if err != nil || took > 4*time.Second {
					t.Errorf("%v after %s", err, took)
				}
			case err == nil || !strings.Contains(err.Error(), "no DHCP server"):
				t.Errorf("without an offer: %v", err)
			}
		}
	})
}

func TestWhereOffersAreOfUse(t *testing.T) {
	for _, tt := range []struct {
		config MetadataConfig
		want   bool
	}{
		{MetadataConfig{Provider: ProviderAuto}, true},
		{MetadataConfig{Provider: ProviderJDCloud}, true},
		{MetadataConfig{Provider: ProviderOpenStack}, true},
		{MetadataConfig{Provider: ProviderJDCloud, DHCP: Off}, false},
		{MetadataConfig{Provider: ProviderEC2}, false},
		{MetadataConfig{Provider: ProviderFile, File: "/a"}, false},
	} {
		s, err := NewSource(tt.config)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := s.(offered); got != tt.want {
			t.Errorf("%+v: %v", tt.config, got)
		}
	}
	s := offered{&dialectOf{name: "one"}, newOffers(nil)}
	if diff := cmp.Diff(map[string]uint64{"200": 0, "one": 1}, s.Requests()); diff != "" {
		t.Error(diff)
	}
}
