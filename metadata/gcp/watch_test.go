package gcp

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

// watched is a server that answers a wait at once, with whatever the test wants it to have then.
type watched struct {
	mu       sync.Mutex
	etag     string
	address  string // of the only interface
	motto    string // an attribute
	status   int    // 0: 200
	hold     func() // while a wait hangs
	waitedOn []string
}

func (s *watched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); query.Has("wait_for_change") {
		s.mu.Lock()
		s.waitedOn = append(s.waitedOn, query.Get("last_etag"))
		hold := s.hold
		s.mu.Unlock()
		query.Del("last_etag")
		if want := (url.Values{"alt": {"json"}, "recursive": {"true"}, "timeout_sec": {"60"}, "wait_for_change": {"true"}}); !cmp.Equal(want, query) {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		if hold != nil {
			hold()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("ETag", s.etag)
	if s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	fmt.Fprintf(w, `{"attributes":{"motto":%q},"networkInterfaces":[{"mac":"42:01:0a:80:00:46","ip":%q,"gateway":"10.128.0.1"}]}`, s.motto, s.address)
}

func (s *watched) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// sees fetches, or waits, and checks what comes of it.
func (s *watched) sees(t *testing.T, source *Source, want string) {
	t.Helper()
	changed, err := source.Wait(t.Context())
	got := fmt.Sprint(changed)
	if err != nil {
		got = err.Error()
	}
	if !strings.Contains(got, want) {
		t.Errorf("the wait says %s, want %s", got, want)
	}
}

func (s *watched) fetch(t *testing.T, source *Source) {
	t.Helper()
	if _, err := source.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	s := &watched{etag: "a", address: "10.128.0.70"}
	source := newSource(t, metadatatest.Start(t, server(s)))
	s.sees(t, source, "true") // of what nobody has seen yet
	s.fetch(t, source)
	s.sees(t, source, "false") // its time is over
	s.set(func() { s.etag, s.motto = "b&c", "hold" })
	s.sees(t, source, "false") // others' matters
	s.set(func() { s.etag, s.address = "d", "10.128.0.71" })
	s.sees(t, source, "true")
	s.sees(t, source, "true") // still, until it is fetched
	s.fetch(t, source)
	s.sees(t, source, "false")
	s.set(func() { s.status = http.StatusServiceUnavailable })
	s.sees(t, source, "503")
	s.set(func() { s.status, s.address = 0, `"` })
	s.fetch(t, source)
	s.sees(t, source, "false")
	// Of an ETag nothing is believed that the content does not say.
	s.set(func() { s.etag, s.address = "d", "10.128.0.72" })
	s.sees(t, source, "true")
	want := []string{"NONE", "a", "a", "b&c", "b&c", "d", "d", "d", "d"}
	if diff := cmp.Diff(want, s.waitedOn); diff != "" {
		t.Errorf("ETags that were waited on (-want +got):\n%s", diff)
	}
}

// What a poll saw while the wait was under way is no change any more.
func TestWaitAndFetch(t *testing.T) {
	t.Parallel()
	s := &watched{etag: "a", address: "10.128.0.70"}
	source := newSource(t, metadatatest.Start(t, server(s)))
	s.fetch(t, source)
	s.set(func() {
		s.hold = func() {
			s.set(func() { s.etag, s.address = "b", "10.128.0.71" })
			s.fetch(t, source)
		}
	})
	s.sees(t, source, "false")
}

func TestWaitUnreadable(t *testing.T) {
	t.Parallel()
	source := newSource(t, metadatatest.Start(t, serveTree(metadatatest.Tree{"/computeMetadata/v1/instance/": {Body: "{}"}})))
	if changed, err := source.Wait(t.Context()); err == nil || changed {
		t.Errorf("%t, %v", changed, err)
	}
}
