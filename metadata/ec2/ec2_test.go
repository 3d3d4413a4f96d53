package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

func newSource(t *testing.T, endpoint string) *Source {
	t.Helper()
	s, err := New(endpoint, metadata.Dial{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fetcher is a Fetch for the tests of metadatatest.
func fetcher(t *testing.T, endpoint string) func(context.Context) (metadata.Snapshot, error) {
	return newSource(t, endpoint).Fetch
}

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, func(tree metadatatest.Tree) http.Handler { return &imds{next: tree} }, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	s := newSource(t, "")
	_, err := s.Fetch(canceled(t))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "http://169.254.169.254") {
		t.Errorf("got %v", err)
	}
	if _, err := New("169.254.169.254", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/three.txtar")
	metadatatest.Survives(t, tree, func(get metadatatest.Get) (metadata.Snapshot, error) {
		return parse(gather(t.Context(), func(ctx context.Context, path string) (string, error) { return get(ctx, root+path) }))
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/three.txtar")
	metadatatest.Recovers(t, func() http.Handler { return &imds{next: tree} }, fetcher)
}

func TestHang(t *testing.T) {
	t.Parallel()
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := newSource(t, endpoint).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "hop limit") {
		t.Errorf("got %v", err)
	}
}

// The numbers that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	tree := metadatatest.Tree{root + macPath: {Body: "02:00:00:00:00:00"}, root + instancePath: {Body: "i-1"}}
	var list strings.Builder
	for n := range 8 {
		dir := fmt.Sprintf("02:00:00:00:00:%02x/", n)
		list.WriteString(dir + "\n")
		eni := root + macsPath + dir
		tree[eni] = metadatatest.Reply{Body: "device-number\ninterface-id\nlocal-ipv4s\nmac\nsubnet-id\nsubnet-ipv4-cidr-block\nvpc-id\n"}
		tree[eni+"interface-id"] = metadatatest.Reply{Body: fmt.Sprintf("eni-%d", n)}
		tree[eni+"subnet-id"] = metadatatest.Reply{Body: "subnet-1"}
		tree[eni+"local-ipv4s"] = metadatatest.Reply{Body: fmt.Sprintf("10.0.%d.5", n)}
		tree[eni+"subnet-ipv4-cidr-block"] = metadatatest.Reply{Body: fmt.Sprintf("10.0.%d.0/24", n)}
	}
	tree[root+macsPath] = metadatatest.Reply{Body: list.String()}
	s := newSource(t, metadatatest.Start(t, &imds{next: tree}))
	for n := range 2 {
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 || !got.Complete {
			t.Fatalf("%v %+v", err, got)
		}
		if diff := cmp.Diff(map[string]uint64{"200": uint64(1 + (n+1)*43)}, s.Requests()); diff != "" {
			t.Errorf("after %d fetches (-want +got):\n%s", n+1, diff)
		}
	}
}
