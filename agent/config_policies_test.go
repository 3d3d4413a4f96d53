package agent

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/netcfg"
)

const policiesYAML = `policies:
  - name: pods
    eni: {id: "port-abc*"}
    from: [172.17.0.0/16, "fd00:17::/64"]
    snat: primary
  - name: backup
    eni: {mac: "02:29:96:8f:00:01", name: eth1}
    uids: [0, 1000-1999]
    to: [198.51.100.0/24]
    protocol: tcp
    ports: [22, 8000-8100]
    mark: 0x10/0xff
    when_absent: main
  - {name: vpn, eni: {name: eth2}, iif: wg0, mark: 7, protocol: 47, snat: [10.0.1.6, "2001:db8::6"], when_absent: block}
`

func TestPolicies(t *testing.T) {
	prefixes := func(s ...string) (p []netip.Prefix) {
		for _, x := range s {
			p = append(p, netip.MustParsePrefix(x))
		}
		return p
	}
	want := []PolicyRule{
		{Match{ID: "port-abc*"}, netcfg.Policy{Name: "pods", ENI: "port-abc*", From: prefixes("172.17.0.0/16", "fd00:17::/64"), Masquerade: true}},
		{Match{MAC: mustMAC(t, "02:29:96:8f:00:01"), Name: "eth1"}, netcfg.Policy{
			Name: "backup", ENI: "mac 02:29:96:8f:00:01, eth1", UIDs: []netcfg.Span{{First: 0, End: 1}, {First: 1000, End: 2000}}, To: prefixes("198.51.100.0/24"),
			IPProto: 6, Ports: []netcfg.Span{{First: 22, End: 23}, {First: 8000, End: 8101}}, Mark: 0x10, Mask: 0xff, FollowMain: true}},
		{Match{Name: "eth2"}, netcfg.Policy{Name: "vpn", ENI: "eth2", IIF: "wg0", Mark: 7, Mask: 0xffffffff, IPProto: 47,
			SNAT: []netip.Addr{netip.MustParseAddr("10.0.1.6"), netip.MustParseAddr("2001:db8::6")}}},
	}
	// A mark without a mask is the whole word, which is enid's bits too.
	if _, err := Parse("enid.yaml", []byte(policiesYAML)); err == nil {
		t.Fatal("a policy's mark shares bits with enid's, and nothing is said")
	} else if diff := cmp.Diff("enid.yaml:2:3: policies: policies[2] (vpn): its mark mask 0xffffffff shares bits with routing.mark 0x7f000000, in which enid keeps connections; want other bits, or another routing.mark", err.Error()); diff != "" {
		t.Error(diff)
	}
	s, err := topSetting("enid.yaml", []byte(policiesYAML))
	if err != nil {
		t.Fatal(err)
	}
	var list []PolicyRule
	if err := s.find("policies").policies(&list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list, compareConfig, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPolicyMistakes(t *testing.T) {
	const eni = "eni: {id: a}"
	for yaml, want := range map[string]string{
		"policies: [{" + eni + ", iif: docker0}]":                                    "it has no name; want name, by which status and log call it",
		"policies: [{name: a b, " + eni + "}]":                                       `"a b" is not a name; want a name of at most 40 letters, digits, -, _ and .`,
		"policies: [{name: a, iif: x}]":                                              "nothing says which ENI the traffic leaves by; want eni with at least one of mac, id and name",
		"policies: [{name: a, " + eni + "}]":                                         "nothing says which traffic is meant; want at least one of from, to, iif, uids, mark and protocol",
		"policies: [{name: a, " + eni + ", iif: x}, {name: a, " + eni + ", iif: y}]": `"a" is the name of another policy too; want each name once`,
		"policies: [{name: a, " + eni + ", iif: eth+}]":                              `"eth+" is not the name of a NIC; want the name of a NIC, such as docker0`,
		"policies: [{name: a, " + eni + ", ports: [80]}]":                            "nothing says which traffic is meant; want at least one of from, to, iif, uids, mark and protocol",
		"policies: [{name: a, " + eni + ", protocol: icmp, ports: [80]}]":            "ports are of tcp, udp and sctp; want protocol with one of them",
		"policies: [{name: a, " + eni + ", protocol: tpc}]":                          `"tpc" is not a protocol; want tcp, udp, icmp, ipv6-icmp, sctp, or a number from 1 to 255`,
		"policies: [{name: a, " + eni + ", protocol: tcp, ports: [90-80]}]":          `"90-80"; want a number from 0 to 65535, or a range such as 10-20`,
		"policies: [{name: a, " + eni + ", uids: [1], iif: x}]":                      "users have sockets on this host, and what comes in by a NIC (iif) has none; want only one of the two",
		"policies: [{name: a, " + eni + ", uids: [1], snat: primary}]":               "snat is for forwarded packets; sockets of this host have the ENI's address anyway",
		"policies: [{name: a, " + eni + ", from: [10.0.0.0/8], to: ['fd00::/8']}]":   "from and to have no address family in common, so nothing can match",
		"policies: [{name: a, " + eni + ", from: [10.0.0.1/8]}]":                     `"10.0.0.1/8" has host bits; want 10.0.0.0/8 for the block or 10.0.0.1 for the address`,
		"policies: [{name: a, " + eni + ", mark: 0x11/0x10}]":                        `"0x11/0x10" has bits outside of its mask; want 0x10/0x10`,
		"policies: [{name: a, " + eni + ", mark: 0}]":                                `"0" is not a mark; want a mark with its mask, such as "0x10/0xff", or a mark that is not 0`,
		"policies: [{name: a, " + eni + ", iif: x, snat: [10.0.0.1, 10.0.0.2]}]":     `"10.0.0.2" is the second of its family; want one address of each`,
		"policies: [{name: a, " + eni + ", iif: x, snat: primry}]":                   `"primry" is not an address; want primary, or an address of the ENI`,
		"policies: [{name: a, " + eni + ", iif: x, when_absent: blok}]":              `"blok" is not known here; did you mean "block"?`,
	} {
		_, err := Parse("enid.yaml", []byte(yaml))
		e, ok := err.(*ConfigError)
		if !ok {
			t.Errorf("no error for %s: %v", yaml, err)
		} else if e.Text != want {
			t.Errorf("%s: %s\nwant %s", yaml, e.Text, want)
		}
	}
}
