package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
)

// dialectOf is a source that counts its requests.
type dialectOf struct {
	cloud
	name string
}

// Requests counts each question as one.
func (d *dialectOf) Requests() map[string]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return map[string]uint64{"200": uint64(len(d.asked)), d.name: 1}
}

func TestDetector(t *testing.T) {
	for _, tt := range []struct{ vendor, speaks, asks string }{
		{"", "one", "one"},
		{"", "two", "one two"},
		{"two", "two", "two"},
		{"two", "one", "two one"},
		{"elsewhere", "two", "one two"},
	} {
		dialects := map[string]*dialectOf{"one": {name: "one"}, "two": {name: "two"}}
		for name, d := range dialects {
			d.fails(errors.New("speaks another dialect"))
			if name == tt.speaks {
				d.says(eni(0, 5))
			}
		}
		d := newDetector(tt.vendor, candidate{"one", dialects["one"]}, candidate{"two", dialects["two"]})
		asked := func() string {
			var s []string
			for _, c := range d.candidates {
				if len(dialects[c.name].questions()) > 0 {
					s = append(s, c.name)
				}
			}
			return strings.Join(s, " ")
		}
		s, err := d.Fetch(context.Background())
		if err != nil || len(s.Interfaces) != 1 {
			t.Errorf("%+v: %v, %v", tt, s, err)
		}
		if got := asked(); got != tt.asks {
			t.Errorf("%+v: asked %q", tt, got)
		}
		// Once found it stays, also when it fails.
		dialects[tt.speaks].fails(errors.New("down"))
		if _, err := d.Fetch(context.Background()); err == nil || asked() != tt.speaks {
			t.Errorf("%+v: the second question: %v", tt, err)
		}
	}
}

func TestDetectorFindsNone(t *testing.T) {
	one, two := &dialectOf{name: "one"}, &dialectOf{name: "two"}
	one.fails(errors.New("404"))
	two.fails(errors.New("an HTML page"))
	d := newDetector("", candidate{"one", one}, candidate{"two", two})
	_, err := d.Fetch(context.Background())
	for _, part := range []string{"name the provider in the configuration", "one: 404", "two: an HTML page"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error %v does not say %q", err, part)
		}
	}
	want := map[string]uint64{"200": 2, "one": 1, "two": 1}
	if diff := cmp.Diff(want, (completed{d, ""}).Requests()); diff != "" {
		t.Error(diff)
	}
	two.says(eni(0, 5))
	if s, err := d.Fetch(context.Background()); err != nil || len(s.Interfaces) != 1 {
		t.Errorf("when one answers after all: %v, %v", s, err)
	}
}

func TestVendor(t *testing.T) {
	for text, want := range map[string]string{
		"sys_vendor=Amazon EC2\n":                         "ec2",
		"bios_vendor=Amazon EC2":                          "ec2",
		"sys_vendor=JDCloud\n":                            "jdcloud",
		"sys_vendor=QEMU;product_name=JD Cloud Compute\n": "jdcloud",
		"sys_vendor=QEMU\n":                               "",
		"":                                                "",
	} {
		dir := t.TempDir()
		for line := range strings.SplitSeq(text, ";") {
			if name, value, ok := strings.Cut(line, "="); ok {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := vendor(dir); got != want {
			t.Errorf("%q: vendor %q, want %q", text, got, want)
		}
	}
}

// TestCompleted: the provider's word counts first, then the overlay's, then what the cloud carries for its users; and
// what cannot be believed is taken out at the end.
func TestCompleted(t *testing.T) {
	overlay := t.TempDir()
	write(t, filepath.Join(overlay, "a.yaml"), `interfaces: [{mac: "02:00:00:00:00:01", id: of-overlay, subnets: [10.0.1.0/24], mtu: 1400}]`)
	write(t, filepath.Join(overlay, "bad.yaml"), `interfaces: [{mac: wrong}]`)
	provider := &cloud{}
	i := metadata.Interface{MAC: macOf(1), ID: metadata.Is("port-1", "cloud"), Primary: metadata.Is(false, "cloud")}
	custom := metadata.Interface{
		MAC: macOf(1), ID: metadata.Is("of-custom", "custom"), MTU: metadata.Is(1300, "custom"),
		Subnets:   metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.9.9.0/24")}, "custom"),
		Addresses: metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.1.5"), netip.MustParseAddr("127.0.0.1")}, "custom"),
	}
	provider.set(metadata.Snapshot{Provider: "test", Complete: true, Interfaces: []metadata.Interface{i}, Custom: []metadata.Interface{custom}}, nil, false)
	s, err := completed{uncheckedSource{provider}, overlay}.Fetch(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	from := "overlay " + filepath.Join(overlay, "a.yaml")
	want := metadata.Interface{
		MAC: macOf(1), ID: i.ID, Primary: i.Primary, MTU: metadata.Is(1400, from),
		Subnets:   metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}, from),
		Gateways:  metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.1.1")}, from),
		Addresses: metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr("10.0.1.5")}, "custom"),
	}
	if diff := cmp.Diff([]metadata.Interface{want}, s.Interfaces, compareConfig, compareAddrs); diff != "" {
		t.Error(diff)
	}
	if !hasProblem(s.Problems, "overlay") || !hasProblem(s.Problems, metadata.ReasonBadAddress) || s.Custom != nil {
		t.Errorf("problems %v, custom %v", s.Problems, s.Custom)
	}
}

// uncheckedSource answers what it was told to, believable or not.
type uncheckedSource struct{ *cloud }

// Fetch is Source.Fetch.
func (u uncheckedSource) Fetch(context.Context) (metadata.Snapshot, error) { return u.answer, u.err }

// pricey is a source that can say more for a price.
type pricey struct {
	uncheckedSource
	asked *metadata.Snapshot
}

// Complete says which answer it was asked to complete.
func (p pricey) Complete(_ context.Context, s metadata.Snapshot) metadata.Snapshot {
	*p.asked = s
	return metadata.Complete(s, []metadata.Interface{{
		MAC: macOf(1), MTU: metadata.Is(9999, "api"), Addresses: metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.1.5"), netip.MustParseAddr("127.0.0.1")}, "api"),
	}})
}

// TestCompletedLast: what has a price is asked for after the overlay and the cloud's users have spoken, also where the dialect
// was detected, and is not believed blindly either.
func TestCompletedLast(t *testing.T) {
	overlay := t.TempDir()
	write(t, filepath.Join(overlay, "a.yaml"), `interfaces: [{mac: "02:00:00:00:00:01", subnets: [10.0.1.0/24]}]`)
	provider := &cloud{}
	i := metadata.Interface{MAC: macOf(1), Primary: metadata.Is(true, "cloud")}
	custom := metadata.Interface{MAC: macOf(1), MTU: metadata.Is(1300, "custom")}
	provider.set(metadata.Snapshot{Provider: "test", Complete: true, Interfaces: []metadata.Interface{i}, Custom: []metadata.Interface{custom}}, nil, false)
	source := pricey{uncheckedSource{provider}, new(metadata.Snapshot)}
	for _, s := range []Source{source, newDetector("", candidate{"test", source})} {
		got, err := completed{s, overlay}.Fetch(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		before := source.asked.Interfaces[0]
		if before.MTU.Value != 1300 || before.Subnets.State != metadata.Known || before.Addresses.State != metadata.Unknown {
			t.Errorf("asked too early: %+v", before)
		}
		want := metadata.HasAtLeast([]netip.Addr{netip.MustParseAddr("10.0.1.5")}, "api")
		if diff := cmp.Diff(want, got.Interfaces[0].Addresses, compareAddrs); diff != "" || got.Interfaces[0].MTU.Value != 1300 {
			t.Errorf("%s\n%+v", diff, got.Interfaces[0])
		}
	}
}

// TestOpenAPISetting: off asks for nothing, another endpoint is asked; one that is none is an error of every provider
// that would ask it.
func TestOpenAPISetting(t *testing.T) {
	for _, p := range []Provider{ProviderAuto, ProviderJDCloud} {
		for _, setting := range []string{OpenAPIAuto, OpenAPIOff, "", "http://127.0.0.1:1"} {
			if _, err := NewSource(MetadataConfig{Provider: p, OpenAPI: setting}); err != nil {
				t.Errorf("%s, %q: %v", p, setting, err)
			}
		}
		if _, err := NewSource(MetadataConfig{Provider: p, OpenAPI: "vpc"}); err == nil || !strings.Contains(err.Error(), "OpenAPI") {
			t.Errorf("%s: an endpoint that is none: %v", p, err)
		}
	}
	primary := metadata.Snapshot{Interfaces: []metadata.Interface{{MAC: macOf(1), ID: metadata.Is("port-1", "cloud")}}}
	for setting, problems := range map[string]int{OpenAPIOff: 0, "http://127.0.0.1:1": 1} {
		s, err := newJDCloud(MetadataConfig{Endpoint: "http://127.0.0.1:1", OpenAPI: setting})
		if err != nil {
			t.Fatal(err)
		}
		if got := complete(context.Background(), s, primary); len(got.Problems) != problems {
			t.Errorf("%s: %v", setting, got.Problems)
		}
	}
}

func TestCompletedError(t *testing.T) {
	provider := &cloud{}
	provider.fails(errors.New("down"))
	if _, err := (completed{provider, t.TempDir()}).Fetch(context.Background()); err == nil {
		t.Error("an error has become an answer")
	}
}

func TestNewSource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "interfaces.yaml")
	write(t, file, `interfaces: [{mac: "02:00:00:00:00:01", addresses: [10.0.1.5], subnets: [10.0.1.0/24], primary: true}]`)
	for _, p := range []Provider{ProviderFile, ProviderAuto} {
		s, err := NewSource(MetadataConfig{Provider: p, File: file})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := s.Fetch(context.Background()); err != nil || len(answer.Interfaces) != 1 || answer.Provider != "file" {
			t.Errorf("%s with a file: %+v, %v", p, answer, err)
		}
	}
	for _, p := range []Provider{ProviderAuto, ProviderJDCloud, ProviderEC2} {
		if _, err := NewSource(MetadataConfig{Provider: p}); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if _, err := NewSource(MetadataConfig{Provider: p, Endpoint: "http://[::1"}); err == nil {
			t.Errorf("%s takes an endpoint that is none", p)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
