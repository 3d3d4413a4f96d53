package agent

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enid/metadata"
	"enid/netcfg"
)

var compareConfig = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()}

func mustMAC(t testing.TB, s string) metadata.MAC {
	t.Helper()
	m, err := metadata.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// full is what testdata/config/full.yaml says.
func full(t testing.TB) Config {
	return Config{
		Metadata: MetadataConfig{
			Provider: ProviderFile, Poll: 2500 * time.Millisecond, DetachAfter: 5 * time.Minute, MaxAge: 2 * time.Hour, OpenAPI: OpenAPIOff, File: "/srv/enid/interfaces.yaml",
		},
		Interfaces: []InterfaceRule{
			{Match{MAC: mustMAC(t, "02:29:96:8f:00:01")}, InterfaceConfig{Ignore: true}},
			{Match{ID: "port-abc*", Name: "eth[1-9]"}, InterfaceConfig{
				Addresses: []netip.Prefix{
					netip.MustParsePrefix("10.0.1.5/32"), netip.MustParsePrefix("10.0.1.64/26"),
					netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:1::5/128"),
				},
				SubnetRoute: On,
			}},
			{Match{Name: "*"}, InterfaceConfig{SubnetRoute: Off}},
		},
		ReturnPath: Off,
		Routing:    netcfg.Numbers{Table: 30000, Priority: 10000, BlockPriority: 40000, Protocol: 190, Mark: 0x7f0000, Group: 7},
		HTTP:       "[::1]:9100",
		RuntimeDir: "/run/other",
		StateDir:   "/srv/enid/state",
		Resync:     time.Hour,
		Log:        LogConfig{slog.LevelDebug, LogJSON},
	}
}

func TestLoad(t *testing.T) {
	minimal := Default()
	minimal.Metadata.Provider = ProviderJDCloud
	for file, want := range map[string]Config{"minimal.yaml": minimal, "full.yaml": full(t)} {
		got, err := Load(filepath.Join("testdata/config", file), true)
		if err != nil {
			t.Errorf("Load: %v", err)
		}
		if diff := cmp.Diff(want, got, compareConfig); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestLoadMissingFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "enid.yaml")
	got, err := Load(missing, false)
	if diff := cmp.Diff(Default(), got, compareConfig); err != nil || diff != "" {
		t.Errorf("the default file is missing: %v\n%s", err, diff)
	}

	_, err = Load(missing, true)
	want := missing + ": the configuration cannot be read; name one with --config that can: no such file or directory"
	if ce, ok := errors.AsType[*ConfigError](err); !ok || ce.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a named file is missing: got %v, want %s", err, want)
	}
}

func TestLoadUnreadableFile(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("# comment\n", maxConfigBytes/10+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		t.TempDir(): "is a directory",
		large:       "it is larger than 65536 bytes; name a file that is a configuration of enid",
	} {
		_, err := Load(file, false)
		if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Load(%s): got %v, want …%s", file, err, want)
		}
	}
}

func TestFor(t *testing.T) {
	c := full(t)
	abc := c.Interfaces[1].InterfaceConfig
	for _, tt := range []struct {
		about, mac, id, name string
		want                 InterfaceConfig
	}{
		{"by MAC", "02:29:96:8f:00:01", "port-abc1", "eth1", InterfaceConfig{Ignore: true}},
		{"by id and name", "02:29:96:8f:00:02", "port-abc1", "eth1", abc},
		{"the id fits, the name does not", "02:29:96:8f:00:02", "port-abc1", "eth0", InterfaceConfig{SubnetRoute: Off}},
		{"the name fits, the id is not known", "02:29:96:8f:00:02", "", "eth1", InterfaceConfig{SubnetRoute: Off}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			got := c.For(mustMAC(t, tt.mac), tt.id, tt.name)
			if diff := cmp.Diff(tt.want, got, compareConfig); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	got := Default().For(mustMAC(t, "02:29:96:8f:00:01"), "port-abc1", "eth1")
	if diff := cmp.Diff(InterfaceConfig{SubnetRoute: Auto}, got, compareConfig); diff != "" {
		t.Errorf("no rule (-want +got):\n%s", diff)
	}
}
