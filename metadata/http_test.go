package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewClient(t *testing.T) {
	good := map[string]string{
		"http://169.254.169.254":             "http://169.254.169.254",
		"http://127.0.0.1:8080/":             "http://127.0.0.1:8080",
		"https://metadata.example":           "https://metadata.example",
		"http://[fd00:ec2::254]":             "http://[fd00:ec2::254]",
		"http://[fe80::a9fe:a9fe%25eth0]:80": "http://[fe80::a9fe:a9fe%25eth0]:80",
	}
	for endpoint, base := range good {
		if c, err := NewClient(endpoint, Dial{}); err != nil || c.base != base {
			t.Errorf("NewClient(%q) = %v, %v, want %s", endpoint, c, err, base)
		}
	}
	bad := []string{
		"", "169.254.169.254", "169.254.169.254:80", "http://", "http://:80", "ftp://h", "http://h/latest", "http://h//",
		"http://h?x", "http://h?", "http://h#x", "http://user:pw@h", "http://h:0", "http://h:65536", "http://h:x", "http://[::1", "http://a b", "http:h",
	}
	for _, endpoint := range bad {
		if _, err := NewClient(endpoint, Dial{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q: want scheme://host", endpoint)) {
			t.Errorf("NewClient(%q): error %v does not say what is wanted", endpoint, err)
		}
	}
}

func TestNoProxy(t *testing.T) {
	if newHTTP(Dial{}).Transport.(*http.Transport).Proxy != nil {
		t.Error("the client would take a proxy")
	}
}

// start serves handler and gives a client for it.
func start(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, Dial{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		body    string
		err     string // part of it
		result  string
	}{
		"body": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Method, " ", r.URL.Path, " ", r.Header.Get("X-Token"), " ", r.UserAgent(), r.Header["Idempotency-Key"], "\n")
		}, "GET /a/b t enid[]\n", "", "200"},
		"empty":      {func(http.ResponseWriter, *http.Request) {}, "", "", "200"},
		"longest":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", maxBody)) }, strings.Repeat("x", maxBody), "", "200"},
		"too long":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", maxBody+1)) }, "", "more than 1048576 bytes", "too-long"},
		"404":        {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "", "GET /a/b: answered 404 Not Found", "404"},
		"500":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "", "answered 500 Internal Server Error", "500"},
		"204":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "", "answered 204 No Content", "204"},
		"odd status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) }, "", "answered 599", "599"},
		"redirect":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "", "answered 302 Found, a redirect, which is not followed", "302"},
		"html":       {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html>") }, "", "HTML page", "page"},
		"xhtml":      {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\ufeff \n<?xml version='1.0'?>") }, "", "HTML page", "page"},
		"html by type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Text/HTML ;charset=utf-8")
		}, "", "HTML page", "page"},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", "EOF", "error"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "short")
		}, "", "unexpected EOF", "error"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/a/b" {
					t.Errorf("%s was asked for", r.URL.Path)
				}
				test.handler(w, r)
			})
			body, err := c.Get(t.Context(), "/a/b", http.Header{"X-Token": {"t"}})
			if body != test.body {
				t.Errorf("body %.80q, want %.80q", body, test.body)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if errors.Is(err, ErrNotFound) != (test.result == "404") {
				t.Errorf("%v is ErrNotFound: %t", err, errors.Is(err, ErrNotFound))
			}
			if diff := cmp.Diff(map[string]uint64{test.result: 1}, c.Requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusError(t *testing.T) {
	t.Parallel()
	c := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) })
	_, err := c.Put(t.Context(), "/x", nil)
	got, ok := errors.AsType[*StatusError](err)
	if !ok || *got != (StatusError{Path: "/x", Status: 418}) {
		t.Errorf("got %v", err)
	}
}

func TestNotAPath(t *testing.T) {
	t.Parallel()
	c := start(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked for", r.URL) })
	for _, path := range []string{"", "x", ".evil.example/", "@evil.example/", "/a\nb", "/%zz"} {
		if _, err := c.Get(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), "is not a path") {
			t.Errorf("Get(%q): %v", path, err)
		}
	}
}

// Answers of every status keep the connection, and one that the service has
// closed meanwhile costs no request, a PUT neither.
func TestConnections(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, Dial{})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c.Get(t.Context(), "/some", nil)
		c.Get(t.Context(), "/none", nil)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("20 requests took %d connections, want 1", n)
	}
	for range 20 {
		server.CloseClientConnections()
		if _, err := c.Put(t.Context(), "/some", nil); err != nil {
			t.Errorf("after the service closed the connection: %v", err)
		}
	}
}

func TestRequestsIsACopy(t *testing.T) {
	t.Parallel()
	c := start(t, func(http.ResponseWriter, *http.Request) {})
	c.Requests()["200"] = 5
	if n := len(c.Requests()); n != 0 {
		t.Errorf("the caller's change is seen: %v", c.Requests())
	}
}

func TestGather(t *testing.T) {
	var paths []string
	for n := range 20 {
		paths = append(paths, fmt.Sprint(n))
	}
	boom := errors.New("boom")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now, most int
		began := time.Now()
		got := Gather(t.Context(), paths, func(_ context.Context, path string) (string, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-time.After(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			if path == "7" {
				return "", boom
			}
			return "body " + path, nil
		})
		if most != parallel || time.Since(began) != 5*time.Second {
			t.Errorf("%d at a time took %v", most, time.Since(began))
		}
		for _, path := range paths {
			want := Answer{Body: "body " + path}
			if path == "7" {
				want = Answer{Err: boom}
			}
			if got.Of(path) != want {
				t.Errorf("%s: got %v", path, got[path])
			}
		}
	})
	if a := (Answers{}).Of("x"); !a.Absent() || a.Err.Error() != "x is not listed: not found" {
		t.Errorf("a path that was not asked for: %v", a)
	}
}

func TestRead(t *testing.T) {
	answers := Answers{"good": {Body: " eni-1\n"}, "bad": {Body: "a b"}, "gone": {Err: &StatusError{Path: "/gone", Status: 404}}, "down": {Err: &StatusError{Path: "/down", Status: 500}}}
	tests := map[string]struct {
		value, reason, text string
	}{
		"good":     {"eni-1", "", ""},
		"bad":      {"", "bad-answer", `bad: "a b" is not an identifier; what is`},
		"gone":     {"", "propagating", "answered 404 Not Found; usually"},
		"unlisted": {"", "propagating", "unlisted is not listed: not found; usually"},
		"down":     {"", "unreadable", "answered 500 Internal Server Error; what is"},
	}
	for path, test := range tests {
		value, err := Read(answers, path, Word)
		if value != test.value || (err == nil) != (test.reason == "") {
			t.Errorf("%s: got %q, %v", path, value, err)
		}
		if err == nil {
			continue
		}
		p := Unread("eni-1", "id", err)
		if p.Interface != "eni-1" || p.Field != "id" || p.Reason != test.reason || !strings.HasPrefix(p.Text, test.text) {
			t.Errorf("%s: got %+v", path, p)
		}
	}
}

func TestBackoff(t *testing.T) {
	steps := func(b *Backoff, n int) (got []time.Duration) {
		for range n {
			got = append(got, b.Next())
		}
		return got
	}
	high := &Backoff{Min: time.Second, Max: 10 * time.Second, Random: func() float64 { return 1 }}
	want := []time.Duration{1e9, 2e9, 4e9, 8e9, 10e9, 10e9}
	if got := steps(high, 6); !slices.Equal(got, want) {
		t.Errorf("highest: %v, want %v", got, want)
	}
	high.Reset()
	if got := high.Next(); got != time.Second {
		t.Errorf("after Reset: %v", got)
	}
	low := &Backoff{Min: time.Second, Max: 10 * time.Second, Random: func() float64 { return 0 }}
	want = []time.Duration{5e8, 1e9, 2e9, 4e9, 5e9, 5e9}
	if got := steps(low, 6); !slices.Equal(got, want) {
		t.Errorf("lowest: %v, want %v", got, want)
	}
	huge := &Backoff{Min: 1, Max: 1<<63 - 1, Random: func() float64 { return 0.5 }}
	for _, d := range steps(huge, 80) {
		if d <= 0 {
			t.Fatalf("overflow: %v", d)
		}
	}
	random := &Backoff{Min: time.Second, Max: 8 * time.Second}
	for n, d := range steps(random, 100) {
		step := min(time.Second<<min(n, 3), 8*time.Second)
		if d < step/2 || d > step {
			t.Errorf("step %d: %v is not between %v and %v", n, d, step/2, step)
		}
	}
	if got := (&Backoff{Min: time.Minute, Max: time.Second, Random: func() float64 { return 1 }}).Next(); got != time.Second {
		t.Errorf("Max below Min: %v, want Max", got)
	}
}
