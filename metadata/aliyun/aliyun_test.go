package aliyun

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
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "http://100.100.100.200") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := New("100.100.100.200", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/three.txtar")
	metadatatest.Survives(t, service, func(get metadatatest.Get) (metadata.Snapshot, error) {
		m := metadata.TreeMemory{}
		return parse(m.Gather(t.Context(), tree, keys, func(ctx context.Context, path string) (string, error) { return get(ctx, tree.Root+path) }))
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/three.txtar")
	metadatatest.Recovers(t, func() http.Handler { return hardened(service) }, fetcher)
}

// The headers to the letter, as the user guide has them.
func TestToken(t *testing.T) {
	t.Parallel()
	var asked []string
	endpoint := metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("X-aliyun-ecs-metadata-token-ttl-seconds"), r.Header.Get("X-aliyun-ecs-metadata-token")))
		if r.Method == http.MethodPut {
			fmt.Fprint(w, "AAA==")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	if err := newSource(t, endpoint).Probe(t.Context()); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"PUT /latest/api/token 21600", "GET /latest/meta-data/vswitch-cidr-block AAA=="}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	path := tree.Root + probeVSwitch
	for name, tt := range map[string]struct {
		service metadatatest.Tree
		err     string
	}{
		"aliyun":           {metadatatest.Tree{path: {Body: "172.16.101.0/24\n"}}, ""},
		"another's tree":   {metadatatest.Tree{tree.Root + "mac": {Body: "0a:07:84:3d:6e:38"}}, "404"},
		"something else":   {metadatatest.Tree{path: {Body: `{"code":"fail"}`}}, "not an IPv4 prefix"},
		"a captive portal": {metadatatest.Tree{path: {Body: "<html>"}}, "HTML"},
	} {
		err := newSource(t, metadatatest.Start(t, hardened(tt.service))).Probe(t.Context())
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, want %q", name, err, tt.err)
		}
	}
}

// eight is an instance with 8 ENIs of 21 IPv4 addresses.
func eight() metadatatest.Tree {
	service := metadatatest.Tree{tree.Root + tree.Primary: {Body: "00:16:3e:00:00:00"}, tree.Root + tree.Instance: {Body: "i-1"}}
	var list []string
	for n := range 8 {
		dir := fmt.Sprintf("00:16:3e:00:00:%02x/", n)
		list = append(list, dir)
		var addresses []string
		for a := range 21 {
			addresses = append(addresses, fmt.Sprintf(`"10.0.%d.%d"`, n, 5+a))
		}
		setENI(service, dir, map[string]string{
			idKey: fmt.Sprintf("eni-%d", n), subnetKey: "vsw-1", primaryKey: fmt.Sprintf("10.0.%d.7", n), gateway4Key: fmt.Sprintf("10.0.%d.253", n),
			cidr4Key: fmt.Sprintf("10.0.%d.0/24", n), ipv4Key: "[" + strings.Join(addresses, ",") + "]", "mac": "", "netmask": "", "vpc-id": "",
		})
	}
	service[tree.Root+tree.MACs] = metadatatest.Reply{Body: strings.Join(list, "\n")}
	return service
}

func setENI(service metadatatest.Tree, dir string, keys map[string]string) {
	var names []string
	for key, body := range keys {
		service[tree.Root+tree.MACs+dir+key] = metadatatest.Reply{Body: body}
		names = append(names, key)
	}
	slices.Sort(names)
	service[tree.Root+tree.MACs+dir] = metadatatest.Reply{Body: strings.Join(names, "\n")}
}

// The numbers that Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	service := eight()
	s := newSource(t, metadatatest.Start(t, hardened(service)))
	const all = 3 + 8*(1+1+5)
	total := uint64(1)
	for n, more := range []uint64{all, all, 17, 17, 17 + 5, 17 + 5, 17} {
		if n == 4 {
			at := tree.Root + tree.MACs + "00:16:3e:00:00:03/" + ipv4Key
			service[at] = metadatatest.Reply{Body: `["10.0.3.7","10.0.3.99"]`}
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
		if diff := cmp.Diff(map[string]uint64{"200": total}, s.Requests()); diff != "" {
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
	const dir = "00:16:3e:00:00:07/"
	at, list := tree.Root+tree.MACs+dir, service[tree.Root+tree.MACs]
	service[tree.Root+tree.MACs] = metadatatest.Reply{Body: strings.ReplaceAll(list.Body, dir, "")}
	fetch()
	service[tree.Root+tree.MACs] = list
	service[at+idKey] = metadatatest.Reply{Body: "eni-new"}
	if got := fetch(); got.ID.Value != "eni-new" {
		t.Errorf("after it was away: %v", got.ID)
	}
	service[at+ipv4Key] = metadatatest.Reply{Body: `["10.0.7.30","10.0.7.40"]`}
	service[at+primaryKey] = metadatatest.Reply{Body: "10.0.7.40"}
	want := []netip.Addr{netip.MustParseAddr("10.0.7.40"), netip.MustParseAddr("10.0.7.30")}
	if got := fetch(); !slices.Equal(got.Addresses.Value, want) {
		t.Errorf("another primary address: %v", got.Addresses)
	}
}
