package ec2

import (
	"net/http"
	"strings"
	"testing"

	"enid/test/metadatatest"
)

// TestOtherEndpoint: where nobody answers at the first endpoint the second is asked, in the same Fetch, and stays the
// one that is asked while it answers. A service that answers with an error is not passed over.
func TestOtherEndpoint(t *testing.T) {
	t.Parallel()
	service := tokens(metadatatest.ReadTree(t, "testdata/three.txtar"))
	status, asked := 0, 0
	v6 := metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; status != 0 {
			w.WriteHeader(status)
			return
		}
		service.ServeHTTP(w, r)
	}))
	s := newSource(t, "http://127.0.0.1:1") // nobody listens there
	s.endpoints = append(s.endpoints, newSource(t, v6).endpoints...)
	for range 2 {
		if got, err := s.Fetch(t.Context()); err != nil || !got.Complete || len(got.Interfaces) != 3 {
			t.Fatalf("%v %+v", err, got)
		}
	}
	if silent := s.Requests()["error"]; silent != 1 {
		t.Errorf("the endpoint that is silent was asked %d times", silent)
	}

	status = http.StatusInternalServerError
	_, err := s.Fetch(t.Context())
	if err == nil || strings.Contains(err.Error(), "127.0.0.1:1:") || s.first != 1 {
		t.Errorf("an answer is passed over: %v, next is %d", err, s.first)
	}

	s.endpoints[1] = newSource(t, "http://127.0.0.1:2").endpoints[0]
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1:") || !strings.Contains(err.Error(), "127.0.0.1:2:") {
		t.Errorf("got %v, want to read of both", err)
	}
}

// TestSilentAfterAToken: the endpoint that gave the token is silent, so the next Fetch begins with the other.
func TestSilentAfterAToken(t *testing.T) {
	t.Parallel()
	service := tokens(metadatatest.ReadTree(t, "testdata/three.txtar"))
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			service.ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler) // the connection ends
	})))
	s.endpoints = append(s.endpoints, newSource(t, metadatatest.Start(t, service)).endpoints...)
	if _, err := s.Fetch(t.Context()); err == nil {
		t.Error("no error")
	}
	if got, err := s.Fetch(t.Context()); err != nil || !got.Complete {
		t.Errorf("%v %+v", err, got)
	}
}
