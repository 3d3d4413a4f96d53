package openstack

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	s.drives = nil // this machine's are none of the test's business
	return s
}

// fetcher is a Fetch for the tests of metadatatest.
func fetcher(t *testing.T, endpoint string) func(context.Context) (metadata.Snapshot, error) {
	return newSource(t, endpoint).Fetch
}

func plain(tree metadatatest.Tree) http.Handler { return tree }

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, plain, fetcher)
}

// TestGoldenWithTokens: the same behind the tokens that one of Huawei's regions wants.
func TestGoldenWithTokens(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, func(tree metadatatest.Tree) http.Handler {
		return &metadatatest.TokenService{Protocol: protocol, Next: tree}
	}, fetcher)
}

func TestEndpoints(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSource(t, "").Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"169.254.169.254", "file://mnt/config", "ftp://a"} {
		if _, err := New(bad, metadata.Dial{}); err == nil {
			t.Errorf("%s is taken for an endpoint", bad)
		}
	}
}

func survivor(s *Source) func(metadatatest.Get) (metadata.Snapshot, error) {
	return func(get metadatatest.Get) (metadata.Snapshot, error) {
		body, err := get(context.Background(), networkPath)
		if err != nil {
			return metadata.Snapshot{}, err
		}
		t := tree{origin: origin, get: metadata.Get(get), first: body}
		return parse(gather(context.Background(), t, s.kept), t, s.kept)
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"static", "dhcp", "huawei", "trunk"} {
		metadatatest.Survives(t, metadatatest.ReadTree(t, "testdata/"+name+".txtar"), survivor(&Source{}))
	}
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/static.txtar")
	metadatatest.Recovers(t, func() http.Handler { return service }, fetcher)
}

// TestRequestCount: what Fetch's comment states.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/static.txtar")
	s := newSource(t, metadatatest.Start(t, service))
	for _, want := range []uint64{3, 4, 5} {
		if _, err := s.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]uint64{"200": want}, s.Requests()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestProbe: an instance of OpenStack has a uuid, and nobody else serves one there.
func TestProbe(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/huawei.txtar")
	if err := newSource(t, metadatatest.Start(t, service)).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	service[instancePath] = metadatatest.Reply{Body: "{}"}
	if err := newSource(t, metadatatest.Start(t, service)).Probe(t.Context()); err == nil {
		t.Error("a document without a uuid is taken for an instance's")
	}
}

// mounted is a config drive with the documents of an archive.
func mounted(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for path, reply := range metadatatest.ReadTree(t, archive) {
		if path == localPath {
			path, reply.Body = "/ec2/latest/meta-data.json", `{"local-ipv4": "`+strings.TrimSpace(reply.Body)+`"}`
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir+path), 0o755), os.WriteFile(dir+path, []byte(reply.Body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestConfigDrive: it says the same as the service, and what is not on it need not be detached.
func TestConfigDrive(t *testing.T) {
	t.Parallel()
	dir := mounted(t, "testdata/static.txtar")
	s, err := New("file://"+dir, metadata.Dial{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Fetch(t.Context())
	if err != nil || got.Complete || len(got.Interfaces) != 2 || !got.Interfaces[0].Primary.Value || len(got.Interfaces[0].Addresses.Value) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if want := "config drive " + dir; got.Interfaces[0].Addresses.Origin != want {
		t.Errorf("the origin is %s, want %s", got.Interfaces[0].Addresses.Origin, want)
	}
}

// TestDriveStandsIn: for a service that never answered, and not for one that is away.
func TestDriveStandsIn(t *testing.T) {
	t.Parallel()
	dir := mounted(t, "testdata/huawei.txtar")
	var status int
	service := metadatatest.ReadTree(t, "testdata/static.txtar")
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		service.ServeHTTP(w, r)
	})))
	s.drives = []string{dir}
	fetch := func() (metadata.Snapshot, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return s.Fetch(ctx)
	}
	status = http.StatusInternalServerError
	if got, err := fetch(); err == nil {
		t.Errorf("a service that is out of order is stood in for: %+v", got)
	}
	status = http.StatusNotFound
	if got, err := fetch(); err != nil || got.Complete {
		t.Errorf("%+v, %v", got, err)
	}
	status = 0
	if got, err := fetch(); err != nil || !got.Complete || got.Interfaces[0].MAC.String() != "fa:16:3e:aa:01:02" {
		t.Errorf("%+v, %v", got, err)
	}
	status = http.StatusNotFound
	if got, err := fetch(); err == nil {
		t.Errorf("a service that has answered is stood in for: %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"static", "dhcp", "huawei", "trunk", "broken-entries"} {
		data, err := os.ReadFile("testdata/" + name + ".txtar")
		if err != nil {
			f.Fatal(err)
		}
		_, document, _ := strings.Cut(string(data), "network_data.json --\n")
		document, _, _ = strings.Cut(document, "-- want --")
		f.Add(document, "10.1.0.5")
	}
	f.Fuzz(func(t *testing.T, document, local string) {
		answers := metadata.Answers{networkPath: {Body: document}, localPath: {Body: local}}
		if s, err := parse(answers, tree{origin: origin, first: document}, memory{}); err == nil {
			metadatatest.Usable(t, s)
		}
	})
}
