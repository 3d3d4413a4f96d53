package cloud_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/metadata"
	"enid/test/cloud"
)

var update = flag.Bool("update", false, "write the golden files anew")

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, addr(a))
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value is for calls that answer and must not fail.
func value[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// compare is strict about values and lets netip's types say what they are.
func compare(t *testing.T, want, got any) {
	t.Helper()
	opts := cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// small is a cloud with subnets a (dual stack) and b, and instance i-1 in a.
func small(t *testing.T) (*cloud.Cloud, cloud.ENI) {
	t.Helper()
	c := cloud.New()
	must(t, c.CreateSubnet(cloud.Subnet{ID: "subnet-a", IPv4: prefix("10.0.0.0/24"), IPv6: prefix("2001:db8:0:a::/64")}))
	must(t, c.CreateSubnet(cloud.Subnet{ID: "subnet-b", IPv4: prefix("10.0.1.0/24")}))
	return c, value(c.CreateInstance("i-1", "subnet-a", cloud.ENIOptions{}))(t)
}

// tour is an instance with everything that the dialects can show: the primary
// with public and IPv6 addresses and prefixes, and two secondary
// ENIs, before which a third was detached.
func tour(t *testing.T) *cloud.Cloud {
	t.Helper()
	c, primary := small(t)
	must(t, c.Assign(primary.ID, addrs("10.0.0.20", "2001:db8:0:a::20", "10.0.0.21", "2001:db8:0:a::21")...))
	must(t, c.AssignPrefix(primary.ID, prefix("10.0.0.32/28")))
	must(t, c.AssignPrefix(primary.ID, prefix("2001:db8:0:a:1::/80")))
	must(t, c.BindPublic(primary.Addresses[0], addr("203.0.113.7")))
	must(t, c.BindPublic(addr("10.0.0.21"), addr("203.0.113.8")))
	must(t, c.SetCustom("i-1", "Motto", `say "no" to <gaps>`))
	for _, mac := range []metadata.MAC{{}, {2, 0x12, 0x34, 0, 0, 1}, {}} {
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{MAC: mac, MTU: 1450}))(t)
		must(t, c.Attach("i-1", e.ID))
	}
	must(t, c.Detach("i-1", c.Describe("i-1")[1].ID))
	return c
}

// ask is one request to a handler, without a network.
func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://169.254.169.254"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get is the body of a path, or its status where that is not 200.
func get(h http.Handler, path string) string {
	w := ask(h, http.MethodGet, path)
	if w.Code != http.StatusOK {
		return fmt.Sprint(w.Code)
	}
	return w.Body.String()
}

// walk prints a tree from path on: every key with its text, indented.
func walk(h http.Handler, path string, list func(body string) []string) string {
	body := get(h, path)
	out := path + "\n"
	for line := range strings.Lines(body) {
		out += "    " + strings.TrimSuffix(line, "\n") + "\n"
	}
	if !strings.HasSuffix(path, "/") {
		return out
	}
	for _, name := range list(body) {
		out += walk(h, path+name, list)
	}
	return out
}

func lfList(body string) []string { return strings.Fields(body) }

func jsonList(body string) (names []string) {
	if err := json.Unmarshal([]byte(body), &names); err != nil {
		return nil // a status
	}
	return names
}

// jsonSlashless is jsonList where numbers and words alike may be directories:
// it adds the slash to those that the documents show as such.
func jsonSlashless(body string) (names []string) {
	for _, n := range jsonList(body) {
		switch {
		case strings.Trim(n, "0123456789") == "",
			slices.Contains([]string{"attributes", "customdata", "custom-metadata", "image", "network", "placement"}, n):
			n += "/"
		}
		names = append(names, n)
	}
	return names
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	compare(t, string(want), got)
}
