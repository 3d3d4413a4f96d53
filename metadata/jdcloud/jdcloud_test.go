package jdcloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
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
	metadatatest.Golden(t, func(tree metadatatest.Tree) http.Handler { return tree }, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newSource(t, "")
	if _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, listing := s.list(ctx); !strings.Contains(listing.Err.Error(), "http://169.254.169.254: GET /metadata/latest/network/") {
		t.Errorf("got %v", listing.Err)
	}
	if _, err := New("169.254.169.254", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/document-quoted.txtar")
	metadatatest.Survives(t, tree, func(get metadatatest.Get) (metadata.Snapshot, error) {
		below := func(ctx context.Context, path string) (string, error) { return get(ctx, bases[0]+path) }
		body, err := below(t.Context(), networkPath)
		s, err := parse(gather(t.Context(), metadata.Answer{Body: body, Err: err}, below))
		return metadata.Complete(s, s.Custom), err
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/document.txtar")
	metadatatest.Recovers(t, func() http.Handler { return tree }, fetcher)
}

func TestHang(t *testing.T) {
	t.Parallel()
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := newSource(t, endpoint).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The base that worked is asked first, and the other when that one is gone.
func TestBaseIsKept(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/alias.txtar")
	var moved atomic.Bool
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if moved.Load() {
			path, ok := strings.CutPrefix(r.URL.Path, bases[0])
			if !ok {
				http.NotFound(w, r)
				return
			}
			r.URL.Path = bases[1] + path
		}
		tree.ServeHTTP(w, r)
	})))
	// No floating-ipv4 on either NIC and no document: 3 more 404.
	wants := []map[string]uint64{{"200": 1 + 1 + 8, "404": 1 + 1 + 3}, {"200": 20, "404": 9}, {"200": 30, "404": 14}}
	for n, want := range wants {
		moved.Store(n == 2)
		if got, err := s.Fetch(t.Context()); err != nil || !got.Complete || len(got.Interfaces) != 2 {
			t.Fatalf("%v %v", err, got)
		}
		if diff := cmp.Diff(want, s.Requests()); diff != "" {
			t.Errorf("after %d fetches (-want +got):\n%s", n+1, diff)
		}
	}
}

// The number that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	tree := metadatatest.Tree{}
	var names []string
	for n := 1; n <= 8; n++ {
		names = append(names, fmt.Sprintf(`"%d/"`, n))
		tree[fmt.Sprintf("/metadata/latest/network/%d/mac", n)] = metadatatest.Reply{Body: fmt.Sprintf("02:00:00:00:00:%02x", n)}
	}
	tree["/metadata/latest/network/"] = metadatatest.Reply{Body: "[" + strings.Join(names, ",") + "]"}
	s := newSource(t, metadatatest.Start(t, tree))
	if got, err := s.Fetch(t.Context()); err != nil || len(got.Interfaces) != 8 {
		t.Fatalf("%v %+v", err, got)
	}
	if got := s.Requests()["200"] + s.Requests()["404"]; got != 44 {
		t.Errorf("%d requests", got)
	}
}
