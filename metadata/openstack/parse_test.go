package openstack

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Links and networks of the tables below.
const (
	linkA = `{"id":"a","vif_id":"va","type":"ovs","ethernet_mac_address":"fa:16:3e:00:00:01"}`
	linkB = `{"id":"b","vif_id":"vb","type":"ovs","ethernet_mac_address":"fa:16:3e:00:00:02"}`
	dhcpA = `{"id":"n0","link":"a","type":"ipv4_dhcp"}`
	dhcpB = `{"id":"n1","link":"b","type":"ipv4_dhcp"}`
)

func static(link, address string) string {
	return fmt.Sprintf(`{"id":"s-%s","link":%q,"type":"ipv4","ip_address":%q,"netmask":"255.255.255.0","gateway":"10.0.0.1"}`, link, link, address)
}

func list(entries ...string) string { return strings.Join(entries, ",") }

// read parses a document, for an instance with the first address local.
func read(links, networks, local string) (metadata.Snapshot, error) {
	body := fmt.Sprintf(`{"links":[%s],"networks":[%s]}`, links, networks)
	answers := metadata.Answers{networkPath: {Body: body}, instancePath: {Body: `{"uuid":"i"}`}, localPath: {Body: local}}
	return parse(answers, tree{origin: origin}, memory{})
}

// TestPrimary: it is known by its address or by its place, and never where something speaks against it.
func TestPrimary(t *testing.T) {
	for name, tt := range map[string]struct {
		links, networks, want string // part of the problem, or the id of the primary
	}{
		"by its address":                  {list(linkB, linkA), list(static("b", "10.0.0.6"), static("a", "10.0.0.5")), "va"},
		"by its place":                    {list(linkB, linkA), list(dhcpA, dhcpB), "vb"},
		"the first is without IPv4":       {list(linkB, linkA), list(dhcpA, `{"id":"n6","link":"b","type":"ipv6_slaac"}`), "va"},
		"static before DHCP, its address": {list(linkA, linkB), list(static("a", "10.0.0.5"), dhcpB), "va"},
		"static before DHCP, another":     {list(linkA, linkB), list(static("a", "10.0.0.6"), dhcpB), `the first link with an IPv4 network is "a", which has another address`},
		"overlapping networks":            {list(linkA, linkB), list(dhcpA, static("b", "10.0.0.5")), `the link "b" has it, and "a" before that may have it too, by DHCP`},
		"two have it":                     {list(linkA, linkB), list(static("a", "10.0.0.5"), static("b", "10.0.0.5")), `the links "a" and "b" both have it`},
		"nobody has IPv4":                 {list(linkA, linkB), "", "no link has an IPv4 network"},
		"the first cannot be read":        {list(linkA, linkB), list(`{"id":"n0","link":"a","type":"ipv4","ip_address":"10.0.0."}`, dhcpB), "not all of the links and networks can be read"},
		"the first is of no known type":   {list(linkA, linkB), list(`{"id":"n0","link":"a","type":"dhcp"}`, dhcpB), "not all of the links and networks can be read"},
		"a network is nobody's":           {list(linkA, linkB), list(`{"id":"n0","link":"z","type":"ipv4_dhcp"}`, dhcpB), "not all of the links and networks can be read"},
		"it is a bond":                    {list(`{"id":"bond0","type":"bond","bond_links":["b"]}`, linkA, linkB), list(static("bond0", "10.0.0.5"), dhcpA), `that of the link "bond0", which enid leaves alone`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := read(tt.links, tt.networks, "10.0.0.5\n")
			if err != nil {
				t.Fatal(err)
			}
			metadatatest.Usable(t, s)
			var got string
			for _, i := range s.Interfaces {
				if i.Primary.Value {
					got = i.ID.Value
				}
			}
			for _, p := range s.Problems {
				if got == "" && p.Reason == "primary-unclear" && strings.Contains(p.Text, tt.want) {
					got = tt.want
				}
			}
			if got != tt.want {
				t.Errorf("the primary is %q, want %q; the problems are %v", got, tt.want, s.Problems)
			}
		})
	}
}

// TestLinks: which of the links are ENIs, and what becomes of the others.
func TestLinks(t *testing.T) {
	vlan := func(rest string) string {
		return `{"id":"v","vif_id":"vv","type":"vlan","vlan_mac_address":"fa:16:3e:00:00:10",` + rest + `}`
	}
	for name, tt := range map[string]struct {
		link     string // beside linkA
		macs     string // the last byte of each
		vlan     int
		complete bool
		reasons  string
	}{
		"a VLAN":                       {vlan(`"vlan_link":"a","vlan_id":7`), "01 10", 7, true, ""},
		"a VLAN by its Ethernet MAC":   {`{"id":"v","type":"vlan","ethernet_mac_address":"fa:16:3e:00:00:10","vlan_link":"a","vlan_id":7}`, "01 10", 7, true, ""},
		"a VLAN on nothing":            {vlan(`"vlan_link":"z","vlan_id":7`), "01 10", 0, true, "bad-answer"},
		"a VLAN of 4095":               {vlan(`"vlan_link":"a","vlan_id":4095`), "01 10", 0, true, "bad-answer"},
		"a VLAN without a number":      {vlan(`"vlan_link":"a"`), "01 10", 0, true, "bad-answer"},
		"a VLAN without a MAC":         {`{"id":"v","type":"vlan","vlan_link":"a","vlan_id":7,"vlan_mac_address":null}`, "01", 0, true, "bonded"},
		"a VLAN whose MAC is broken":   {`{"id":"v","type":"vlan","vlan_link":"a","vlan_id":7,"vlan_mac_address":"fa:16"}`, "01", 0, false, "bad-answer"},
		"a bond with a VLAN":           {list(linkB, `{"id":"bond0","type":"bond","bond_links":["b"]}`, vlan(`"vlan_link":"bond0","vlan_id":7`)), "01", 0, true, "bonded"},
		"null":                         {`null`, "01", 0, false, "bad-answer"},
		"a word":                       {`"eth0"`, "01", 0, false, "bad-answer"},
		"a number for an id":           {`{"id":7,"type":"ovs","ethernet_mac_address":"fa:16:3e:00:00:02"}`, "01 02", 0, true, "bad-answer"},
		"a type that nobody knows":     {`{"id":"b","type":"new","ethernet_mac_address":"FA-16-3E-00-00-02"}`, "01 02", 0, true, ""},
		"two with one MAC":             {list(linkB, `{"id":"c","type":"ovs","ethernet_mac_address":"fa:16:3e:00:00:02"}`), "01 02", 0, false, metadata.ReasonDuplicateMAC},
		"the public address is none":   {`{"id":"b","type":"cascading","ethernet_mac_address":"fa:16:3e:00:00:02","local_ipv4":"10.0.0.6","public_ipv4":"x"}`, "01 02", 0, true, "bad-answer"},
		"two different IPv4 addresses": {list(`{"id":"b","type":"cascading","ethernet_mac_address":"fa:16:3e:00:00:02","local_ipv4":"10.0.0.6"}`), "01 02", 0, true, "bad-answer"},
	} {
		t.Run(name, func(t *testing.T) {
			networks := static("a", "10.0.0.5")
			if name == "two different IPv4 addresses" {
				networks = list(networks, static("b", "10.0.0.7"))
			}
			s, err := read(list(linkA, tt.link), networks, "10.0.0.5")
			if err != nil {
				t.Fatal(err)
			}
			metadatatest.Usable(t, s)
			var macs, reasons []string
			vlan := 0
			for _, i := range s.Interfaces {
				macs = append(macs, fmt.Sprintf("%02x", i.MAC[5]))
				if i.VLAN.State == metadata.Known {
					vlan = i.VLAN.Value.ID
				}
				if i.MAC[5] == 2 && name == "two different IPv4 addresses" && i.Addresses.State != metadata.Unknown {
					t.Errorf("one of two different addresses is believed: %v", i.Addresses)
				}
			}
			for _, p := range s.Problems {
				reasons = append(reasons, p.Reason)
			}
			if strings.Join(macs, " ") != tt.macs || vlan != tt.vlan || s.Complete != tt.complete || strings.Join(reasons, " ") != tt.reasons {
				t.Errorf("MACs %v, VLAN %d, complete %t, problems %v", macs, vlan, s.Complete, s.Problems)
			}
		})
	}
}

// TestNothingToRead: what is no answer of OpenStack is an error.
func TestNothingToRead(t *testing.T) {
	for _, body := range []string{"", " \n", "{}", "[]", "null", `{"links":null}`, `{"links":{}}`, `{"links":[null]}`, `{"links":[` + linkA, `{"Code":"fail"}`} {
		if s, err := parse(metadata.Answers{networkPath: {Body: body}}, tree{origin: origin}, memory{}); err == nil {
			t.Errorf("%q is taken for an answer: %+v", body, s)
		}
	}
}

// TestNetworksMissing: that they are not there does not say that there are none.
func TestNetworksMissing(t *testing.T) {
	s, err := parse(metadata.Answers{networkPath: {Body: `{"links":[` + linkA + `]}`}, localPath: {Body: "10.0.0.5"}}, tree{origin: origin}, memory{})
	if err != nil || s.Complete || len(s.Interfaces) != 1 || s.Interfaces[0].Addresses.State != metadata.Unknown || len(s.Problems) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSubnetOf(t *testing.T) {
	for _, tt := range []struct{ address, mask, want string }{
		{"10.1.2.3", "255.255.255.0", "10.1.2.0/24"},
		{"10.1.2.3", "255.255.240.0", "10.1.0.0/20"},
		{"10.1.2.3", "255.255.255.255", "10.1.2.3/32"},
		{"10.1.2.3", "24", "10.1.2.0/24"},
		{"2001:db8::5", "ffff:ffff:ffff:ffff::", "2001:db8::/64"},
		{"2001:db8::5", "64", "2001:db8::/64"},
		{"10.1.2.3", "", ""}, {"10.1.2.3", "0.0.0.0", ""}, {"10.1.2.3", "0", ""}, {"10.1.2.3", "33", ""}, {"10.1.2.3", "255.0.255.0", ""},
		{"10.1.2.3", "0.255.255.0", ""}, {"10.1.2.3", "ffff::", ""}, {"2001:db8::5", "255.255.0.0", ""}, {"2001:db8::5", "129", ""}, {"2001:db8::5", "ffff::%eth0", ""},
	} {
		p, err := subnetOf(netip.MustParseAddr(tt.address), tt.mask)
		if got := p.String(); err == nil && got != tt.want || err != nil && tt.want != "" {
			t.Errorf("%s with %q: got %s, %v, want %s", tt.address, tt.mask, got, err, tt.want)
		}
	}
}

// TestMasks: every length is read off its mask, in both families.
func TestMasks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address"))
		length := rapid.IntRange(1, a.BitLen()).Draw(t, "length")
		mask := netip.PrefixFrom(allOnes(a.BitLen()), length).Masked().Addr()
		want := netip.PrefixFrom(a, length).Masked()
		if got, err := subnetOf(a, mask.String()); err != nil || got != want {
			t.Fatalf("%s with %s: got %s, %v, want %s", a, mask, got, err, want)
		}
	})
}

// TestGateways: by the key, by the default route, or none.
func TestGateways(t *testing.T) {
	for rest, want := range map[string][]string{
		`"gateway":"10.0.0.1"`: {"10.0.0.1"},
		`"routes":[{"network":"10.9.0.0","netmask":"255.255.0.0","gateway":"10.0.0.9"},{"network":"0.0.0.0","netmask":"0.0.0.0","gateway":"10.0.0.2"}]`: {"10.0.0.2"},
		`"gateway":"10.0.0.1","routes":[{"network":"0.0.0.0","netmask":"0.0.0.0","gateway":"10.0.0.2"}]`:                                                {"10.0.0.1"},
		`"gateway":null,"routes":[{"network":"0.0.0.0","netmask":"128.0.0.0","gateway":"10.0.0.2"}]`:                                                    nil,
		`"routes":[]`:         nil,
		`"gateway":"10.0.0."`: nil,
		`"gateway":"2001::1"`: nil,
		`"routes":"10.0.0.1"`: nil,
	} {
		s, err := read(linkA, `{"id":"n0","link":"a","type":"ipv4","ip_address":"10.0.0.5","netmask":"255.255.255.0",`+rest+`}`, "10.0.0.5")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range s.Interfaces[0].Gateways.Value {
			got = append(got, g.String())
		}
		if diff := cmp.Diff(want, got); diff != "" || s.Interfaces[0].Gateways.Whole() {
			t.Errorf("%s (-want +got):\n%s", rest, diff)
		}
	}
}
