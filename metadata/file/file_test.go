package file_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enid/metadata"
	"enid/metadata/file"
)

const twoENIs = `
interfaces:
- mac: 02:29:96:8f:00:02
  addresses: [10.0.2.5]
- mac: 02:29:96:8f:00:01
  primary: true
`

func TestFetch(t *testing.T) {
	path := write(t, t.TempDir(), "enid.yaml", twoENIs)
	got, err := file.New(path).Fetch(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := metadata.Snapshot{Provider: "file", Complete: true, Interfaces: []metadata.Interface{
		{MAC: metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 1}, Primary: metadata.Is(true, path)},
		{
			MAC: metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 2}, Primary: metadata.Is(false, path),
			Addresses: metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.2.5")}, path),
			Prefixes:  metadata.IsNone[[]netip.Prefix](path),
			Local:     metadata.IsNone[[]netip.Prefix](path),
		},
	}}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
}

func TestFetchErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	open := write(t, dir, "open.yaml", twoENIs)
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ path, want string }{
		"missing":        {filepath.Join(dir, "no.yaml"), "there is no such file"},
		"directory":      {dir, "is a directory"},
		"fifo":           {fifo, "is no regular file"},
		"world-writable": {open, "chmod o-w"},
		"too big":        {write(t, dir, "big.yaml", strings.Repeat("#", 10<<20)), "has 10485760 bytes; at most 1048576"},
		"empty":          {write(t, dir, "empty.yaml", ""), "empty.yaml:1:1: the document is empty"},
		"wrong":          {write(t, dir, "wrong.yaml", "interfaces:\n- mac: x\n"), "wrong.yaml:2:8: mac: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := file.New(tt.path).Fetch(context.Background())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), tt.path) {
				t.Errorf("error %v, want it to begin with the path and say %q", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := file.New(open).Fetch(ctx); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
