package jdcloud

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// withAPI is the tree of an instance that has no document, and that of an archive of testdata/openapi.
func withAPI(t *testing.T, archive string) metadatatest.Tree {
	t.Helper()
	tree := metadatatest.ReadTree(t, "testdata/no-document.txtar")
	maps.Copy(tree, metadatatest.ReadTree(t, archive))
	return tree
}

// completed is a whole answer: the metadata's, its document's, the OpenAPI's.
func completed(ctx context.Context, s *Source) (metadata.Snapshot, error) {
	snapshot, err := s.Fetch(ctx)
	if err != nil {
		return snapshot, err
	}
	snapshot = metadata.Complete(snapshot, snapshot.Custom)
	snapshot.Custom = nil
	return s.Complete(ctx, snapshot), nil
}

// TestOpenAPIGolden serves each archive, as metadata and as OpenAPI, and compares what is known with its file want.
func TestOpenAPIGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/openapi/*.txtar")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			endpoint := metadatatest.Start(t, withAPI(t, file))
			s := newSource(t, endpoint)
			if err := s.UseOpenAPI(endpoint, 10*time.Second); err != nil {
				t.Fatal(err)
			}
			got, err := completed(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			metadatatest.Usable(t, got)
			text := strings.ReplaceAll(metadatatest.Text(got), endpoint, "http://service")
			for _, secret := range []string{"AKEXAMPLE", "SKEXAMPLE", "TOKENEXAMPLE", "SECRET"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s is told", secret)
				}
			}
			golden(t, file, text)
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	if flag.Lookup("update").Value.String() == "true" {
		if n < 0 {
			n, archive.Files = len(archive.Files), append(archive.Files, txtar.File{Name: "want"})
		}
		archive.Files[n].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if n < 0 {
		t.Fatalf("%s has no file want; look at what -update writes", file)
	}
	if diff := cmp.Diff(string(archive.Files[n].Data), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOpenAPISurvives: no fault of any path of either service takes something away.
func TestOpenAPISurvives(t *testing.T) {
	t.Parallel()
	tree := withAPI(t, "testdata/openapi/foreign-subnet.txtar")
	metadatatest.Survives(t, tree, func(get metadatatest.Get) (metadata.Snapshot, error) {
		below := func(ctx context.Context, path string) (string, error) { return get(ctx, bases[0]+path) }
		body, err := below(t.Context(), networkPath)
		s, err := parse(gather(t.Context(), metadata.Answer{Body: body, Err: err}, below))
		if err != nil {
			return s, err
		}
		o := newOpenAPI("http://openapi", time.Second, below)
		o.client.http.Transport = getter(get)
		return o.complete(t.Context(), s), nil
	})
}

// getter makes the answers of a Get those of a service.
type getter metadatatest.Get

// RoundTrip is http.RoundTripper's.
func (g getter) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := g(r.Context(), r.URL.Path)
	w := httptest.NewRecorder()
	if status, ok := errors.AsType[*metadata.StatusError](err); ok {
		w.WriteHeader(status.Status)
	} else if err != nil {
		return nil, err
	}
	fmt.Fprint(w, body)
	return w.Result(), nil
}

// service is an OpenAPI and the metadata that it needs, in memory. It counts what it is asked.
type service struct {
	mu    sync.Mutex
	now   map[string]string // answers by path, "" is a 404
	role  string
	fails func(r *http.Request) (code int) // 0: no
	asked map[string]int
}

const (
	enisPath = "/v1/regions/cn-north-1/networkInterfaces/"
	goodRole = `{"accessKey":"AK1","secretKey":"SK1","sessionToken":"T1","expiration":"2099-01-01T00:00:00Z"}`
)

func newService() *service {
	s := &service{now: map[string]string{}, asked: map[string]int{}, role: goodRole, fails: func(*http.Request) int { return 0 }}
	s.says("10.0.1.6")
	s.now["/v1/regions/cn-north-1/subnets/subnet-1"] = subnetAnswerOf("subnet-1", "10.0.1.0/24")
	return s
}

func subnetAnswerOf(id, prefix string) string {
	return fmt.Sprintf(`{"result":{"subnet":{"subnetId":%q,"addressPrefix":%q}}}`, id, prefix)
}

// says makes addresses the secondary ones of port-1.
func (s *service) says(secondary ...string) {
	s.set(enisPath, pageOf(eniOf("port-1", "10.0.1.5", secondary...)))
}

func (s *service) set(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now[path] = body
}

func eniOf(id, primary string, secondary ...string) string {
	var list []string
	for _, a := range secondary {
		list = append(list, fmt.Sprintf(`{"privateIpAddress":%q}`, a))
	}
	return fmt.Sprintf(`{"networkInterfaceId":%q,"subnetId":"subnet-1","primaryIp":{"privateIpAddress":%q},"secondaryIps":[%s],"secondaryCidrs":[]}`,
		id, primary, strings.Join(list, ","))
}

func pageOf(enis ...string) string { return page(len(enis), enis...) }

// page is an answer that says that there are total ENIs.
func page(total any, enis ...string) string {
	return fmt.Sprintf(`{"result":{"networkInterfaces":[%s],"totalCount":%v}}`, strings.Join(enis, ","), total)
}

// RoundTrip answers a request to the OpenAPI.
func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.URL.Path]++
	w := httptest.NewRecorder()
	switch code := s.fails(r); {
	case code != 0:
		w.WriteHeader(code)
	case s.now[r.URL.Path] == "":
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprint(w, s.now[r.URL.Path])
	}
	return w.Result(), nil
}

// metadata answers a request to the metadata.
func (s *service) metadata(_ context.Context, path string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[path]++
	if path == regionPath {
		return "cn-north-1\n", nil
	}
	if s.role == "" {
		return "", &metadata.StatusError{Path: path, Status: http.StatusNotFound}
	}
	return s.role, nil
}

func (s *service) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// openAPI is a new one that asks s, as with a poll of 10 s.
func (s *service) openAPI() *openAPI {
	o := newOpenAPI("http://openapi", 10*time.Second, s.metadata)
	o.client.http.Transport = s
	return o
}
