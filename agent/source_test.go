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
	"enid/metadata/detect"
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
	for _, s := range []Source{source, newDetector(detect.DMI{}, candidate{"test", source})} {
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
		s, err := newJDCloud(MetadataConfig{Endpoint: "http://127.0.0.1:1", OpenAPI: setting}, metadata.Dial{})
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
	s, err := NewSource(MetadataConfig{Provider: ProviderFile, File: file})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := s.Fetch(context.Background()); err != nil || len(answer.Interfaces) != 1 || answer.Provider != "file" {
		t.Errorf("with a file: %+v, %v", answer, err)
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
