package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path"
	"slices"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// DefaultConfigFile is read where no --config is given. It may be missing.
const DefaultConfigFile = "/etc/enid/enid.yaml"

// maxConfigBytes bounds a configuration file: ten times what the largest needs.
const maxConfigBytes = 64 << 10

// Config is everything that a user can set. A Config from Parse is valid: nobody
// needs to check a value again.
type Config struct {
	Metadata   MetadataConfig
	Interfaces []InterfaceRule // in the order of the file, the first match wins
	Policies   []PolicyRule    // in the order of the file, the first that matches a packet wins
	ReturnPath Choice          // replies of forwarded connections leave by the ENI they came in by; Auto: where the host forwards
	Routing    netcfg.Numbers
	Neighbours Choice        // Auto: other network managers are told to leave the ENIs alone; or Off
	HTTP       string        // listen address host:port, "" is off
	RuntimeDir string        // absolute; socket and record of ownership, lives as long as the kernel's state
	StateDir   string        // absolute; slots, survives a reboot
	Resync     time.Duration // between two full looks at the kernel that no event asked for
	Log        LogConfig
}

// MetadataConfig says where the truth about the ENIs comes from.
type MetadataConfig struct {
	Provider Provider
	Endpoint string        // scheme://host[:port] instead of the provider's own, "" is the provider's own; openstack: file:///folder too, a config drive
	Poll     time.Duration // within it a change is seen, and a loss confirmed
	// DetachAfter is how long the answers must have been whole and the same before an ENI
	// that they no longer list is taken down while its NIC is still there.
	DetachAfter time.Duration
	// MaxAge is how old the last good metadata may be to be used after a start at which the metadata does not
	// answer; 0 is never.
	MaxAge    time.Duration
	Mark      uint32 // packet mark of the questions (SO_MARK), for hosts that lock the service; 0 is none
	Interface string // name of the NIC by which alone they leave (SO_BINDTODEVICE), "" is any
	// OpenAPI is OpenAPIAuto, OpenAPIOff, or scheme://host[:port] instead of the cloud's own.
	OpenAPI string
	File    string // absolute path of the interfaces document of ProviderFile, else ""
	Overlay string // absolute path of the folder of overlay documents, "" is none
	DHCP    Choice // Auto: where the provider leaves out subnets or addresses, NICs' networks are asked for an offer; or Off
}

// Provider is a metadata dialect, or the way to find it.
type Provider string

// The providers. A configuration that names another one is an error.
const (
	ProviderAuto       Provider = "auto" // ask the host which cloud this is
	ProviderJDCloud    Provider = "jdcloud"
	ProviderEC2        Provider = "ec2"
	ProviderAliyun     Provider = "aliyun"
	ProviderGCP        Provider = "gcp"
	ProviderAzure      Provider = "azure"
	ProviderOCI        Provider = "oci"
	ProviderTencent    Provider = "tencent"
	ProviderVolcengine Provider = "volcengine"
	ProviderOpenStack  Provider = "openstack" // Huawei Cloud too
	ProviderFile       Provider = "file"      // MetadataConfig.File instead of a cloud
)

// What MetadataConfig.OpenAPI may be besides an endpoint.
const (
	OpenAPIAuto = "auto" // the cloud's API is asked where a role gives the instance credentials
	OpenAPIOff  = "off"
)

// Choice is a setting that is on, off, or decided by enid from what it finds.
type Choice uint8

// The zero Choice is Auto, so that an interface that no rule matches needs no defaults.
const (
	Auto Choice = iota
	On
	Off
)

// choices are the words of the file, in the order of the constants.
var choices = []string{Auto: "auto", On: "on", Off: "off"}

// String is the word of the configuration file.
func (c Choice) String() string { return choices[c] }

// LogConfig is what is logged, and in which form.
type LogConfig struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is the form of a log line.
type LogFormat string

// The formats, as the configuration file spells them.
const (
	LogText LogFormat = "text" // key=value
	LogJSON LogFormat = "json"
)

// InterfaceRule gives the ENIs that it matches their settings.
type InterfaceRule struct {
	Match Match
	InterfaceConfig
}

// Match selects ENIs. A zero field matches every ENI, a set one must fit; at
// least one of them is set.
type Match struct {
	MAC  metadata.MAC
	ID   string // glob as of path.Match, against the id that the metadata tells
	Name string // glob as of path.Match, against the name of the NIC
}

// matches reports whether every set field fits. The patterns were checked by Parse.
func (m Match) matches(mac metadata.MAC, id, name string) bool {
	return (m.MAC == metadata.MAC{} || m.MAC == mac) && globs(m.ID, id) && globs(m.Name, name)
}

func globs(pattern, s string) bool {
	fits, err := path.Match(pattern, s)
	return pattern == "" || fits && err == nil
}

// InterfaceConfig is what can be set for one ENI. The zero value is the default.
type InterfaceConfig struct {
	Ignore      bool           // leave the ENI and its NIC alone
	Addresses   []netip.Prefix // only addresses within these are configured; empty: all
	SubnetRoute Choice         // main's route to the ENI's subnet
}

// For is the settings of an ENI: those of the first rule that matches, else the
// defaults. The id is "" where the metadata does not tell it.
func (c Config) For(mac metadata.MAC, id, name string) InterfaceConfig {
	i := slices.IndexFunc(c.Interfaces, func(r InterfaceRule) bool { return r.Match.matches(mac, id, name) })
	if i < 0 {
		return InterfaceConfig{}
	}
	return c.Interfaces[i].InterfaceConfig
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Metadata: MetadataConfig{
			Provider:    ProviderAuto,
			Poll:        10 * time.Second,
			DetachAfter: time.Minute,
			MaxAge:      24 * time.Hour,
			OpenAPI:     OpenAPIAuto,
			Overlay:     "/etc/enid/interfaces.d",
		},
		Routing:    netcfg.DefaultNumbers,
		HTTP:       "127.0.0.1:9967",
		RuntimeDir: "/run/enid",
		StateDir:   "/var/lib/enid",
		Resync:     10 * time.Minute,
		Log:        LogConfig{Level: slog.LevelInfo, Format: LogText},
	}
}

// Load reads a configuration file. A file that does not exist is the default
// configuration, unless the user named it (explicit). Its errors are *ConfigError.
func Load(file string, explicit bool) (Config, error) {
	data, err := readBounded(file, maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return Default(), nil
	}
	if err != nil {
		return Config{}, &ConfigError{File: file, Text: "the configuration cannot be read; name one with --config that can", Err: err}
	}
	return Parse(file, data)
}

func readBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes; name a file that is a configuration of enid", limit)
	}
	return data, err
}
