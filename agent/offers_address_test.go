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

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/offer"
)

// byDHCP is an ENI as OpenStack's metadata shows it in a subnet with a DHCP server: it is there, and no more.
func byDHCP(i int) metadata.Interface {
	e := blank(i, 5)
	e.Addresses, e.SubnetID, e.ByDHCP = metadata.Fact[[]netip.Addr]{}, metadata.Fact[string]{}, true
	return e
}

// onOpenStack is a running host with the NIC of eni(1), on a cloud that says this of its ENIs.
func onOpenStack(t *testing.T, n *network, enis ...metadata.Interface) *host {
	h := newHost(t)
	h.plug(1)
	h.openStack(enis...)
	h.source = offered{h.cloud, newOffers(n.discover)}
	h.start()
	return h
}

func (h *host) openStack(enis ...metadata.Interface) {
	h.cloud.set(metadata.Snapshot{Provider: "openstack", Complete: true, Interfaces: enis}, nil, false)
}

// TestAddressByDHCP: where the cloud leaves even the address to DHCP, it is the offer's, and stays while the NIC is here.
func TestAddressByDHCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(7)}
		h := onOpenStack(t, n, eni(0, 5), byDHCP(1))
		defer h.stop()
		h.after(3 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.1.7")
		if asked := n.questions(); len(asked) != 1 || asked[0].Address.IsValid() {
			t.Errorf("asked %+v, want once, for any address", asked)
		}
		e, by := h.eni(1), "dhcp offer of 10.0.1.2 on eth1"
		if e.Phase != PhaseConfigured || len(e.Problems) > 0 || e.Origins["addresses"] != by || e.Origins["subnets"] != by || e.Origins["gateway"] != by {
			t.Errorf("the status is %+v", e)
		}
		n.set(func(n *network) { n.offer = offer.Offer{} })
		h.after(2 * time.Hour)
		h.wantAddresses("10.0.0.5", "10.0.1.7")
		asked := n.questions()
		for _, q := range asked {
			if q.Address != netip.MustParseAddr("10.0.1.7") {
				t.Errorf("asked for %s again, want the address that was told", q.Address)
			}
		}
		if len(asked) == 0 {
			t.Error("nobody was asked again")
		}
	})
}

// TestAnotherAddressByDHCP: a server that changes its mind changes nothing, until there is another NIC.
func TestAnotherAddressByDHCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(7)}
		h := onOpenStack(t, n, eni(0, 5), byDHCP(1))
		defer h.stop()
		h.after(3 * time.Second)
		n.set(func(n *network) {
			n.offer, n.ignored = offer.Offer{}, []error{errors.New("10.0.1.2 offers 10.0.1.8, which is not the ENI's primary address 10.0.1.7")}
		})
		h.after(2 * time.Hour)
		h.wantAddresses("10.0.0.5", "10.0.1.7")
		if r := h.eni(1).reasons(); !slices.Equal(r, []string{"dhcp-offer-ignored"}) {
			t.Errorf("the problems are %v", r)
		}
		n.questions()
		n.set(func(n *network) { n.offer, n.ignored = offered1(8), nil })
		h.change(func() {
			h.Unplug(3)
			h.Plug(netcfg.Link{Index: 9, Name: "eth9", MAC: macOf(1), MTU: 1500})
		})
		h.after(3 * time.Second)
		if asked := n.questions(); len(asked) != 1 || asked[0].NIC.Index != 9 || asked[0].Address.IsValid() {
			t.Errorf("by another NIC: asked %+v, want once, for any address", asked)
		}
	})
}

// TestNoAddressByDHCP: where nobody answers, the NIC is up and has nothing, and that is told.
func TestNoAddressByDHCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		h := onOpenStack(t, n, eni(0, 5), byDHCP(1))
		defer h.stop()
		h.after(time.Minute)
		h.wantAddresses("10.0.0.5")
		e := h.eni(1)
		p := slices.IndexFunc(e.Problems, func(p metadata.Problem) bool { return p.Reason == "no-dhcp-offer" })
		if e.Phase != netcfg.Incomplete || p < 0 || e.Problems[p].Field != "addresses" || !strings.HasSuffix(e.Problems[p].Text, "say the address, the subnet and the gateway in an interfaces document") {
			t.Errorf("the status is %+v", e)
		}
	})
}

// TestWhoIsAskedOnOpenStack: only where the metadata says that there is a DHCP server, and never by the primary's NIC.
func TestWhoIsAskedOnOpenStack(t *testing.T) {
	static := blank(1, 5) // a subnet without a gateway
	static.Subnets = metadata.HasAtLeast([]netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}, "openstack")
	huawei, primary, unknown := blank(1, 5), byDHCP(1), byDHCP(1)
	huawei.ByDHCP, primary.Primary, unknown.Primary = true, metadata.Is(true, "openstack"), metadata.Fact[bool]{}
	told := netip.MustParseAddr("10.0.1.5")
	for name, tt := range map[string]struct {
		eni  metadata.Interface
		want []netip.Addr
	}{
		"no DHCP server":        {static, nil},
		"all by DHCP":           {byDHCP(1), []netip.Addr{{}}},
		"the address is told":   {huawei, []netip.Addr{told}},
		"the primary":           {primary, nil},
		"the role is not known": {unknown, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{offer: offered1(5)}
			var other []metadata.Interface
			if !tt.eni.Primary.Value {
				other = append(other, eni(0, 5))
			}
			h := onOpenStack(t, n, append(other, tt.eni)...)
			defer h.stop()
			h.after(time.Minute)
			var asked []netip.Addr
			for _, q := range n.questions() {
				asked = append(asked, q.Address)
			}
			if !slices.Equal(asked, tt.want) {
				t.Errorf("%s: asked for %v, want %v", name, asked, tt.want)
			}
		})
	}
}

// TestApplyWaitsForTheAddress: also where IPv6 alone would do.
func TestApplyWaitsForTheAddress(t *testing.T) {
	v6 := byDHCP(1)
	v6.Addresses = metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr("2001:db8:1::7")}, "openstack")
	v6.Subnets = metadata.HasAtLeast([]netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")}, "openstack")
	v6.Gateways = metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr("fe80::1")}, "openstack")
	for name, tt := range map[string]struct {
		eni  metadata.Interface
		want []string
	}{
		"IPv4":     {byDHCP(1), []string{"10.0.0.5", "10.0.1.7"}},
		"IPv6 too": {v6, []string{"10.0.0.5", "10.0.1.7", "2001:db8:1::7"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			h.plug(1)
			h.openStack(eni(0, 5), tt.eni)
			h.source = offered{h.cloud, newOffers((&network{offer: offered1(7), takes: 2 * time.Second}).discover)}
			h.make()
			if err := h.agent.Apply(context.Background()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			h.wantAddresses(tt.want...)
		})
	}
}
