package document

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enid/metadata"
)

var netipCmp = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

const full = `# the example of the manual
interfaces:
  - mac: "02:29:96:8F:00:01"
    id: port-a2uv000001
    primary: false
    subnets: [10.0.1.0/24]
    gateway: 10.0.1.1
    addresses: [10.0.1.5, 10.0.1.6, "2001:db8:1::5"]
    prefixes: [10.0.1.32/28]
    local: [10.24.3.0/24, "2001:db8:2::/96"]
    vlan: {parent: 02:29:96:8f:00:00, id: 10}
    mtu: 1500
    public: {10.0.1.5: 203.0.113.7}
`

const fullJSON = `{
	"interfaces": [{
		"mac":"02-29-96-8f-00-01", "id":"port-a2uv000001", "primary":false,
		"subnets":["10.0.1.0/24"], "gateway":["10.0.1.1"],
		"addresses":["10.0.1.5","10.0.1.6","2001:db8:1::5"],
		"prefixes":["10.0.1.32/28"], "local":["10.24.3.0/24","2001:db8:2::/96"],
		"vlan":{"id":10,"parent":"02-29-96-8f-00-00"}, "mtu":1500, "public":{"10.0.1.5":"203.0.113.7"}
	}]
}`

func TestParseFull(t *testing.T) {
	want := []metadata.Interface{{
		MAC:       metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 1},
		ID:        metadata.Is("port-a2uv000001", "here"),
		Primary:   metadata.Is(false, "here"),
		Subnets:   metadata.Is(prefixes("10.0.1.0/24"), "here"),
		Gateways:  metadata.Is(addrs("10.0.1.1"), "here"),
		Addresses: metadata.Is(addrs("10.0.1.5", "10.0.1.6", "2001:db8:1::5"), "here"),
		Prefixes:  metadata.Is(prefixes("10.0.1.32/28"), "here"),
		Local:     metadata.Is(prefixes("10.24.3.0/24", "2001:db8:2::/96"), "here"),
		VLAN:      metadata.Is(metadata.VLAN{Parent: metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 0}, ID: 10}, "here"),
		MTU:       metadata.Is(1500, "here"),
		Public: metadata.Is(map[netip.Addr]netip.Addr{
			netip.MustParseAddr("10.0.1.5"): netip.MustParseAddr("203.0.113.7"),
		}, "here"),
	}}
	for form, text := range map[string]string{"YAML": full, "JSON": fullJSON} {
		doc, err := Parse("here", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if d := cmp.Diff(want, doc.Interfaces(), netipCmp); d != "" {
			t.Errorf("%s: %s", form, d)
		}
	}
}

// TestLeftOut shows what an entry says by what it does not contain.
func TestLeftOut(t *testing.T) {
	none := metadata.IsNone[[]netip.Prefix]("d")
	for name, tt := range map[string]struct {
		keys string
		want metadata.Interface
	}{
		"everything": {"", metadata.Interface{}},
		"addresses say all prefixes and local ranges": {"addresses: [10.0.1.5]", metadata.Interface{
			Addresses: metadata.Is(addrs("10.0.1.5"), "d"), Prefixes: none, Local: none}},
		"addresses beside local ranges": {"{addresses: [10.0.1.5], local: [10.24.3.0/24]}", metadata.Interface{
			Addresses: metadata.Is(addrs("10.0.1.5"), "d"), Prefixes: none, Local: metadata.Is(prefixes("10.24.3.0/24"), "d")}},
		"no local ranges":  {"local: []", metadata.Interface{Local: none}},
		"a NIC of its own": {"vlan: {}", metadata.Interface{VLAN: metadata.IsNone[metadata.VLAN]("d")}},
		"prefixes say nothing about addresses": {"prefixes: [10.0.1.16/28]", metadata.Interface{
			Prefixes: metadata.Is(prefixes("10.0.1.16/28"), "d")}},
		"no prefixes": {"prefixes: []", metadata.Interface{Prefixes: none}},
		"gateway is the first host of each family's first subnet": {
			`subnets: [10.0.1.0/24, 10.0.9.0/24, "2001:db8:1::/64"]`, metadata.Interface{
				Subnets:  metadata.Is(prefixes("10.0.1.0/24", "10.0.9.0/24", "2001:db8:1::/64"), "d"),
				Gateways: metadata.Is(addrs("10.0.1.1", "2001:db8:1::1"), "d")}},
		"gateway of the other family": {
			`{subnets: [10.0.1.0/24, "2001:db8:1::/64"], gateway: "fe80::1"}`, metadata.Interface{
				Subnets:  metadata.Is(prefixes("10.0.1.0/24", "2001:db8:1::/64"), "d"),
				Gateways: metadata.Is(addrs("fe80::1", "10.0.1.1"), "d")}},
		"no gateway": {"{subnets: [10.0.1.0/24], gateway: []}", metadata.Interface{
			Subnets: metadata.Is(prefixes("10.0.1.0/24"), "d"), Gateways: metadata.IsNone[[]netip.Addr]("d")}},
		"a subnet of one address has no first host": {"subnets: [10.0.1.5/32]", metadata.Interface{
			Subnets: metadata.Is(prefixes("10.0.1.5/32"), "d")}},
		"no public address": {"public: {}", metadata.Interface{
			Public: metadata.IsNone[map[netip.Addr]netip.Addr]("d")}},
		"an id of digits": {"id: 0123", metadata.Interface{ID: metadata.Is("0123", "d")}},
	} {
		t.Run(name, func(t *testing.T) {
			inner := strings.Trim(tt.keys, "{}")
			if strings.HasSuffix(tt.keys, "{}") {
				inner = tt.keys
			}
			doc, err := Parse("d", fmt.Appendf(nil, "interfaces: [{mac: 02:29:96:10:00:01, %s}]", inner))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.MAC = metadata.MAC{2, 0x29, 0x96, 0x10, 0, 1}
			if d := cmp.Diff([]metadata.Interface{tt.want}, doc.Interfaces(), netipCmp); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestParseErrors: each error has the position and says what to do.
func TestParseErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":            {"", "d:1:1: the document is empty; write an interfaces list"},
		"comments":         {"# nothing\n---\n", "d:1:1: the document is empty"},
		"null":             {"~\n", "d:1:1: the document must be a mapping (interfaces), not nothing"},
		"HTML":             {"<html><body>Not found</body></html>", "d:1:1: the document must be a mapping (interfaces), not string"},
		"no list":          {"{}", `d:1:1: the key "interfaces" is missing`},
		"empty list":       {"interfaces: []", "d:1:13: interfaces is empty, which is not an answer"},
		"null list":        {"interfaces:\n", "d:1:13: interfaces must be a list, not nothing; write a value"},
		"not a list":       {"interfaces: {mac: x}", "d:1:13: interfaces must be a list, not a mapping"},
		"cut off":          {`{"interfaces": [{"mac": "02:29:9`, "could not find end character of double-quoted text; correct the YAML (or JSON) here"},
		"two documents":    {"interfaces: [{mac: 02:29:96:8f:00:01}]\n---\ninterfaces: []\n", "d:3:1: a second YAML document"},
		"unknown key":      {entry("adresses: [10.0.1.5]"), `d:3:3: unknown key "adresses"; want one of: mac, id,`},
		"unknown top key":  {"interface: []\n", `d:1:1: unknown key "interface"; want one of: interfaces`},
		"duplicate key":    {entry("mtu: 1500\n  mtu: 1500"), `d:4:3: mapping key "mtu" already defined at [3:3]`},
		"no mac":           {"interfaces:\n- id: x\n", `d:2:3: an interface without "mac"`},
		"entry no mapping": {"interfaces:\n- x\n", "d:2:3: an interface must be a mapping (mac, id,"},
		"wrong mac":        {"interfaces:\n- mac: 02:29:96\n", `d:2:8: mac: "02:29:96" is not a MAC address`},
		"one mac twice": {"interfaces:\n- mac: 02:29:96:8f:00:01\n- mac: 02-29-96-8F-00-01\n",
			"d:3:8: mac: 02:29:96:8f:00:01 is the MAC of another entry too, see d:2:8"},
		"wrong address":         {entry("addresses: [10.0.1.5, 10.0.1.500]"), `d:3:25: addresses: "10.0.1.500" is not an IP address; want`},
		"address with a length": {entry("addresses: [10.0.1.5/24]"), `want the address alone, 10.0.1.5`},
		"address with a zone":   {entry("addresses: ['fe80::1%eth0']"), `has a zone; want fe80::1`},
		"mapped address":        {entry("addresses: ['::ffff:10.0.1.5']"), `is an IPv4 address in IPv6 form; want 10.0.1.5`},
		"address twice":         {entry("addresses: [10.0.1.5, 10.0.1.5]"), `d:3:25: addresses: 10.0.1.5 is in the list already, see d:3:15; keep one`},
		"no addresses":          {entry("addresses: []"), "d:3:14: addresses: an empty list is not an answer; leave the key out or remove the interface"},
		"addresses null":        {entry("addresses:"), "addresses must be a list, not nothing; write a value, or leave the key out"},
		"no subnets":            {entry("subnets: []"), "d:3:12: subnets: an empty list is not an answer"},
		"subnet host bits":      {entry("subnets: [10.0.1.5/24]"), `d:3:13: subnets: "10.0.1.5/24" has host bits set; want 10.0.1.0/24`},
		"prefix host bits":      {entry("prefixes: [10.0.1.33/28]"), `prefixes: "10.0.1.33/28" has host bits set; want 10.0.1.32/28`},
		"prefix without length": {entry("subnets: [10.0.1.0]"), `has no prefix length; want one such as 10.0.1.0/32`},
		"not a prefix":          {entry("subnets: [mine]"), `"mine" is not a prefix; want one such as`},
		"mapped prefix":         {entry("subnets: ['::ffff:10.0.1.0/120']"), `is an IPv4 prefix in IPv6 form`},
		"two gateways":          {entry("gateway: [10.0.1.1, 10.0.1.2]"), "d:3:12: gateway: 10.0.1.1 and 10.0.1.2 are of one family"},
		"wrong gateway":         {entry("gateway: here"), `d:3:12: gateway: "here" is not an IP address`},
		"own address":           {entry("subnets: [10.0.1.0/24]\n  addresses: [10.0.1.1]"), "d:4:14: addresses: 10.0.1.1 is the first host of its subnet"},
		"primary":               {entry("primary: yes"), `d:3:12: primary: "yes" is neither true nor false`},
		"local host bits":       {entry("local: [10.24.3.1/24]"), `d:3:11: local: "10.24.3.1/24" has host bits set; want 10.24.3.0/24`},
		"vlan no mapping":       {entry("vlan: 10"), "d:3:9: vlan must be a mapping (parent, id), not integer"},
		"vlan without a parent": {entry("vlan: {id: 10}"), `d:3:9: vlan: "parent" is missing; want {parent: MAC`},
		"vlan without an id":    {entry("vlan: {parent: 02:29:96:8f:00:00}"), `vlan: "id" is missing`},
		"vlan of itself":        {entry("vlan: {parent: 02:29:96:8f:00:01, id: 10}"), "d:3:9: vlan: parent is the ENI's own MAC"},
		"vlan id":               {entry("vlan: {parent: 02:29:96:8f:00:00, id: 4095}"), `vlan: id: "4095" is no VLAN id; want a number from 1 to 4094`},
		"vlan key":              {entry("vlan: {parent: 02:29:96:8f:00:00, tag: 1, id: 1}"), `unknown key "tag"; want one of: parent, id`},
		"mtu":                   {entry("mtu: 150000"), `d:3:8: mtu: "150000" is not an MTU; want a number of bytes from 576 to 9216`},
		"empty id":              {entry(`id: ""`), `d:3:7: id: is empty`},
		"public":                {entry("addresses: [10.0.1.5]\n  public: {10.0.1.6: 203.0.113.7}"), "d:4:12: public: 10.0.1.6 is not in addresses"},
		"public list":           {entry("public: [203.0.113.7]"), "d:3:11: public must be a mapping (10.0.1.5: 203.0.113.7), not a list"},
		"public twice":          {entry(`public: {"2001:db8::1": 203.0.113.7, "2001:db8:0::1": 203.0.113.8}`), "public: 2001:db8::1 is there twice"},
		"anchor":                {entry("id: &a x"), `d:3:7: "&" is an anchor, alias, tag or directive`},
		"alias":                 {entry("id: *a"), `is an anchor, alias, tag or directive`},
		"tag":                   {entry("id: !!str x"), `is an anchor, alias, tag or directive`},
		"merge":                 {entry("<<: x"), `is an anchor, alias, tag or directive`},
		"text block":            {entry("id: |\n    x"), `id must be a single value, not a text block`},
		"two colons":            {entry("id: a: b"), "d:3:8: a second colon on this line"},
		"too large":             {strings.Repeat("#", MaxSize+1), "d:1:1: the document has 1048577 bytes; at most 1048576 are read"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := Parse("d", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if len(doc.Interfaces()) > 0 {
				t.Error("a document with an error says something")
			}
		})
	}
}

func entry(keys string) string { return "interfaces:\n- mac: 02:29:96:8f:00:01\n  " + keys + "\n" }

// TestParseReportsAll: one reading names every mistake, up to a limit.
func TestParseReportsAll(t *testing.T) {
	_, err := Parse("d", []byte(entry("mtu: x\n  primary: y\n  colour: red")))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 {
		t.Errorf("want three errors, have %q", lines)
	}
	_, err = Parse("d", []byte("interfaces:\n"+strings.Repeat("- x\n", 1000)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxErrors {
		t.Errorf("want %d errors, have %d", maxErrors, len(lines))
	}
}

// TestParseHostile holds texts for which the YAML parser takes minutes or all the
// stack. Here that would show as a test that does not end.
func TestParseHostile(t *testing.T) {
	const hostile = MaxSize / 4
	var keys strings.Builder
	for n := range 30000 {
		fmt.Fprintf(&keys, "a%d: x\n", n)
	}
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", hostile),
		"braces":   strings.Repeat("{a: ", hostile/4),
		"dashes":   strings.Repeat("- ", hostile/2),
		"colons":   strings.Repeat("a: ", hostile/3),
		"anchors":  strings.Repeat("&a ", hostile/3),
		"commas":   "{" + strings.Repeat(",", hostile),
		"lists":    strings.Repeat("[] ", hostile/3),
		"keys":     keys.String(),
		"flow":     "{" + strings.ReplaceAll(keys.String(), "\n", ",") + "}",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("d", []byte(text)); err == nil || len(err.Error()) > 10000 {
				t.Error("want a short error")
			}
		})
	}
}

// FuzzParse: no text panics; what is read without an error is an answer, and every
// error begins with a position.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{full, fullJSON, "", "interfaces: []", entry("gateway: [10.0.1.1, fe80::1]"), entry("public: {10.0.1.5: 203.0.113.7}"), entry("vlan: {parent: 02:29:96:8f:00:00, id: 1}"), "? a\n: b\n", "%YAML 1.2\n---\n", "a: |\n b\n", "[{]", "interfaces: [{mac: &a x}, *a]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse("name", data)
		if err != nil {
			var joined interface{ Unwrap() []error }
			if !errors.As(err, &joined) {
				t.Fatalf("not a list of errors: %v", err)
			}
			for _, e := range joined.Unwrap() {
				var line, column int
				if n, _ := fmt.Sscanf(e.Error(), "name:%d:%d: ", &line, &column); n != 2 || line < 1 || column < 1 {
					t.Errorf("no position in %q", e)
				}
			}
			return
		}
		if len(doc.Interfaces()) == 0 {
			t.Error("no error and no interface")
		}
		for _, i := range doc.Interfaces() {
			if i.MAC == (metadata.MAC{}) || i.Addresses.State == metadata.Known && len(i.Addresses.Value) == 0 {
				t.Errorf("not an answer: %+v", i)
			}
		}
	})
}
