package azure

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// read is what the simulated cloud's answer to the instance means.
func read(c *cloud.Cloud, from netip.Addr) (metadata.Snapshot, error) {
	r := httptest.NewRequest(http.MethodGet, networkPath+"?api-version="+versions[0], nil)
	r.Header.Set("Metadata", "true")
	w := httptest.NewRecorder()
	c.Handler("i-1", cloud.Azure).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return metadata.Snapshot{}, &metadata.StatusError{Path: networkPath, Status: w.Code}
	}
	return parse(w.Body.String(), from)
}

// made is a cloud with an instance that has up to seven secondary ENIs, some with secondary, IPv6 and public addresses.
func made(t *rapid.T) (*cloud.Cloud, []cloud.ENI) {
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := cloud.New()
	must(c.CreateSubnet(cloud.Subnet{ID: "both", IPv4: netip.MustParsePrefix("10.0.0.0/24"), IPv6: netip.MustParsePrefix("2001:db8:0:a::/64")}))
	must(c.CreateSubnet(cloud.Subnet{ID: "four", IPv4: netip.MustParsePrefix("10.0.1.0/24")}))
	_, err := c.CreateInstance("i-1", rapid.SampledFrom([]string{"both", "four"}).Draw(t, "primary's subnet"), cloud.ENIOptions{})
	must(err)
	for range rapid.IntRange(0, 7).Draw(t, "secondary ENIs") {
		e, err := c.CreateENI(rapid.SampledFrom([]string{"both", "four"}).Draw(t, "subnet"), cloud.ENIOptions{})
		must(err)
		must(c.Attach("i-1", e.ID))
	}
	for n, e := range c.Describe("i-1") {
		for a := range rapid.IntRange(0, 2).Draw(t, "secondary addresses") {
			bytes := e.Addresses[0].As4()
			bytes[3] = byte(100 + 10*n + a)
			must(c.Assign(e.ID, netip.AddrFrom4(bytes)))
		}
		if e.SubnetID == "both" && rapid.Bool().Draw(t, "IPv6") {
			must(c.Assign(e.ID, netip.MustParseAddr(fmt.Sprintf("2001:db8:0:a::%d", 100+n))))
		}
		if rapid.Bool().Draw(t, "public") {
			must(c.BindPublic(e.Addresses[0], netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + n)})))
		}
	}
	c.SetAzureStyle(cloud.AzureStyle{Shuffle: rapid.Bool().Draw(t, "shuffled")})
	return c, c.Describe("i-1")
}

// want is what the dialect can say of an ENI.
func want(e cloud.ENI, primary bool) metadata.Interface {
	v4 := slices.DeleteFunc(slices.Clone(e.Addresses), netip.Addr.Is6)
	v6 := slices.DeleteFunc(slices.Clone(e.Addresses), netip.Addr.Is4)
	i := metadata.Interface{
		MAC: e.MAC, Primary: metadata.Is(primary, origin),
		Addresses: metadata.Is(slices.Concat(v4, v6), origin),
		Subnets:   metadata.Is(e.Subnets[:1:1], origin),
		Gateways:  metadata.Is([]netip.Addr{e.Gateway}, origin),
		Prefixes:  metadata.IsNone[[]netip.Prefix](origin),
	}
	if len(v6) > 0 { // its router and its subnet are told by the router alone
		i.Subnets.State, i.Gateways.State = metadata.AtLeast, metadata.AtLeast
	}
	if len(e.Public) > 0 {
		i.Public = metadata.HasAtLeast(e.Public, origin)
	}
	return i
}

// The simulated cloud's answers say what it has, and an answer with a fault never says less.
func TestCloud(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, enis := made(t)
		from := enis[0].Addresses[0]
		got, err := read(c, from)
		if err != nil {
			t.Fatal(err)
		}
		wanted := metadata.Snapshot{Provider: origin, Complete: true}
		for n, e := range enis {
			wanted.Interfaces = append(wanted.Interfaces, want(e, n == 0))
		}
		slices.SortFunc(wanted.Interfaces, func(a, b metadata.Interface) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
		if diff := cmp.Diff(wanted, got, metadatatest.Compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		fault := rapid.SampledFrom([]cloud.FaultKind{cloud.FaultNoMAC, cloud.FaultNoKeys, cloud.FaultNoAddresses, cloud.FaultCutBody, cloud.FaultEmpty}).Draw(t, "fault")
		if err := c.SetFault(cloud.Fault{Kind: fault}); err != nil {
			t.Fatal(err)
		}
		got, err = read(c, from)
		if err != nil {
			return
		}
		for _, i := range got.Interfaces {
			if i.Whole() || i.Primary.State == metadata.Known || got.Complete || len(got.Problems) == 0 {
				t.Errorf("%s: %s", fault, metadatatest.Text(got))
			}
		}
	})
}
