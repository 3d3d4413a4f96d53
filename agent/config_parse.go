package agent

import (
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// Parse reads a configuration; name is the file in its errors. What the file does not
// set is as in Default. Every error is a *ConfigError with line and column.
func Parse(name string, data []byte) (Config, error) {
	c := Default()
	top, err := topSetting(name, data)
	if err != nil {
		return Config{}, err
	}
	err = top.mapping(keys{
		"metadata":    func(s setting) error { return s.metadata(&c.Metadata) },
		"interfaces":  func(s setting) error { return s.interfaces(&c.Interfaces) },
		"policies":    func(s setting) error { return s.policies(&c.Policies) },
		"return_path": into(&c.ReturnPath, choice),
		"routing":     func(s setting) error { return s.routing(&c.Routing) },
		"neighbours":  into(&c.Neighbours, autoOrOff),
		"http":        into(&c.HTTP, listenAddress),
		"runtime_dir": into(&c.RuntimeDir, runtimeDir),
		"state_dir":   into(&c.StateDir, absolute),
		"resync":      into(&c.Resync, duration(10*time.Second, 24*time.Hour)),
		"log":         func(s setting) error { return s.log(&c.Log) },
	})
	if err == nil {
		err = top.marks(c)
	}
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// into stores what parse makes of a setting.
func into[T any](field *T, parse func(setting) (T, error)) func(setting) error {
	return func(s setting) error {
		v, err := parse(s)
		if err != nil {
			return err
		}
		*field = v
		return nil
	}
}

func (s setting) metadata(m *MetadataConfig) error {
	err := s.mapping(keys{
		"provider":     into(&m.Provider, provider),
		"endpoint":     into(&m.Endpoint, endpointOrDrive),
		"poll":         into(&m.Poll, duration(time.Second, time.Hour)),
		"detach_after": into(&m.DetachAfter, duration(time.Second, 24*time.Hour)),
		"max_age":      into(&m.MaxAge, maxAge),
		"mark":         into(&m.Mark, integer[uint32](math.MaxUint32)),
		"interface":    into(&m.Interface, nicOrNone),
		"openapi":      into(&m.OpenAPI, openAPI),
		"file":         into(&m.File, absoluteOrNone),
		"overlay":      into(&m.Overlay, absoluteOrNone),
		"dhcp":         into(&m.DHCP, autoOrOff),
	})
	if err != nil {
		return err
	}
	return s.sources(m)
}

// sources checks the keys of metadata against each other, so that none is set in vain.
func (s setting) sources(m *MetadataConfig) error {
	if m.Provider == ProviderAuto && m.File != "" {
		m.Provider = ProviderFile
	}
	asksOpenAPI := m.Provider == ProviderAuto || m.Provider == ProviderJDCloud
	switch isFile := m.Provider == ProviderFile; {
	case isFile && m.File == "":
		return s.find("provider").fail(`"file" needs a document to read; want metadata.file set to its absolute path`)
	case isFile && m.Endpoint != "":
		return s.find("endpoint").fail("%q is never asked when metadata.file is read; want only one of the two", m.Endpoint)
	case strings.HasPrefix(m.Endpoint, driveScheme) && m.Provider != ProviderOpenStack:
		return s.find("endpoint").fail("%q is a config drive, which provider %s does not read; want provider openstack, or the endpoint of a service", m.Endpoint, m.Provider)
	case isFile && m.Mark != 0:
		return s.find("mark").fail("%#x marks nothing when metadata.file is read; want only one of the two", m.Mark)
	case isFile && m.Interface != "":
		return s.find("interface").fail("%q is never used when metadata.file is read; want only one of the two", m.Interface)
	case !asksOpenAPI && m.OpenAPI != OpenAPIAuto && m.OpenAPI != OpenAPIOff:
		return s.find("openapi").fail("%q is never asked by provider %s; want provider jdcloud, or auto", m.OpenAPI, m.Provider)
	case !isFile && m.File != "":
		return s.find("file").fail("%q is not read by provider %s; want provider file, or no file", m.File, m.Provider)
	}
	return nil
}

func provider(s setting) (Provider, error) {
	words := []string{string(ProviderAuto)}
	for _, c := range clouds {
		words = append(words, string(c.provider))
	}
	word, err := s.word(append(words, string(ProviderFile)))
	return Provider(word), err
}

func (s setting) routing(n *netcfg.Numbers) error {
	// The others are valid already, so what Validate finds is about this one.
	valid := func(read func(setting) error) func(setting) error {
		return func(s setting) error {
			if err := read(s); err != nil {
				return err
			}
			if err := n.Validate(); err != nil {
				_, text, _ := strings.Cut(err.Error(), ": ")
				return s.fail("%s", text)
			}
			return nil
		}
	}
	return s.mapping(keys{
		"table":          valid(into(&n.Table, integer[int](math.MaxInt32))),
		"priority":       valid(into(&n.Priority, integer[int](math.MaxInt32))),
		"block_priority": valid(into(&n.BlockPriority, integer[int](math.MaxInt32))),
		"protocol":       valid(into(&n.Protocol, integer[int](math.MaxInt32))),
		"mark":           valid(into(&n.Mark, integer[uint32](math.MaxUint32))),
		"group":          valid(into(&n.Group, integer[uint32](math.MaxUint32))),
	})
}

func (s setting) log(l *LogConfig) error {
	return s.mapping(keys{
		"level":  into(&l.Level, logLevel),
		"format": into(&l.Format, logFormat),
	})
}

func logLevel(s setting) (slog.Level, error) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	words := []string{"debug", "info", "warn", "error"}
	word, err := s.word(words)
	return levels[max(0, slices.Index(words, word))], err
}

func logFormat(s setting) (LogFormat, error) {
	word, err := s.word([]string{string(LogText), string(LogJSON)})
	return LogFormat(word), err
}

func (s setting) interfaces(rules *[]InterfaceRule) error {
	return s.list("entries that begin with match", func(s setting) error {
		var r InterfaceRule
		err := s.mapping(keys{
			"match":        func(s setting) error { return s.match(&r.Match) },
			"ignore":       into(&r.Ignore, yes),
			"addresses":    func(s setting) error { return s.addresses(&r.Addresses) },
			"subnet_route": into(&r.SubnetRoute, choice),
		})
		if err != nil {
			return err
		}
		if r.Match == (Match{}) {
			return s.find("match").fail("nothing says which ENIs this is for; want match with at least one of mac, id and name")
		}
		*rules = append(*rules, r)
		return nil
	})
}

func (s setting) match(m *Match) error {
	return s.mapping(keys{
		"mac":  into(&m.MAC, mac),
		"id":   into(&m.ID, glob),
		"name": into(&m.Name, glob),
	})
}

func mac(s setting) (metadata.MAC, error) {
	text, err := s.text("a MAC address, such as 02:29:96:8f:00:01")
	if err != nil {
		return metadata.MAC{}, err
	}
	m, err := metadata.ParseMAC(text)
	if err != nil {
		return m, s.fail("%v", err)
	}
	return m, nil
}

func (s setting) addresses(list *[]netip.Prefix) error {
	return s.list("prefixes, such as [10.0.1.5, 10.0.1.64/26]", func(s setting) error {
		p, err := prefix(s)
		if err == nil {
			*list = append(*list, p)
		}
		return err
	})
}
