package agent

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"enid/metadata"
	"enid/netcfg/offer"
)

// byDHCP is an ENI as OpenStack's metadata shows it in a subnet with a DHCP server: it is there, and no more.
func byDHCP(i int) metadata.Interface {
	e := blank(i, 5)
	e.Addresses, e.ByDHCP = metadata.Fact[[]netip.Addr]{}, true
	return e
}

// TestAddressByDHCP: where the cloud leaves even the address to DHCP, it is the offer's, and stays while the NIC is here.
func TestAddressByDHCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{offer: offered1(7)}
		h := newHost(t)
		h.plug(1)
		h.cloud.set(metadata.Snapshot{Provider: "openstack", Complete: true, Interfaces: []metadata.Interface{eni(0, 5), byDHCP(1)}}, nil, false)
		h.source = offered{h.cloud, newOffers(n.discover)}
		h.start()
		defer h.stop()
		h.after(3 * time.Second)
		h.wantAddresses("10.0.0.5", "10.0.1.7")
		if asked := n.questions(); len(asked) != 1 || asked[0].Address.IsValid() {
			t.Errorf("asked %+v, want once, for any address", asked)
		}
		n.set(func(n *network) { n.offer = offer.Offer{} })
		h.after(2 * time.Hour)
		h.wantAddresses("10.0.0.5", "10.0.1.7")
		for _, q := range n.questions() {
			if q.Address != netip.MustParseAddr("10.0.1.7") {
				t.Errorf("asked for %s again, want the address that was told", q.Address)
			}
		}
	})
}
