package lastgood

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"enid/metadata"
)

var (
	began   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	compare = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
)

func mac(n byte) metadata.MAC { return metadata.MAC{2, 0, 0, 0, 0, n} }

// eni is all about one, with these last bytes of its addresses; 0 is the primary.
func eni(n byte, hosts ...byte) metadata.Interface {
	subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n, 0}), 24)
	i := metadata.Interface{
		MAC: mac(n), ID: metadata.Is("eni-"+string('a'+rune(n)), "t"), Primary: metadata.Is(n == 0, "t"),
		Subnets: metadata.Is([]netip.Prefix{subnet}, "t"), Gateways: metadata.Is([]netip.Addr{subnet.Addr().Next()}, "t"),
		Prefixes: metadata.IsNone[[]netip.Prefix]("t"),
	}
	for _, h := range hosts {
		i.Addresses = metadata.Is(append(i.Addresses.Value, netip.AddrFrom4([4]byte{10, 0, n, h})), "t")
	}
	return i
}

func with(i metadata.Interface, change func(*metadata.Interface)) metadata.Interface {
	change(&i)
	return i
}

// draw is a document of valid interfaces with every kind of fact.
func draw(t *rapid.T) Document {
	d := Document{Provider: rapid.SampledFrom([]string{"ec2", "gcp"}).Draw(t, "provider"), Instance: rapid.SampledFrom([]string{"", "i-1"}).Draw(t, "instance"),
		Answered: began.Add(time.Duration(rapid.Int64Range(0, 1e18).Draw(t, "answered")))}
	for n := range byte(rapid.IntRange(1, 5).Draw(t, "ENIs")) {
		i := eni(n, rapid.SliceOfNDistinct(rapid.ByteRange(2, 200), 1, 6, rapid.ID).Draw(t, "hosts")...)
		if rapid.Bool().Draw(t, "more") {
			a := i.Addresses.Value[0]
			i.Public = metadata.Is(map[netip.Addr]netip.Addr{a: netip.MustParseAddr("198.51.100.7")}, "t")
			i.MTU, i.SubnetID = metadata.Is(9000, "t"), metadata.Is("subnet-ü \"1\"", "t")
			i.Local = metadata.Is([]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, n, 0}), 28)}, "t")
			i.Prefixes = metadata.HasAtLeast([]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, n, 0}), 28)}, "t")
		}
		if rapid.Bool().Draw(t, "less") {
			i.Gateways, i.Addresses.State = metadata.Fact[[]netip.Addr]{}, metadata.AtLeast
		}
		if n > 0 && rapid.Bool().Draw(t, "VLAN") {
			i.VLAN = metadata.Is(metadata.VLAN{Parent: mac(0), ID: int(n)}, "t")
		}
		d.Interfaces = append(d.Interfaces, i)
	}
	d.Interfaces = metadata.Validate(metadata.Snapshot{Interfaces: d.Interfaces}).Interfaces
	return d
}

// TestRoundTrip: what is saved is loaded, over what was there before and over what a crash has left.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "metadata.json")
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		if rapid.Bool().Draw(t, "a crash before") {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".new", []byte(`{"version": 1, "con`), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if diff := cmp.Diff(d, got, compare); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v %v", info.Mode(), err)
		}
		if !d.Same(got) || !got.Same(d) {
			t.Fatal("the loaded document is not the same")
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("something is left beside it: %v", err)
		}
	})
}

// TestDamage: a file that is cut, or of which any byte is another, is refused or says the same.
func TestDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		data, err := d.format()
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		damaged := slices.Clone(data)
		if rapid.Bool().Draw(t, "cut") {
			damaged = damaged[:at]
		} else {
			damaged[at] = rapid.Byte().Draw(t, "byte")
		}
		if got, err := parse(damaged); err == nil {
			if diff := cmp.Diff(d, got, compare); diff != "" {
				t.Fatalf("it is believed:\n%s\n%s", diff, damaged)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	good, err := Document{Provider: "ec2", Answered: began, Interfaces: []metadata.Interface{eni(0, 5), eni(1, 5, 6)}}.format()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good), "", "{}", "[]", "null", `{"version": 1}`, `{"version": 1, "content": {}}`, strings.Replace(string(good), "1", "2", 1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parse(data)
		if err != nil {
			return
		}
		again := metadata.Validate(metadata.Snapshot{Interfaces: d.Interfaces}).Interfaces
		if diff := cmp.Diff(d.Interfaces, again, compare); diff != "" {
			t.Errorf("what is loaded is not valid:\n%s", diff)
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	for text, want := range map[string]string{
		"":                              "damaged",
		"{}":                            "version 0 is not known",
		`{"version": 2}`:                "version 2 is not known",
		`{"version": 1, "content": {}}`: "its checksum is another",
		`{"version": 1, "content": }`:   "damaged",
		`"` + strings.Repeat("x", maxBytes) + `"`: "is larger than",
	} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

func TestFits(t *testing.T) {
	d := Document{Provider: "ec2", Answered: began, Interfaces: []metadata.Interface{eni(0, 5), eni(1, 5)}}
	nics := []metadata.MAC{mac(0), mac(9)}
	for name, tt := range map[string]struct {
		provider string
		nics     []metadata.MAC
		age      time.Duration
		change   func(*metadata.Interface)
		why      string
	}{
		"fits":                   {"ec2", nics, time.Hour, nil, ""},
		"no provider known":      {"", nics, time.Hour, nil, ""},
		"the last moment":        {"ec2", nics, 24 * time.Hour, nil, ""},
		"a clock that is behind": {"ec2", nics, -time.Hour, nil, ""},
		"another provider":       {"gcp", nics, time.Hour, nil, "what ec2 said, and this host asks gcp"},
		"too old":                {"ec2", nics, 24*time.Hour + time.Second, nil, "of 2026-11-24T12:00:00Z, which is longer ago than metadata.max_age (24h0m0s)"},
		"of the future":          {"ec2", nics, -25 * time.Hour, nil, "yet to come"},
		"another instance":       {"ec2", []metadata.MAC{mac(1), mac(9)}, time.Hour, nil, "of another instance: no NIC here has the MAC 02:00:00:00:00:00"},
		"no NIC at all":          {"ec2", nil, time.Hour, nil, "another instance"},
		"no primary":             {"ec2", nics, time.Hour, func(i *metadata.Interface) { i.Primary = metadata.Fact[bool]{} }, "does not say which ENI is the primary"},
	} {
		doc := d
		if tt.change != nil {
			doc.Interfaces = []metadata.Interface{with(eni(0, 5), tt.change), eni(1, 5)}
		}
		err := doc.Fits(tt.provider, tt.nics, began.Add(tt.age), 24*time.Hour)
		if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v, want %q", name, err, tt.why)
		}
	}
	if err := (Document{}).Fits("", nics, began, time.Hour); err == nil {
		t.Error("the empty document fits")
	}
}

// TestNext: what is kept, given what the file had and what is believed after answers ten seconds apart.
func TestNext(t *testing.T) {
	unread := func(i *metadata.Interface) { i.Addresses = metadata.Fact[[]netip.Addr]{} }
	atLeast := func(i *metadata.Interface) { i.Addresses.State = metadata.AtLeast }
	file := Document{Provider: "ec2", Instance: "i-1", Interfaces: []metadata.Interface{eni(0, 5), eni(1, 5, 6)}}
	answer := func(enis ...metadata.Interface) metadata.Snapshot {
		return metadata.Snapshot{Provider: "ec2", Instance: "i-1", Complete: true, Interfaces: enis}
	}
	of := func(change func(*metadata.Snapshot), s metadata.Snapshot) metadata.Snapshot { change(&s); return s }
	for name, tt := range map[string]struct {
		answers []metadata.Snapshot
		want    []metadata.Interface
	}{
		"the same":       {[]metadata.Snapshot{answer(eni(0, 5), eni(1, 5, 6))}, file.Interfaces},
		"less addresses": {[]metadata.Snapshot{answer(eni(0, 5), eni(1, 5))}, []metadata.Interface{eni(0, 5), eni(1, 5)}},
		"an unread ENI":  {[]metadata.Snapshot{answer(eni(0, 5), with(eni(1), unread))}, file.Interfaces},
		"never whole":    {[]metadata.Snapshot{answer(with(eni(0, 5), atLeast), eni(1, 5, 6))}, file.Interfaces},
		"one not listed": {[]metadata.Snapshot{answer(eni(0, 5))}, file.Interfaces},
		"one not listed for long": {slices.Repeat([]metadata.Snapshot{answer(eni(0, 5))}, 8),
			[]metadata.Interface{eni(0, 5)}},
		"a new one":        {[]metadata.Snapshot{answer(eni(0, 5), eni(1, 5, 6), eni(2, 7))}, []metadata.Interface{eni(0, 5), eni(1, 5, 6), eni(2, 7)}},
		"another instance": {[]metadata.Snapshot{of(func(s *metadata.Snapshot) { s.Instance = "i-2" }, answer(eni(0, 9)))}, []metadata.Interface{eni(0, 9)}},
		"another provider": {[]metadata.Snapshot{of(func(s *metadata.Snapshot) { s.Provider = "gcp" }, answer(eni(0, 9)))}, []metadata.Interface{eni(0, 9)}},
		"id not readable":  {[]metadata.Snapshot{of(func(s *metadata.Snapshot) { s.Instance = "" }, answer(eni(0, 5)))}, file.Interfaces},
	} {
		var b metadata.Belief
		for n, s := range tt.answers {
			b = b.Update(s, began.Add(time.Duration(n)*10*time.Second), time.Minute)
		}
		newest := tt.answers[len(tt.answers)-1]
		got := file.Next(newest, b, began)
		if diff := cmp.Diff(tt.want, got.Interfaces, compare); diff != "" || got.Provider != newest.Provider || !got.Answered.Equal(began) {
			t.Errorf("%s: %+v\n%s", name, got, diff)
		}
	}
}

// TestNextThatNeverIsWhole: of an ENI of which not all can be known the newest word counts.
func TestNextThatNeverIsWhole(t *testing.T) {
	part := func(i *metadata.Interface) { i.Addresses.State = metadata.AtLeast }
	file := Document{Provider: "ec2", Interfaces: []metadata.Interface{with(eni(0, 5, 6), part)}}
	now := with(eni(0, 5), part)
	s := metadata.Snapshot{Provider: "ec2", Interfaces: []metadata.Interface{now}}
	got := file.Next(s, metadata.Belief{}.Update(s, began, time.Minute), began)
	if diff := cmp.Diff([]metadata.Interface{now}, got.Interfaces, compare); diff != "" {
		t.Error(diff)
	}
}
