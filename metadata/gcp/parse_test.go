package gcp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enid/test/metadatatest"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse reads whatever the server may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(txtar.Parse(data).Files[0].Data))
	}
	f.Add(`{"networkInterfaces":[{"mac":"42:01:0a:00:00:05","ip":"::ffff:10.0.0.5","ipv6":["::1%eth0/64"],"ipAliases":["0.0.0.0/0"]}],"vlanNetworkInterfaces":{"0":{"10":{}}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		s, err := parse(body)
		if err != nil {
			return
		}
		metadatatest.Usable(t, s)
	})
}

// Nothing of the user's attributes may get into an error or a problem.
func TestNoSecrets(t *testing.T) {
	for _, body := range []string{
		"hush", `["hush"]`, `{"attributes":{"key":"hush"}`, `{"attributes":{"key":"hush"}}`, `{"attributes":{"key":"hush"},"networkInterfaces":[{}]}`,
	} {
		if _, err := parse(body); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: error %v", body, err)
		}
	}
}

func TestNumber(t *testing.T) {
	for raw, want := range map[string]string{
		"18446744073709551615": "18446744073709551615", `"42"`: "42", "": "", "1.5": "", "-1": "", "null": "", `"x"`: "",
	} {
		if got := number([]byte(raw)); got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for text, want := range map[string]string{
		"10.24.3.0/24": "10.24.3.0/24", "10.128.0.9/32": "10.128.0.9/32", "10.128.0.200": "10.128.0.200/32", "2600:1900::/96": "2600:1900::/96",
		"2600:1900::1": "2600:1900::1/128", "10.24.3.1/24": "", "0.0.0.0/0": "", "::/0": "", "::1%eth0": "", "x": "", "": "",
	} {
		got, err := block(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%s: got %s, %v, want %q", text, got, err, want)
		}
	}
}
