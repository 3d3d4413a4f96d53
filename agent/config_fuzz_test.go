package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzParse: whatever the file holds, Parse ends without a panic, and what it does not
// accept it names by a place that is in the file, on one printable line.
func FuzzParse(f *testing.F) {
	for _, tt := range valid {
		f.Add([]byte(tt.yaml))
	}
	for _, tt := range mistakes {
		f.Add([]byte(tt.yaml))
	}
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no example files: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("enid.yaml", data)
		if err == nil {
			checkAccepted(t, c)
			return
		}
		ce, ok := errors.AsType[*ConfigError](err)
		if !ok {
			t.Fatalf("%T is not a *ConfigError: %v", err, err)
		}
		if lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2; ce.Line < 1 || ce.Line > lines || ce.Column < 1 {
			t.Errorf("%d:%d is not a place in %q", ce.Line, ce.Column, data)
		}
		text := err.Error()
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is not one printable line", text)
		}
	})
}

// checkAccepted holds what others take for granted about a Config.
func checkAccepted(t *testing.T, c Config) {
	t.Helper()
	if err := c.Routing.Validate(); err != nil {
		t.Errorf("routing: %v", err)
	}
	if (c.Metadata.Provider == ProviderFile) != (c.Metadata.File != "") {
		t.Errorf("provider %s with file %q", c.Metadata.Provider, c.Metadata.File)
	}
	for _, dir := range []string{c.RuntimeDir, c.StateDir} {
		if !filepath.IsAbs(dir) {
			t.Errorf("%q is not absolute", dir)
		}
	}
	for _, r := range c.Interfaces {
		if r.Match == (Match{}) {
			t.Error("a rule without a match")
		}
		for _, p := range r.Addresses {
			if p != p.Masked() {
				t.Errorf("%s has host bits", p)
			}
		}
	}
}
