package jdcloud

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"

	"pgregory.net/rapid"
)

// FuzzOpenAPI reads whatever the OpenAPI may say. What comes of it must be usable, also before it is validated, and must
// not take away the address that the metadata knows.
func FuzzOpenAPI(f *testing.F) {
	f.Add(pageOf(eniOf("port-1", "10.0.1.5", "10.0.1.6")), subnetAnswerOf("subnet-1", "10.0.1.0/24"))
	f.Add(`{"result":{"networkInterfaces":[{"networkInterfaceId":"port-1","primaryIp":{"privateIpAddress":"10.0.1.5","elasticIpAddress":"203.0.113.7"},"secondaryIps":[{"privateIpAddress":"10.0.2.6","subnetId":"subnet-2"},null],"secondaryCidrs":["10.0.1.32/28","x"]}],"totalCount":"x"}}`, `{"result":{"subnet":null}}`)
	f.Add(`{"error":{"code":429}}`, `{"result":[]}`)
	f.Add(`{"result":{"networkInterfaces":[{"networkInterfaceId":"port-1","secondaryIps":null,"secondaryCidrs":null,"primaryIp":"","subnetId":7}]}}`, `[`)
	f.Fuzz(func(t *testing.T, enis, subnet string) {
		s := newService()
		s.now[enisPath] = enis
		s.now["/v1/regions/cn-north-1/subnets/subnet-1"] = subnet
		got := s.openAPI().complete(t.Context(), said())
		metadatatest.Usable(t, got)
		if got = metadata.Validate(got); got.Interfaces[0].Addresses.Whole() && got.Interfaces[0].Addresses.Value[0] != netip.MustParseAddr("10.0.1.5") {
			t.Errorf("the primary address is lost: %v", got.Interfaces[0].Addresses)
		}
	})
}

// eniTruth is an ENI as it is.
type eniTruth struct {
	addresses []netip.Addr
	prefixes  []netip.Prefix
}

func drawTruth(t *rapid.T) (truth eniTruth) {
	truth.addresses = []netip.Addr{netip.MustParseAddr("10.0.1.5")}
	for n := range rapid.IntRange(0, 4).Draw(t, "secondary addresses") {
		truth.addresses = append(truth.addresses, netip.AddrFrom4([4]byte{10, 0, 1, byte(10 + n)}))
	}
	for n := range rapid.IntRange(0, 2).Draw(t, "blocks") {
		truth.prefixes = append(truth.prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(128 + 16*n)}), 28))
	}
	return truth
}

// drawAnswer is what the OpenAPI says of the truth, each field with a fault of its own, or cut short as a whole.
func (truth eniTruth) drawAnswer(t *rapid.T) string {
	fields := []string{`"networkInterfaceId":"port-1"`}
	field := func(name, value string) {
		switch rapid.SampledFrom([]string{"good", "good", "absent", "number", "text", "object", "mapped"}).Draw(t, name) {
		case "good":
			fields = append(fields, fmt.Sprintf("%q:%s", name, value))
		case "number":
			fields = append(fields, fmt.Sprintf("%q:7", name))
		case "text":
			fields = append(fields, fmt.Sprintf(`%q:"x"`, name))
		case "object":
			fields = append(fields, fmt.Sprintf(`%q:{"a":[]}`, name))
		case "mapped":
			fields = append(fields, fmt.Sprintf("%q:%s", name, strings.Replace(value, "10.0.1", "::ffff:10.0.1", 1)))
		}
	}
	var ips, cidrs []string
	for _, a := range truth.addresses[1:] {
		ips = append(ips, fmt.Sprintf(`{"privateIpAddress":%q}`, a))
	}
	for _, p := range truth.prefixes {
		cidrs = append(cidrs, fmt.Sprintf("%q", p))
	}
	shuffled := func(list []string) string {
		return "[" + strings.Join(rapid.Permutation(list).Draw(t, "order"), ",") + "]"
	}
	field("subnetId", `"subnet-1"`)
	field("primaryIp", fmt.Sprintf(`{"privateIpAddress":%q}`, truth.addresses[0]))
	field("secondaryIps", shuffled(ips))
	field("secondaryCidrs", shuffled(cidrs))
	answer := pageOf("{" + strings.Join(fields, ",") + "}")
	if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
		answer = answer[:rapid.IntRange(0, len(answer)-1).Draw(t, "at")]
	}
	return answer
}

// TestWhatIsWholeIsTrue: whatever is missing from an answer or garbage in it, a list that is said to be whole is the
// truth, one that is not holds nothing but the truth, and where less than the truth is known a problem says so.
func TestWhatIsWholeIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth := drawTruth(t)
		s := newService()
		s.now[enisPath] = truth.drawAnswer(t)
		got := metadata.Validate(s.openAPI().complete(t.Context(), said()))
		i := got.Interfaces[0]
		checkList(t, "addresses", i.Addresses, truth.addresses)
		checkList(t, "prefixes", i.Prefixes, truth.prefixes)
		if !i.Whole() && len(got.Problems) == 0 {
			t.Errorf("%+v is not whole, and no problem says why", i)
		}
		for _, p := range got.Problems {
			if p.Reason == "bad-answer" && (p.Interface != "port-1" || p.Field == "") {
				t.Errorf("the problem names no ENI or field: %+v", p)
			}
		}
	})
}

func checkList[T comparable](t *rapid.T, name string, f metadata.Fact[[]T], truth []T) {
	if f.Whole() && !slices.Equal(f.Value, truth) {
		t.Errorf("%s: %s %v, the truth is %v", name, f.State, f.Value, truth)
	}
	for _, v := range f.Value {
		if !slices.Contains(truth, v) {
			t.Errorf("%s: %v is not among %v", name, v, truth)
		}
	}
}

// TestOneWordAboutAnENI: of two entries for one ENI the first counts, also from page to page.
func TestOneWordAboutAnENI(t *testing.T) {
	result := json.RawMessage(`{"networkInterfaces":[` + eniOf("port-1", "10.0.1.5") + `,` + eniOf("port-1", "10.0.1.6") + `]}`)
	enis, _, err := parseENIs(result)
	if err != nil || len(enis) != 1 || enis["port-1"].primary != netip.MustParseAddr("10.0.1.5") {
		t.Errorf("got %+v, %v", enis, err)
	}
}
