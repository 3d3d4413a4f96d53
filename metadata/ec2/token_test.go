package ec2

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

// imds hands out tokens and wants the latest one with each request to next.
type imds struct {
	next http.Handler
	put  func(w http.ResponseWriter) // instead of handing out a token
	v1   bool                        // answers without a token too

	mu    sync.Mutex
	valid string
	puts  int
}

func (s *imds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.Header.Get("X-aws-ec2-metadata-token")
	switch {
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		s.puts++
		if s.put != nil {
			s.put(w)
			return
		}
		if r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "21600" || r.ContentLength != 0 {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		s.valid = fmt.Sprintf("AQAEAL-%d==", s.puts)
		fmt.Fprint(w, s.valid)
	case r.Method != http.MethodGet:
		http.Error(w, "", http.StatusMethodNotAllowed)
	case token == "" && s.v1, token != "" && token == s.valid:
		s.next.ServeHTTP(w, r)
	default:
		http.Error(w, "<html>", http.StatusUnauthorized)
	}
}

// set changes the service while it runs.
func (s *imds) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// asked counts the tokens that were asked for.
func (s *imds) asked() (n int) {
	s.set(func() { n = s.puts })
	return n
}

func startIMDS(t *testing.T, service *imds) *Source {
	t.Helper()
	service.next = metadatatest.ReadTree(t, "testdata/three.txtar")
	return newSource(t, metadatatest.Start(t, service))
}

func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	service := &imds{}
	s := startIMDS(t, service)
	for range 3 {
		if _, err := s.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if service.asked() != 1 {
		t.Errorf("3 fetches asked for %d tokens, want 1", service.asked())
	}
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	t.Parallel()
	service := &imds{}
	s := startIMDS(t, service)
	if _, err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := time.Until(s.tokens.token.until)
	if left < tokenTTL-renewEarly-time.Minute || left > tokenTTL-renewEarly {
		t.Errorf("the token is to be renewed in %v", left)
	}
	s.tokens.token.until = time.Now()
	if _, err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if service.asked() != 2 || s.Requests()["401"] != 0 {
		t.Errorf("%d tokens, requests %v", service.asked(), s.Requests())
	}
}

func TestTokenIsRenewedOn401(t *testing.T) {
	t.Parallel()
	service := &imds{}
	s := startIMDS(t, service)
	good, err := s.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	service.set(func() { service.valid = "another" })
	got, err := s.Fetch(t.Context())
	if err != nil || cmp.Diff(good, got, metadatatest.Compare) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(good, got, metadatatest.Compare))
	}
	if service.asked() != 2 {
		t.Errorf("%d tokens, want 2: requests side by side share the new one", service.asked())
	}
}

// A key that always says 401 costs one token a Fetch, however many keys do.
func TestTokenIsRenewedOnceAFetch(t *testing.T) {
	t.Parallel()
	service := &imds{}
	s := startIMDS(t, service)
	tree := service.next.(metadatatest.Tree)
	for path, reply := range tree {
		if strings.HasSuffix(path, "subnet-id") || strings.HasSuffix(path, "interface-id") {
			reply.Status = http.StatusUnauthorized
			tree[path] = reply
		}
	}
	for n := range 2 {
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) != 6 {
			t.Errorf("%v, problems %v", err, got.Problems)
		}
		if want := 2 + n; service.asked() != want {
			t.Errorf("after %d fetches: %d tokens, want %d", n+1, service.asked(), want)
		}
	}
}

func TestWithoutToken(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		v1     bool
		err    string
	}{
		"404, plain works":          {404, true, ""},
		"405, plain works":          {405, true, ""},
		"501, plain works":          {501, true, ""},
		"403, plain works":          {403, true, ""},
		"403, plain does not":       {403, false, "PUT /latest/api/token: answered 403"},
		"404, plain does not":       {404, false, "wants a session token and gives none"},
		"400 says nothing about v1": {400, true, "session token"},
		"401":                       {401, true, "session token"},
		"429":                       {429, true, "session token"},
		"500":                       {500, true, "session token"},
		"302":                       {302, true, "session token"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := &imds{v1: test.v1, put: func(w http.ResponseWriter) { w.WriteHeader(test.status) }}
			s := startIMDS(t, service)
			_, err := s.Fetch(t.Context())
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("got %v, want %q", err, test.err)
			}
			if err != nil {
				if s.Requests()["200"] != 0 {
					t.Errorf("keys were read without a token: %v", s.Requests())
				}
				return
			}
			if _, err := s.Fetch(t.Context()); err != nil || service.asked() != 1 {
				t.Errorf("second fetch: %v, %d tokens asked for, want 1", err, service.asked())
			}
			s.tokens.token.until = time.Now()
			if _, err := s.Fetch(t.Context()); err != nil || service.asked() != 2 {
				t.Errorf("some minutes later: %v, %d tokens asked for, want 2", err, service.asked())
			}
		})
	}
}

// A service that begins to want tokens is served at once.
func TestTokensComeToBeWanted(t *testing.T) {
	t.Parallel()
	service := &imds{v1: true, put: func(w http.ResponseWriter) { w.WriteHeader(404) }}
	s := startIMDS(t, service)
	if _, err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	service.set(func() { service.v1, service.put = false, nil })
	if got, err := s.Fetch(t.Context()); err != nil || len(got.Problems) > 0 {
		t.Errorf("%v %v", err, got.Problems)
	}
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "\n", "two words", "two\nlines", "{\"x\": 1}", "tök", "a\x00b"} {
		service := &imds{v1: true, put: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, body)
		}}
		s := startIMDS(t, service)
		if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "is no token") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}
