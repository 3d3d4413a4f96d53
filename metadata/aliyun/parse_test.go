package aliyun

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"

	"pgregory.net/rapid"
)

// FuzzParse reads whatever one ENI and the lists may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	const mac = "00:16:3e:14:59:58"
	f.Add(mac, mac+"/\n", "network-interface-id\nprivate-ipv4s", `["172.16.101.216","172.16.101.215"]`, "172.16.101.215", "172.16.101.0/24", "172.16.101.253", "[2408::a,2408::b]", "2408::/64", "2408::fff7", `["172.16.101.32/28"]`)
	f.Add("00-16-3E-14-59-58", "00163E145958/\r\n"+mac, "", "172.16.101.1\r\n172.16.101.2", "172.16.101.3", "0.0.0.0/0", "::1", "[]", "::/0", "fe80::1%eth0", "[172.16.101.32/28,172.16.101.48/28]")
	f.Add("", "\x00", "ipv6s", `["172.16.`, "x", "172.16.101.1/24", "[]", `"2408::a"`, "2408::1/64", "1.2.3.4", "[]")
	f.Add(mac, mac, "gateway", "]172.16.101.1[", "", "", "", `[""]`, "::ffff:1.2.3.0/120", "::ffff:1.2.3.4", `[,,"]`)
	f.Fuzz(func(t *testing.T, primary, list, listing, v4, first, net4, gate4, v6, net6, gate6, prefixes string) {
		answers := metadata.Answers{tree.Primary: {Body: primary}, tree.MACs: {Body: list}}
		for _, dir := range tree.Dirs(answers) {
			for _, path := range metadata.ToAsk(dir, metadata.Answer{Body: listing}, keys.All()) {
				answers[path] = metadata.Answer{Err: errors.New("down")}
			}
			for key, body := range map[string]string{
				"": listing, ipv4Key: v4, primaryKey: first, cidr4Key: net4, gateway4Key: gate4,
				ipv6Key: v6, cidr6Key: net6, gateway6Key: gate6, prefix4Key: prefixes, prefix6Key: prefixes,
			} {
				answers[dir+key] = metadata.Answer{Body: body}
			}
		}
		s, err := parse(answers)
		if err != nil {
			return
		}
		metadatatest.Usable(t, s)
	})
}

// A list reads the same in every form, and a bracketed one that was cut off anywhere reads as nothing.
func TestListForms(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes")))
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfNDistinct(address, 1, 25, rapid.ID).Draw(t, "addresses")
		var words []string
		for _, a := range want {
			words = append(words, a.String())
		}
		quoted := `["` + strings.Join(words, `","`) + `"]`
		bare := "[" + strings.Join(words, ",") + "]"
		for _, body := range []string{quoted, bare, strings.Join(words, "\n"), strings.Join(words, "\r\n") + "\r\n", "[\n  " + strings.Join(words, ",\n  ") + "\n]\n"} {
			got, err := list(metadata.IPv4)(body)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q: %v %v", body, got, err)
			}
		}
		for _, body := range []string{quoted, bare} {
			cut := rapid.IntRange(0, len(body)-1).Draw(t, "cut")
			if got, err := list(metadata.IPv4)(body[:cut]); err == nil {
				t.Fatalf("%q: %v", body[:cut], got)
			}
			if got, err := listOrNone(metadata.IPv4)(body[:cut]); err == nil {
				t.Fatalf("%q: none, %v", body[:cut], got)
			}
		}
	})
}
