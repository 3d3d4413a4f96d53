package netcfg

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestParseRuleset(t *testing.T) {
	got := parseRuleset("# Generated\n# Table `x' is incompatible, use 'nft' tool.\n-A LOST -j X\n*mangle\n:PREROUTING ACCEPT [0:0]\n:ENID-PREROUTING-0 - [0:0]\n" +
		"-A PREROUTING -j ENID-PREROUTING-0\n-A PREROUTING -j ENID-PREROUTING-0\n-A ENID-FOO -g ENID-PREROUTING-1\nCOMMIT\n*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n")
	want := ruleset{"mangle": {"PREROUTING": {"-j ENID-PREROUTING-0", "-j ENID-PREROUTING-0"}, "ENID-PREROUTING-0": nil, "ENID-FOO": {"-g ENID-PREROUTING-1"}},
		"nat": {"POSTROUTING": nil}}
	if diff := gocmp.Diff(want, got, equate); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	gens := got.generationsOf(MarkIncoming)
	if want := []generation{{name: "ENID-PREROUTING-0", there: true, calls: 2}, {name: "ENID-PREROUTING-1", held: true}}; !gocmp.Equal(want, gens, equate, gocmp.AllowUnexported(generation{})) {
		t.Errorf("%+v", gens)
	}
	if p := printed([]string{"-o eth1 -p gre -j A", "-p icmpv6 -j B"}); p != "-o eth1 -p 47 -j A\n-p ipv6-icmp -j B" {
		t.Error(p)
	}
}

// FuzzRuleset: whatever iptables prints is read without harm, and what is called ours is nothing else.
func FuzzRuleset(f *testing.F) {
	f.Add("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ENID-PREROUTING-0\n-A X -m mark --mark 0x1/0x2 -g ENID-PREROUTING-1\nCOMMIT\n")
	f.Fuzz(func(t *testing.T, text string) {
		set := parseRuleset(text)
		for _, h := range Hooks {
			for _, g := range set.generationsOf(h) {
				if g.ours() && !strings.Contains(text, g.name) {
					t.Errorf("%s is not in it", g.name)
				}
			}
		}
		set.markConflict(V4, DefaultNumbers.Mark)
	})
}

// FuzzChainEvent: nothing that comes from a socket does harm.
func FuzzChainEvent(f *testing.F) {
	f.Add(nftEvent(unix.NFT_MSG_NEWRULE, unix.AF_INET, "nat", "KUBE-SERVICES"))
	f.Fuzz(func(t *testing.T, b []byte) {
		concernsChains(b)
		interest{}.concernsSetting(b)
		parseForeignRule(b)
	})
}

func nftEvent(event uint16, family byte, table, chain string) []byte {
	attr := func(typ int, s string) []byte { return attrString(typ, s).Serialize() }
	body := slices.Concat([]byte{family, 0, 0, 0}, attr(attrTable, table), attr(attrRuleChain, chain))
	size := unix.SizeofNlMsghdr + len(body)
	return slices.Concat([]byte{byte(size), 0, 0, 0, byte(event), subsysNFTables}, make([]byte, 10), body)
}

func TestConcernsChains(t *testing.T) {
	for _, c := range []struct {
		family       byte
		table, chain string
		want         bool
	}{
		{unix.AF_INET, "mangle", "PREROUTING", true}, {unix.AF_INET6, "nat", "POSTROUTING", true}, {unix.AF_INET, "mangle", "ENID-OUTPUT-1", true},
		{unix.AF_INET, "nat", "PREROUTING", false}, {unix.AF_INET, "filter", "FORWARD", false}, {1, "mangle", "PREROUTING", false}, {unix.AF_INET, "mangle", "INPUT", false},
	} {
		one := nftEvent(unix.NFT_MSG_DELRULE, c.family, c.table, c.chain)
		other := nftEvent(unix.NFT_MSG_DELRULE, unix.AF_INET, "nat", "KUBE-SERVICES")
		if got := concernsChains(one); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if got := concernsChains(bytes.Join([][]byte{other, one}, nil)); got != c.want {
			t.Errorf("%+v behind another's: %v", c, got)
		}
	}
}

// TestLacks: the one line that is said to be missing is what makes the one list the other.
func TestLacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c"}))
		short, long := lines.Draw(t, "short"), lines.Draw(t, "long")
		if rapid.Bool().Draw(t, "one more") {
			long = slices.Insert(slices.Clone(short), rapid.IntRange(0, len(short)).Draw(t, "at"), "d")
		}
		at := lacks(short, long)
		if at >= 0 && !slices.Equal(slices.Insert(slices.Clone(short), at, long[at]), long) {
			t.Fatalf("%v and %v: %d", short, long, at)
		}
		if at < 0 && slices.Contains(long, "d") {
			t.Fatalf("%v is %v and one line", long, short)
		}
	})
}
