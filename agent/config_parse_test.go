package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// valid files and what they change in the defaults.
var valid = []struct {
	about, yaml string
	change      func(*Config)
}{
	{"empty", "", func(*Config) {}},
	{"comments only", "# nothing\n\n", func(*Config) {}},
	{"an empty document", "---\n...\n", func(*Config) {}},
	{"sections whose keys are all commented out", "metadata:\n#  poll: 3s\ninterfaces:\nrouting:\nlog:\n", func(*Config) {}},
	{"byte order mark, CRLF", "\ufeffmetadata:\r\n  poll: 3s\r\n", func(c *Config) { c.Metadata.Poll = 3e9 }},
	{"a directive", "%YAML 1.2\n---\nresync: 1m\n", func(c *Config) { c.Resync = 60e9 }},
	{"JSON", `{"metadata": {"provider": "ec2", "poll": "1s"}, "http": ""}`, func(c *Config) {
		c.Metadata.Provider, c.Metadata.Poll, c.HTTP = ProviderEC2, 1e9, ""
	}},
	{"auto with a file means file", "metadata: {provider: auto, file: /a/b.yaml}", func(c *Config) {
		c.Metadata.Provider, c.Metadata.File = ProviderFile, "/a/b.yaml"
	}},
	{"a file and no provider", "metadata: {file: /a//b.yaml}", func(c *Config) {
		c.Metadata.Provider, c.Metadata.File = ProviderFile, "/a/b.yaml"
	}},
	{"endpoint", "metadata: {endpoint: 'HTTP://metadata.internal:8080'}", func(c *Config) {
		c.Metadata.Endpoint = "http://metadata.internal:8080"
	}},
	{"endpoint by IPv6", "metadata: {endpoint: 'https://[fd00:ec2::254]'}", func(c *Config) {
		c.Metadata.Endpoint = "https://[fd00:ec2::254]"
	}},
	{"a config drive", "metadata: {provider: openstack, endpoint: 'file:///mnt//config/'}", func(c *Config) {
		c.Metadata.Provider, c.Metadata.Endpoint = ProviderOpenStack, "file:///mnt/config"
	}},
	{"no endpoint, no overlay, no file", "metadata: {endpoint: '', overlay: '', file: ''}", func(c *Config) { c.Metadata.Overlay = "" }},
	{"a locked service", "metadata: {mark: 0x7fff0815, interface: eth0}", func(c *Config) {
		c.Metadata.Mark, c.Metadata.Interface = 0x7fff0815, "eth0"
	}},
	{"no mark, any interface", "metadata: {mark: 0, interface: ''}", func(*Config) {}},
	{"neighbours auto", "neighbours: auto", func(*Config) {}},
	{"neighbours off", "neighbours: off", func(c *Config) { c.Neighbours = Off }},
	{"http on every address", "http: ':80'", func(c *Config) { c.HTTP = ":80" }},
	{"http on a name", "http: localhost:80", func(c *Config) { c.HTTP = "localhost:80" }},
	{"limits", "metadata: {poll: 1h, detach_after: 1s}\nresync: 24h", func(c *Config) {
		c.Metadata.Poll, c.Metadata.DetachAfter, c.Resync = 3600e9, 1e9, 86400e9
	}},
	{"no last good metadata", "metadata: {max_age: off}", func(c *Config) { c.Metadata.MaxAge = 0 }},
	{"last good metadata of a month", "metadata: {max_age: 720h}", func(c *Config) { c.Metadata.MaxAge = 720 * 3600e9 }},
	{"return_path auto", "return_path: auto", func(*Config) {}},
	{"a decimal mark", "routing: {mark: 2130706432}", func(*Config) {}},
}

func TestParse(t *testing.T) {
	for _, tt := range valid {
		t.Run(tt.about, func(t *testing.T) {
			want := Default()
			tt.change(&want)
			got, err := Parse("enid.yaml", []byte(tt.yaml))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compareConfig); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
