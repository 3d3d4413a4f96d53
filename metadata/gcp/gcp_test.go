package gcp

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

// server wants Google's header and answers with it, and with an ETag of the content.
func server(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func serveTree(tree metadatatest.Tree) http.Handler { return server(tree) }

func newSource(t *testing.T, endpoint string) *Source {
	t.Helper()
	s, err := New(endpoint, metadata.Dial{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fetcher(t *testing.T, endpoint string) func(context.Context) (metadata.Snapshot, error) {
	return newSource(t, endpoint).Fetch
}

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, serveTree, fetcher)
}

// What is told must stand before Validate: the gateway beyond a lone address above all.
func TestValid(t *testing.T) {
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	s, err := parse(tree["/computeMetadata/v1/instance/"].Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, metadata.Validate(s), metadatatest.Compare); diff != "" {
		t.Errorf("(-told +believed):\n%s", diff)
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Survives(t, tree, func(get metadatatest.Get) (metadata.Snapshot, error) {
		body, err := get(t.Context(), "/computeMetadata/v1/instance/")
		if err != nil {
			return metadata.Snapshot{}, err
		}
		return parse(body)
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Recovers(t, func() http.Handler { return serveTree(tree) }, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newSource(t, "").Fetch(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := New("169.254.169.254", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	s := newSource(t, endpoint)
	for name, ask := range map[string]func(context.Context) error{
		"fetch": func(ctx context.Context) error { _, err := s.Fetch(ctx); return err },
		"probe": s.Probe,
		"wait":  func(ctx context.Context) error { _, err := s.Wait(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v", name, err)
		}
		cancel()
	}
}

// An answer that is right in all but the header is another server's.
func TestOthers(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	tree[idPath] = metadatatest.Reply{Body: "5"}
	s := newSource(t, metadatatest.Start(t, tree))
	for name, ask := range map[string]func(context.Context) error{
		"fetch": func(ctx context.Context) error { _, err := s.Fetch(ctx); return err },
		"probe": s.Probe,
		"wait":  func(ctx context.Context) error { _, err := s.Wait(ctx); return err },
	} {
		if err := ask(t.Context()); err == nil || !strings.Contains(err.Error(), "not Google's") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"4567890123456789012\n": "", "": `"" is not an instance's number`, "i-0123": `"i-0123" is not an instance's number`,
	} {
		s := newSource(t, metadatatest.Start(t, serveTree(metadatatest.Tree{idPath: {Body: body}})))
		err := s.Probe(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", body, err, want)
		}
	}
	refused := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })))
	if err := refused.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "that a proxy forwarded") {
		t.Errorf("error %v", err)
	}
}

// A 503 of a moment is waited for, a longer one is not.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	for refusals, ok := range map[int64]bool{1: true, 2: false} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) <= refusals {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				serveTree(tree).ServeHTTP(w, r)
			})))
			if _, err := s.Fetch(t.Context()); (err == nil) != ok || asked.Load() != 2 {
				t.Errorf("%d requests, error %v", asked.Load(), err)
			}
		})
	}
	later := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	})))
	if _, err := later.Fetch(t.Context()); err == nil || later.Requests()["503"] != 1 {
		t.Errorf("%v, error %v", later.Requests(), err)
	}
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// The number that Fetch's comment states: one, for 8 interfaces with as many aliases as one may have.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	var nics []string
	for n := range 8 {
		var aliases []string
		for a := range 20 {
			aliases = append(aliases, fmt.Sprintf(`"10.1.%d.%d/32"`, n, 10+a))
		}
		nics = append(nics, fmt.Sprintf(`{"mac":"42:01:0a:00:%02x:05","ip":"10.0.%d.5","gateway":"10.0.%d.1","mtu":1460,"ipAliases":[%s]}`, n, n, n, strings.Join(aliases, ",")))
	}
	body := `{"id":4567890123456789012,"networkInterfaces":[` + strings.Join(nics, ",") + `]}`
	s := newSource(t, metadatatest.Start(t, serveTree(metadatatest.Tree{"/computeMetadata/v1/instance/": {Body: body}})))
	for n := range uint64(2) {
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 || !got.Complete || len(got.Interfaces) != 8 || len(got.Interfaces[7].Local.Value) != 20 {
			t.Fatalf("%v %+v", err, got)
		}
		if diff := cmp.Diff(map[string]uint64{"200": n + 1}, s.Requests()); diff != "" {
			t.Errorf("after %d fetches (-want +got):\n%s", n+1, diff)
		}
	}
}
