package azure

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

// FuzzParse reads whatever the document may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if strings.HasPrefix(part.Name, networkPath[1:]) {
				f.Add(strings.ReplaceAll(string(part.Data), "CLIENT", "10.0.0.4"))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		s, err := parse(body, netip.MustParseAddr("10.0.0.4"))
		if err != nil {
			return
		}
		if len(s.Interfaces) == 0 {
			t.Error("an answer without an ENI is no error")
		}
		metadatatest.Usable(t, s)
	})
}

// Whatever the order of the NICs, the answer is the same, and the one with the address that is asked from is the primary.
func TestOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list []json.RawMessage
		count := rapid.IntRange(1, 8).Draw(t, "NICs")
		for n := range count {
			list = append(list, json.RawMessage(fmt.Sprintf(`{"macAddress":"000D3A0000%02X","ipv4":{"ipAddress":[{"privateIpAddress":"10.0.%d.4","publicIpAddress":""}],"subnet":[{"address":"10.0.%d.0","prefix":"24"}]},"ipv6":{"ipAddress":[]}}`, n, n, n)))
		}
		primary := rapid.IntRange(0, count-1).Draw(t, "primary")
		from := netip.AddrFrom4([4]byte{10, 0, byte(primary), 4})
		want := parsed(t, list, from)
		seed := rapid.Uint64().Draw(t, "order")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(count, func(i, j int) { list[i], list[j] = list[j], list[i] })
		got := parsed(t, list, from)
		if diff := cmp.Diff(want, got, metadatatest.Compare); diff != "" {
			t.Fatalf("in another order (-want +got):\n%s", diff)
		}
		for n, i := range got.Interfaces {
			if i.Primary != metadata.Is(n == primary, origin) || !i.Whole() || !got.Complete {
				t.Fatalf("%d of %d: %+v", n, primary, i)
			}
		}
	})
}

func parsed(t *rapid.T, list []json.RawMessage, from netip.Addr) metadata.Snapshot {
	body, err := json.Marshal(map[string]any{"interface": list})
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse(string(body), from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A document that is cut is an error, wherever.
func TestCut(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/two.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(b), networkPath[1:]+" --\n")
	body, _, _ = strings.Cut(body, "\n-- want")
	for n := range len(strings.TrimSpace(body)) {
		if s, err := parse(body[:n], netip.Addr{}); err == nil {
			t.Fatalf("cut after %d bytes: %s", n, metadatatest.Text(s))
		}
	}
}
