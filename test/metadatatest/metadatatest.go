// Package metadatatest serves written-down answers of a metadata service to the
// tests of a dialect, and says what every dialect must hold.
package metadatatest

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what was got into the golden files")

// want is the file of an archive that holds Text of the Snapshot, or the error.
const want = "want"

// Tree maps the paths of a service to its answers.
type Tree map[string]Reply

// Reply is one answer. A path that a Tree lacks is a 404.
type Reply struct {
	Status int // 200 where it is 0
	Body   string
}

// ReadTree reads an archive: each file is an answer. Its name is the path without the
// first slash, and may be followed by a status: "latest/meta-data/mac 500".
func ReadTree(t *testing.T, file string) Tree {
	t.Helper()
	tree, _ := read(t, file)
	return tree
}

func read(t *testing.T, file string) (Tree, *txtar.Archive) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree := Tree{}
	for _, f := range archive.Files {
		path, status, _ := strings.Cut(f.Name, " ")
		reply := Reply{Body: string(f.Data)}
		if status != "" {
			if reply.Status, err = strconv.Atoi(status); err != nil {
				t.Fatalf("%s: -- %s --: want a path and a status: %v", file, f.Name, err)
			}
		}
		if path != want {
			tree["/"+path] = reply
		}
	}
	return tree, archive
}

// ServeHTTP answers as the service would.
func (tree Tree) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply, ok := tree[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	if reply.Status != 0 {
		w.WriteHeader(reply.Status)
	}
	fmt.Fprint(w, reply.Body)
}

// Start serves until the test ends and returns the endpoint.
func Start(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// NewFetch makes a Source of a dialect for an endpoint and returns its Fetch.
type NewFetch func(t *testing.T, endpoint string) func(context.Context) (metadata.Snapshot, error)

// Golden serves each archive testdata/*.txtar and compares the outcome of a Fetch with
// the archive's file want. With -update it writes that file.
func Golden(t *testing.T, serve func(Tree) http.Handler, source NewFetch) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			tree, archive := read(t, file)
			endpoint := Start(t, serve(tree))
			s, err := source(t, endpoint)(t.Context())
			got := Text(s)
			if err != nil {
				got = "error: " + err.Error() + "\n"
			}
			compare(t, file, archive, strings.ReplaceAll(got, endpoint, "http://service"))
		})
	}
}

func compare(t *testing.T, file string, archive *txtar.Archive, got string) {
	t.Helper()
	n := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == want })
	switch {
	case *update && n < 0:
		archive.Files = append(archive.Files, txtar.File{Name: want, Data: []byte(got)})
	case *update:
		archive.Files[n].Data = []byte(got)
	case n < 0:
		t.Fatalf("%s has no file %q; look at what -update writes", file, want)
	default:
		if diff := cmp.Diff(string(archive.Files[n].Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		return
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Text is a Snapshot to read and to compare, one fact a line.
func Text(s metadata.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "provider %s\ninstance %s\ncomplete %t\n", s.Provider, s.Instance, s.Complete)
	for _, i := range s.Interfaces {
		fmt.Fprintf(&b, "\n%s whole %t\n", i.MAC, i.Whole())
		facts(&b, i)
	}
	for _, i := range s.Custom {
		fmt.Fprintf(&b, "\ncustom %s\n", i.MAC)
		facts(&b, i)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "\nproblem %s: %s\n", p.Reason, p)
	}
	return b.String()
}

func facts(b *strings.Builder, i metadata.Interface) {
	line(b, "id", i.ID)
	line(b, "primary", i.Primary)
	line(b, "subnet id", i.SubnetID)
	line(b, "subnets", i.Subnets)
	line(b, "gateways", i.Gateways)
	line(b, "addresses", i.Addresses)
	line(b, "prefixes", i.Prefixes)
	if i.Local.State != metadata.Unknown { // most dialects have no such thing
		line(b, "local", i.Local)
	}
	if i.VLAN.State != metadata.Unknown {
		line(b, "vlan", i.VLAN)
	}
	line(b, "mtu", i.MTU)
	line(b, "public", i.Public)
}

func line[T any](b *strings.Builder, name string, f metadata.Fact[T]) {
	switch f.State {
	case metadata.Unknown:
		fmt.Fprintf(b, "  %-9s unknown\n", name)
	case metadata.None:
		fmt.Fprintf(b, "  %-9s none (%s)\n", name, f.Origin)
	default:
		fmt.Fprintf(b, "  %-9s %s %v (%s)\n", name, f.State, f.Value, f.Origin)
	}
}
