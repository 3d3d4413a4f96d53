package azure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

// imds has the rules of Azure's service before next. In what next answers, CLIENT is the client's address.
type imds struct {
	next     http.Handler
	versions []string // that are known, nil for all that are asked for here
}

func (s *imds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	known := s.versions
	if known == nil {
		known = versions
	}
	version := r.URL.Query()["api-version"]
	leaf := strings.HasSuffix(r.URL.Path, "/vmId")
	if r.Header.Get("Metadata") != "true" || len(version) != 1 || !slices.Contains(known, version[0]) || leaf != (r.URL.Query().Get("format") == "text") {
		http.Error(w, `{"error":"Bad request"}`, http.StatusBadRequest)
		return
	}
	answer := httptest.NewRecorder()
	s.next.ServeHTTP(answer, r)
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	w.WriteHeader(answer.Code)
	fmt.Fprint(w, strings.ReplaceAll(answer.Body.String(), "CLIENT", client))
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

func two(t *testing.T) metadatatest.Tree {
	t.Helper()
	return metadatatest.ReadTree(t, "testdata/two.txtar")
}

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, func(tree metadatatest.Tree) http.Handler { return &imds{next: tree} }, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	s := newSource(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Probe(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "http://169.254.169.254/") && !strings.Contains(err.Error(), "http://169.254.169.254:") {
		t.Errorf("got %v", err)
	}
	if _, err := New("169.254.169.254", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	metadatatest.Survives(t, two(t), func(get metadatatest.Get) (metadata.Snapshot, error) {
		body, err := get(t.Context(), networkPath)
		if err != nil {
			return metadata.Snapshot{}, err
		}
		return parse(strings.ReplaceAll(body, "CLIENT", "10.0.0.4"), netip.MustParseAddr("10.0.0.4"))
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	tree := two(t)
	metadatatest.Recovers(t, func() http.Handler { return &imds{next: tree} }, fetcher)
}

func TestHang(t *testing.T) {
	t.Parallel()
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := newSource(t, endpoint).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := newSource(t, endpoint).Probe(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "primary address") {
		t.Errorf("got %v", err)
	}
}

// The numbers that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	var nics []string
	for n := range 8 {
		first := "CLIENT"
		if n > 0 {
			first = fmt.Sprintf("10.0.%d.4", n)
		}
		addrs := fmt.Sprintf(`{"privateIpAddress":%q,"publicIpAddress":""}`, first)
		for a := range 20 {
			addrs += fmt.Sprintf(`,{"privateIpAddress":"10.0.%d.%d","publicIpAddress":""}`, n, 10+a)
		}
		nics = append(nics, fmt.Sprintf(`{"macAddress":"000D3A0000%02X","ipv4":{"ipAddress":[%s],"subnet":[{"address":"10.0.%d.0","prefix":"24"}]},"ipv6":{"ipAddress":[]}}`, n, addrs, n))
	}
	tree := metadatatest.Tree{
		networkPath:  {Body: `{"interface":[` + strings.Join(nics, ",") + `]}`},
		instancePath: {Body: "02aab8a4-74ef-476e-8182-f6d2ba4166a6"},
	}
	s := newSource(t, metadatatest.Start(t, &imds{next: tree}))
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

// A version that is not known here is asked for once.
func TestVersions(t *testing.T) {
	t.Parallel()
	tree := two(t)
	service := &imds{next: tree, versions: []string{"2017-04-02"}}
	s := newSource(t, metadatatest.Start(t, service))
	for range 3 {
		if got, err := s.Fetch(t.Context()); err != nil || len(got.Interfaces) != 2 || got.Instance == "" {
			t.Fatalf("%v %+v", err, got)
		}
	}
	if diff := cmp.Diff(map[string]uint64{"400": 2, "200": 4}, s.Requests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where every version is refused, the next Fetch begins with the newest again.
func TestVersionsBeginAnew(t *testing.T) {
	t.Parallel()
	var works atomic.Bool
	tree := two(t)
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !works.Load() {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		(&imds{next: tree, versions: versions[:1]}).ServeHTTP(w, r)
	})))
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "every version") {
		t.Errorf("got %v", err)
	}
	works.Store(true)
	if _, err := s.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]uint64{"400": 3, "200": 2}, s.Requests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Too many requests are an error that says so, after one request.
func TestThrottled(t *testing.T) {
	t.Parallel()
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"Too many requests"}`, http.StatusTooManyRequests)
	})))
	_, err := s.Fetch(t.Context())
	if answer, ok := errors.AsType[*metadata.StatusError](err); !ok || answer.Status != http.StatusTooManyRequests {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(map[string]uint64{"429": 1}, s.Requests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The id comes when it can be had, and stays.
func TestInstance(t *testing.T) {
	t.Parallel()
	bad, good := two(t), two(t)
	bad[instancePath] = metadatatest.Reply{Body: `{"error":"Internal"}`}
	var works atomic.Bool
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tree := bad
		if works.Load() {
			tree = good
		}
		(&imds{next: tree}).ServeHTTP(w, r)
	})))
	for _, want := range []string{"", "02aab8a4-74ef-476e-8182-f6d2ba4166a6", "02aab8a4-74ef-476e-8182-f6d2ba4166a6"} {
		got, err := s.Fetch(t.Context())
		if err != nil || got.Instance != want || len(got.Problems) > 0 {
			t.Errorf("%v %+v, want %q", err, got, want)
		}
		works.Store(true)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	tree := two(t)
	s := newSource(t, metadatatest.Start(t, &imds{next: tree}))
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]uint64{"200": 1}, s.Requests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, body := range map[string]string{"other JSON": `{"interfaces":[]}`, "list": `[{"macAddr":"02:00:17:0D:6B:BE"}]`, "text": "mac\n", "nothing": ""} {
		other := newSource(t, metadatatest.Start(t, metadatatest.Tree{networkPath: {Body: body}}))
		if err := other.Probe(t.Context()); err == nil {
			t.Errorf("%s is taken for Azure", name)
		}
	}
}
