package oci

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

// imds wants the header before it answers as next does.
func imds(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer Oracle" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

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
	metadatatest.Golden(t, func(tree metadatatest.Tree) http.Handler { return imds(tree) }, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	s := newSource(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Probe(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "http://169.254.169.254") {
		t.Errorf("got %v", err)
	}
	if _, err := New("169.254.169.254", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/dual-stack.txtar", "testdata/bare-metal.txtar"} {
		metadatatest.Survives(t, metadatatest.ReadTree(t, file), func(get metadatatest.Get) (metadata.Snapshot, error) {
			body, err := get(t.Context(), vnicsPath)
			if err != nil {
				return metadata.Snapshot{}, err
			}
			return parse(body)
		})
	}
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/dual-stack.txtar")
	metadatatest.Recovers(t, func() http.Handler { return imds(tree) }, fetcher)
}

func TestHang(t *testing.T) {
	t.Parallel()
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Probe(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "primary VNIC") {
		t.Errorf("got %v", err)
	}
}

// The numbers that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	var vnics []string
	for n := range 8 {
		vnics = append(vnics, fmt.Sprintf(`{"macAddr":"02:00:17:00:00:%02X","privateIp":"10.0.%d.2","subnetCidrBlock":"10.0.%d.0/24","virtualRouterIp":"10.0.%d.1","vlanTag":%d,"vnicId":"v%d"}`, n, n, n, n, n, n))
	}
	tree := metadatatest.Tree{vnicsPath: {Body: "[" + strings.Join(vnics, ",") + "]"}, instancePath: {Body: "ocid1.instance.oc1.iad.1"}}
	s := newSource(t, metadatatest.Start(t, imds(tree)))
	for n := range 3 {
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 || !got.Complete || got.Instance == "" {
			t.Fatalf("%v %+v", err, got)
		}
		if diff := cmp.Diff(map[string]uint64{"200": uint64(n + 2)}, s.Requests()); diff != "" {
			t.Errorf("after %d fetches (-want +got):\n%s", n+1, diff)
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := newSource(t, metadatatest.Start(t, imds(metadatatest.ReadTree(t, "testdata/dual-stack.txtar"))))
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]uint64{"200": 1}, s.Requests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, body := range map[string]string{"a list of names": `["1/","2/"]`, "Azure": `{"interface":[{"macAddress":"000D3A047598"}]}`, "text": "mac\n", "nothing": ""} {
		other := newSource(t, metadatatest.Start(t, metadatatest.Tree{vnicsPath: {Body: body}}))
		if err := other.Probe(t.Context()); err == nil {
			t.Errorf("%s is taken for Oracle", name)
		}
	}
}
