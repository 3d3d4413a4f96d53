package volcengine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
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

// hardened puts a service behind session tokens.
func hardened(service metadatatest.Tree) http.Handler {
	return &metadatatest.TokenService{Protocol: protocol, Next: service}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, hardened, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	s := newSource(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{s.Probe(ctx), func() error { _, err := s.Fetch(ctx); return err }()} {
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "http://100.96.0.96") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := New("100.96.0.96", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Survives(t, service, func(get metadatatest.Get) (metadata.Snapshot, error) {
		m := memory{}
		return parse(m.gather(t.Context(), func(ctx context.Context, path string) (string, error) { return get(ctx, tree.Root+path) }))
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Recovers(t, func() http.Handler { return hardened(service) }, fetcher)
}

// The headers to the letter, as the user guide has them.
func TestToken(t *testing.T) {
	t.Parallel()
	var asked []string
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("X-volc-ecs-metadata-token-ttl-seconds"), r.Header.Get("X-volc-ecs-metadata-token")))
		if r.Method == http.MethodPut {
			fmt.Fprint(w, "AAA==")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	if err := newSource(t, endpoint).Probe(t.Context()); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"PUT /latest/api/token 21600", "GET /latest/instance_id AAA=="}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	path := tree.Root + tree.Instance
	for name, tt := range map[string]struct {
		service metadatatest.Tree
		err     string
	}{
		"volcengine":     {metadatatest.Tree{path: {Body: "i-ycal1mtpucl8j0hjiihy\n"}}, ""},
		"another's tree": {metadatatest.Tree{"/latest/meta-data/instance-id": {Body: "i-1"}}, "404"},
		"something else": {metadatatest.Tree{path: {Body: `{"code":"fail"}`}}, "identifier"},
	} {
		err := newSource(t, metadatatest.Start(t, hardened(tt.service))).Probe(t.Context())
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, want %q", name, err, tt.err)
		}
	}
}

// A NIC of which every key but its MAC fails, absent or broken, costs only itself and is asked for two keys.
func TestForeignNIC(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusInternalServerError} {
		service := eight()
		dir := tree.Root + tree.MACs + "/00:16:3e:00:00:05/"
		for path := range service {
			if strings.HasPrefix(path, dir) {
				service[path] = metadatatest.Reply{Status: status}
			}
		}
		service[dir+ipv6Key] = metadatatest.Reply{Status: status}
		s := newSource(t, metadatatest.Start(t, hardened(service)))
		got, err := s.Fetch(t.Context())
		if err != nil || !got.Complete || len(got.Problems) != 1 || len(got.Interfaces) != 8 {
			t.Fatalf("%d: %v %+v", status, err, got)
		}
		want := metadata.Interface{MAC: got.Interfaces[5].MAC, Primary: metadata.Is(false, origin)}
		if diff := cmp.Diff(want, got.Interfaces[5], metadatatest.Compare); diff != "" {
			t.Errorf("%d (-want +got):\n%s", status, diff)
		}
	}
}

// eight is an instance with 8 ENIs of 21 IPv4 addresses.
func eight() metadatatest.Tree {
	service := metadatatest.Tree{tree.Root + tree.Primary: {Body: "00:16:3e:00:00:00"}, tree.Root + tree.Instance: {Body: "i-1"}}
	var list []string
	for n := range 8 {
		dir := fmt.Sprintf("00:16:3e:00:00:%02x", n)
		list = append(list, dir)
		var addresses []string
		for a := range 21 {
			addresses = append(addresses, fmt.Sprintf("10.0.%d.%d", n, 5+a))
		}
		for key, body := range map[string]string{
			idKey: fmt.Sprintf("eni-%d", n), subnetKey: "subnet-1", primaryKey: fmt.Sprintf("10.0.%d.7", n), gateway4Key: fmt.Sprintf("10.0.%d.1", n),
			cidr4Key: fmt.Sprintf("10.0.%d.0/24", n), ipv4Key: strings.Join(addresses, "\n"),
		} {
			service[tree.Root+tree.MACs+"/"+dir+"/"+key] = metadatatest.Reply{Body: body}
		}
	}
	service[tree.Root+tree.MACs] = metadatatest.Reply{Body: strings.Join(list, "\n")}
	return service
}

// The numbers that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	service := eight()
	s := newSource(t, metadatatest.Start(t, hardened(service)))
	const all = 3 + 8*(1+5)
	total := uint64(1)
	for n, more := range []uint64{all, all, 9, 9, 9 + 5, 9 + 5, 9} {
		if n == 4 {
			at := tree.Root + tree.MACs + "/00:16:3e:00:00:03/" + ipv4Key
			service[at] = metadatatest.Reply{Body: "10.0.3.99\n10.0.3.7\n"}
		}
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 || !got.Complete {
			t.Fatalf("%v %+v", err, got)
		}
		for m, i := range got.Interfaces {
			if want := fmt.Sprintf("10.0.%d.7", m); !i.Whole() || i.Addresses.Value[0].String() != want {
				t.Errorf("fetch %d: whole %t, %v, want %s first", n+1, i.Whole(), i.Addresses, want)
			}
		}
		total += more
		if diff := cmp.Diff(map[string]uint64{"200": total, "404": 8 * uint64(n+1)}, s.Requests()); diff != "" {
			t.Errorf("after %d fetches (-want +got):\n%s", n+1, diff)
		}
	}
}

// What is remembered never outlives a change: another ENI with the same MAC, and another primary address.
func TestRemembersNothingWrong(t *testing.T) {
	t.Parallel()
	service := eight()
	s := newSource(t, metadatatest.Start(t, hardened(service)))
	fetch := func() metadata.Interface {
		got, err := s.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got.Interfaces[len(got.Interfaces)-1]
	}
	for range 3 {
		fetch()
	}
	const dir = "00:16:3e:00:00:07"
	at, list := tree.Root+tree.MACs+"/"+dir+"/", service[tree.Root+tree.MACs]
	service[tree.Root+tree.MACs] = metadatatest.Reply{Body: strings.ReplaceAll(list.Body, dir, "")}
	fetch()
	service[tree.Root+tree.MACs] = list
	service[at+idKey] = metadatatest.Reply{Body: "eni-new"}
	if got := fetch(); got.ID.Value != "eni-new" {
		t.Errorf("after it was away: %v", got.ID)
	}
	service[at+ipv4Key] = metadatatest.Reply{Body: "10.0.7.30\n10.0.7.40"}
	service[at+primaryKey] = metadatatest.Reply{Body: "10.0.7.40"}
	want := []netip.Addr{netip.MustParseAddr("10.0.7.40"), netip.MustParseAddr("10.0.7.30")}
	if got := fetch(); !slices.Equal(got.Addresses.Value, want) {
		t.Errorf("another primary address: %v", got.Addresses)
	}
}
