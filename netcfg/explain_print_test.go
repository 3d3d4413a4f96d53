package netcfg

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func explained(e Explanation) string {
	var b strings.Builder
	if err := e.Print(&b, true); err != nil {
		return err.Error()
	}
	return b.String()
}

// TestExplainGolden is what people and programs read.
func TestExplainGolden(t *testing.T) {
	for name, s := range map[string]*sight{
		"secondary": twoENIs(Packet{Src: ip("10.0.1.5"), Dst: ip("8.8.8.8"), UID: 1000}),
		"foreign": func() *sight {
			s := twoENIs(Packet{Src: ip("10.0.1.5"), Dst: ip("8.8.8.8")})
			s.foreign(anybodys(Rule{Priority: 5270, Proto: 3, Table: 52}))
			s.foreign(anybodys(Rule{Priority: 5300, Proto: 3, From: pfx("10.0.1.0/24"), IPProto: 6, Table: 99}))
			s.add(route(52, "8.8.8.8/32", "", "eth0"))
			return s
		}(),
		"forwarded": func() *sight {
			s := twoENIs(Packet{Src: ip("8.8.8.8"), Dst: ip("172.17.0.2"), IIF: "eth1"})
			s.in.rpFilter = 1
			s.foreign(anybodys(Rule{Priority: 5300, Proto: 3, IIF: "eth1", IPProto: 6, Table: 99}))
			return s
		}(),
		"any": twoENIs(Packet{Dst: ip("8.8.8.8"), Mark: 0x80}),
		"refused": func() *sight {
			s := twoENIs(Packet{Src: ip("10.0.1.5"), Dst: ip("8.8.8.8")})
			s.routes[20001] = s.routes[20001][:1]
			return s
		}(),
	} {
		e := s.answered()
		var text, full strings.Builder
		if err := e.Print(&text, false); err != nil {
			t.Fatal(err)
		}
		if err := e.Print(&full, true); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(full.String()) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%s: longer than 80 columns: %s", name, line)
			}
		}
		data, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "null") {
			t.Errorf("%s: null in %s", name, data)
		}
		golden(t, name+".txt", text.String()+"\n--all\n\n"+full.String())
		golden(t, name+".json", string(data)+"\n")
	}
}

// golden compares a text with a file of testdata/explain, which go test -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "explain", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update if it is meant:\n%s", file, diff)
	}
}
