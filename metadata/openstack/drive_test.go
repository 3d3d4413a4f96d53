package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"
)

// TestDriveFiles: what is on a drive may be no file, too long, or no document, and nothing waits for it.
func TestDriveFiles(t *testing.T) {
	t.Parallel()
	ec2 := "/ec2/latest/meta-data.json"
	for name, tt := range map[string]struct {
		make func(dir string) error
		path string
		want string // part of the error; "" for none
	}{
		"nothing":     {func(string) error { return nil }, networkPath, "mount the config drive there"},
		"a folder":    {func(dir string) error { return os.MkdirAll(dir+networkPath, 0o755) }, networkPath, "is no regular file"},
		"a pipe":      {func(dir string) error { return syscall.Mkfifo(dir+"/pipe", 0o600) }, "/pipe", "is no regular file"},
		"too long":    {func(dir string) error { return os.WriteFile(dir+"/f", make([]byte, maxFile+1), 0o600) }, "/f", "has more than 1048576 bytes"},
		"the longest": {func(dir string) error { return os.WriteFile(dir+"/f", make([]byte, maxFile), 0o600) }, "/f", ""},
		"no JSON": {func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(dir+ec2), 0o755), os.WriteFile(dir+ec2, []byte("["), 0o600))
		}, localPath, "ec2/latest/meta-data.json: unexpected end of JSON input"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			_, err := drive(dir).get(t.Context(), tt.path)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if errors.Is(err, metadata.ErrNotFound) != (name == "nothing") {
				t.Errorf("%v is, or is not, that there is none", err)
			}
		})
	}
}

// TestDriveInstead: of the mounted drives the first that there is stands in for a service that refuses connections.
func TestDriveInstead(t *testing.T) {
	t.Parallel()
	s := newSource(t, "http://127.0.0.1:1")
	s.drives = []string{t.TempDir(), mounted(t, "testdata/huawei.txtar"), mounted(t, "testdata/static.txtar")}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	got, err := s.Fetch(t.Context())
	if err != nil || got.Complete || got.Instance == "" || got.Interfaces[0].Addresses.Origin != "config drive "+s.drives[1] {
		t.Errorf("%+v, %v", got, err)
	}
	s.drives = s.drives[:1]
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("without a drive: %v", err)
	}
	if _, err := (&Source{drives: s.drives}).Fetch(t.Context()); !errors.Is(err, metadata.ErrNotFound) {
		t.Errorf("without a drive, and no service is to be asked: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestTokensOnlyWhereWanted: a refusal that had another reason is not the end of asking without a token.
func TestTokensOnlyWhereWanted(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/static.txtar")
	status, puts := http.StatusForbidden, 0
	s := newSource(t, metadatatest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			puts++
			w.WriteHeader(http.StatusInternalServerError)
		case status != 0:
			w.WriteHeader(status)
		default:
			service.ServeHTTP(w, r)
		}
	})))
	if _, err := s.Fetch(t.Context()); err == nil || puts != 1 {
		t.Errorf("%v, after %d questions for a token", err, puts)
	}
	status = 0
	if _, err := s.Fetch(t.Context()); err != nil || puts != 1 {
		t.Errorf("%v, after %d questions for a token, want one", err, puts)
	}
}

// TestPrimaryMoves: a primary that is not listed any more is asked for anew.
func TestPrimaryMoves(t *testing.T) {
	t.Parallel()
	service := metadatatest.ReadTree(t, "testdata/static.txtar")
	s := newSource(t, metadatatest.Start(t, service))
	primary := func() string {
		got, err := s.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range got.Interfaces {
			if i.Primary.Value {
				return i.ID.Value
			}
		}
		return ""
	}
	first := primary()
	service[localPath] = metadatatest.Reply{Body: "10.9.9.9"}
	if again := primary(); again != first || first == "" {
		t.Errorf("the primary was %q and is %q", first, again)
	}
	service[networkPath] = metadatatest.Reply{Body: fmt.Sprintf(`{"links":[%s],"networks":[%s]}`, linkA, static("a", "10.9.9.9"))}
	if now := primary(); now != "va" {
		t.Errorf("the primary is %q", now)
	}
}
