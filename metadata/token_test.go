package metadata_test

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

var protocol = metadata.TokenProtocol{Path: "/api/token", TTLHeader: "X-Some-Ttl", TokenHeader: "X-Some-Token", TTL: time.Hour}

// asker asks a service with tokens for keys, some side by side.
type asker struct {
	*metadata.Tokens
	*metadata.Client
	keys metadatatest.Tree
}

func startTokens(t *testing.T, service *metadatatest.TokenService) asker {
	t.Helper()
	keys := metadatatest.Tree{}
	for n := range 12 {
		keys[fmt.Sprintf("/key-%d", n)] = metadatatest.Reply{Body: fmt.Sprint(n)}
	}
	service.Protocol, service.Next = protocol, keys
	client, err := metadata.NewClient(metadatatest.Start(t, service), metadata.Dial{})
	if err != nil {
		t.Fatal(err)
	}
	return asker{metadata.NewTokens(client, protocol), client, keys}
}

// fetch is how a dialect uses Tokens. The error is the first of any.
func (a asker) fetch(ctx context.Context) error {
	get, err := a.Begin(ctx)
	if err != nil {
		return err
	}
	var paths []string
	for path := range a.keys {
		paths = append(paths, path)
	}
	var wrong []error
	for path, answer := range metadata.Gather(ctx, paths, get) {
		if answer.Err == nil && answer.Body != a.keys[path].Body {
			wrong = append(wrong, fmt.Errorf("%s: %q", path, answer.Body))
		}
		wrong = append(wrong, answer.Err)
	}
	return errors.Join(wrong...)
}

func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	service := &metadatatest.TokenService{}
	a := startTokens(t, service)
	for range 3 {
		if err := a.fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]uint64{"200": 37}, a.Requests()); diff != "" || service.Asked() != 1 {
		t.Errorf("3 fetches asked for %d tokens, want 1 (-want +got):\n%s", service.Asked(), diff)
	}
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	t.Parallel()
	service := &metadatatest.TokenService{}
	a := startTokens(t, service)
	if err := a.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := a.Left(); left < 49*time.Minute || left > 50*time.Minute {
		t.Errorf("the token is to be renewed in %v", left)
	}
	a.Expire()
	if err := a.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if service.Asked() != 2 || a.Requests()["401"] != 0 {
		t.Errorf("%d tokens, requests %v", service.Asked(), a.Requests())
	}
}

func TestTokenIsRenewedOn401(t *testing.T) {
	t.Parallel()
	service := &metadatatest.TokenService{}
	a := startTokens(t, service)
	if err := a.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	service.Revoke()
	if err := a.fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if service.Asked() != 2 {
		t.Errorf("%d tokens, want 2: requests side by side share the new one", service.Asked())
	}
}

// A key that always says 401 costs one token a Fetch, however many keys do.
func TestTokenIsRenewedOnceAFetch(t *testing.T) {
	t.Parallel()
	service := &metadatatest.TokenService{}
	a := startTokens(t, service)
	for n := range 5 {
		a.keys[fmt.Sprintf("/key-%d", n)] = metadatatest.Reply{Status: http.StatusUnauthorized}
	}
	for n := range 2 {
		if err := a.fetch(t.Context()); strings.Count(fmt.Sprint(err), "401") != 5 {
			t.Errorf("got %v", err)
		}
		if want := 2 + n; service.Asked() != want {
			t.Errorf("after %d fetches: %d tokens, want %d", n+1, service.Asked(), want)
		}
	}
}

func TestWithoutToken(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status   int
		optional bool
		err      string
	}{
		"404, plain works":              {404, true, ""},
		"405, plain works":              {405, true, ""},
		"501, plain works":              {501, true, ""},
		"403, plain works":              {403, true, ""},
		"403, plain does not":           {403, false, "PUT /api/token: answered 403"},
		"404, plain does not":           {404, false, "wants a session token and gives none"},
		"400 says nothing about tokens": {400, true, "session token"},
		"401":                           {401, true, "session token"},
		"429":                           {429, true, "session token"},
		"500":                           {500, true, "session token"},
		"302":                           {302, true, "session token"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := &metadatatest.TokenService{Optional: test.optional, Refuse: func(w http.ResponseWriter) { w.WriteHeader(test.status) }}
			a := startTokens(t, service)
			err := a.fetch(t.Context())
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("got %v, want %q", err, test.err)
			}
			if err != nil {
				if a.Requests()["200"] != 0 {
					t.Errorf("keys were read without a token: %v", a.Requests())
				}
				return
			}
			if err := a.fetch(t.Context()); err != nil || service.Asked() != 1 {
				t.Errorf("second fetch: %v, %d tokens asked for, want 1", err, service.Asked())
			}
			a.Expire()
			if err := a.fetch(t.Context()); err != nil || service.Asked() != 2 {
				t.Errorf("some minutes later: %v, %d tokens asked for, want 2", err, service.Asked())
			}
		})
	}
}

// A service that begins to want tokens is served at once.
func TestTokensComeToBeWanted(t *testing.T) {
	t.Parallel()
	service := &metadatatest.TokenService{Optional: true, Refuse: func(w http.ResponseWriter) { w.WriteHeader(404) }}
	a := startTokens(t, service)
	if err := a.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	service.Set(func() { service.Optional, service.Refuse = false, nil })
	if err := a.fetch(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "\n", "two words", "two\nlines", "{\"x\": 1}", "tök", "a\x00b"} {
		service := &metadatatest.TokenService{Optional: true, Refuse: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, body)
		}}
		if err := startTokens(t, service).fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "is no token") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

func TestTokenThatDoesNotComeInTime(t *testing.T) {
	t.Parallel()
	service := &metadatatest.TokenService{}
	a := startTokens(t, service)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	service.Refuse = func(http.ResponseWriter) { <-ctx.Done() }
	if err := a.fetch(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "hop limit") {
		t.Errorf("got %v", err)
	}
}
