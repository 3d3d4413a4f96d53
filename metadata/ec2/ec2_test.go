package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

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

// tokens puts a service behind the session tokens of IMDSv2.
func tokens(service http.Handler) http.Handler {
	return &metadatatest.TokenService{Protocol: protocol, Next: service}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, func(service metadatatest.Tree) http.Handler { return tokens(service) }, fetcher)
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
	service := metadatatest.ReadTree(t, "testdata/three.txtar")
	metadatatest.Survives(t, service, func(get metadatatest.Get) (metadata.Snapshot, error) {
		return parse((&memory{}).gather(t.Context(), func(ctx context.Context, path string) (string, error) { return get(ctx, root+path) }))
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/three.txtar")
	metadatatest.Recovers(t, func() http.Handler { return tokens(service) }, fetcher)
}

// What IMDSv2 wants to the letter.
func TestToken(t *testing.T) {
	t.Parallel()
	var asked []string
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header["X-Aws-Ec2-Metadata-Token-Ttl-Seconds"]))
		w.WriteHeader(http.StatusBadRequest)
	}))
	if _, err := newSource(t, endpoint).Fetch(t.Context()); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"PUT /latest/api/token [21600]"}, asked); diff != "" {
		t.Error(diff)
	}
}

// The numbers that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	service := metadatatest.Tree{root + tree.Primary: {Body: "02:00:00:00:00:00"}, root + tree.Instance: {Body: "i-1"}}
	var list strings.Builder
	for n := range 8 {
		dir := fmt.Sprintf("02:00:00:00:00:%02x/", n)
		list.WriteString(dir + "\n")
		eni := root + tree.MACs + dir
		service[eni] = metadatatest.Reply{Body: "device-number\ninterface-id\nlocal-ipv4s\nmac\nsubnet-id\nsubnet-ipv4-cidr-block\nvpc-id\n"}
		service[eni+"interface-id"] = metadatatest.Reply{Body: fmt.Sprintf("eni-%d", n)}
		service[eni+"subnet-id"] = metadatatest.Reply{Body: "subnet-1"}
		service[eni+"local-ipv4s"] = metadatatest.Reply{Body: fmt.Sprintf("10.0.%d.5", n)}
		service[eni+"subnet-ipv4-cidr-block"] = metadatatest.Reply{Body: fmt.Sprintf("10.0.%d.0/24", n)}
	}
	service[root+tree.MACs] = metadatatest.Reply{Body: list.String()}
	s := newSource(t, metadatatest.Start(t, tokens(service)))
	for n, want := range []uint64{43, 86, 86 + 17, 86 + 34} {
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 || !got.Complete {
			t.Fatalf("%v %+v", err, got)
		}
		if diff := cmp.Diff(map[string]uint64{"200": 1 + want}, s.Requests()); diff != "" {
			t.Errorf("after %d fetches (-want +got):\n%s", n+1, diff)
		}
	}
}
