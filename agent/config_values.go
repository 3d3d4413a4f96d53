package agent

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// word is one of the words that are known here.
func (s setting) word(known []string) (string, error) {
	text, err := s.text("one of " + strings.Join(known, ", "))
	if err != nil {
		return "", err
	}
	if !slices.Contains(known, text) {
		return "", s.fail("%s is not known here%s", s.shown(), suggestion(text, known))
	}
	return text, nil
}

func choice(s setting) (Choice, error) {
	word, err := s.word(choices)
	return Choice(max(0, slices.Index(choices, word))), err
}

// autoOrOff is a choice that can only be left to enid or forbidden.
func autoOrOff(s setting) (Choice, error) {
	word, err := s.word([]string{choices[Auto], choices[Off]})
	return Choice(max(0, slices.Index(choices, word))), err
}

func yes(s setting) (bool, error) {
	b, ok := s.node.(*ast.BoolNode)
	if !ok {
		return false, s.wrong("", "true or false")
	}
	return b.Value, nil
}

// integer reads a number from 0 to most, decimal or with 0x.
func integer[T int | uint32](most uint64) func(setting) (T, error) {
	return func(s setting) (T, error) {
		want := fmt.Sprintf("a whole number from 0 to %d, without quotes", most)
		text, err := s.text(want)
		if err != nil {
			return 0, err
		}
		_, number := s.node.(*ast.IntegerNode)
		n, err := strconv.ParseUint(text, 0, 64)
		if !number || err != nil || n > most {
			return 0, s.wrong("", want)
		}
		return T(n), nil
	}
}

func duration(least, most time.Duration) func(setting) (time.Duration, error) {
	return func(s setting) (time.Duration, error) {
		want := fmt.Sprintf("a duration with its unit from %s to %s, such as 30s", short(least), short(most))
		text, err := s.text(want)
		if err != nil {
			return 0, err
		}
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return 0, s.wrong("is not a duration", want)
		case d < least || d > most:
			return 0, s.wrong("is out of range", want)
		}
		return d, nil
	}
}

// maxAge is a duration, or off.
func maxAge(s setting) (time.Duration, error) {
	if n, ok := s.node.(*ast.StringNode); ok && n.Value == "off" {
		return 0, nil
	}
	d, err := duration(time.Minute, 720*time.Hour)(s)
	if err != nil {
		return 0, s.wrong("", "off, or a duration with its unit from 1m to 720h, such as 24h")
	}
	return d, nil
}

// short is 1h instead of 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// absolute is a path that does not depend on where enid was started.
func absolute(s setting) (string, error) {
	const want = "an absolute path below /"
	text, err := s.text(want)
	if err != nil {
		return "", err
	}
	clean := filepath.Clean(text)
	if !filepath.IsAbs(text) || clean == "/" || strings.ContainsRune(text, 0) {
		return "", s.wrong("", want)
	}
	return clean, nil
}

// absoluteOrNone is absolute, and "" for no such file.
func absoluteOrNone(s setting) (string, error) {
	if n, ok := s.node.(*ast.StringNode); ok && n.Value == "" {
		return "", nil
	}
	return absolute(s)
}

// runtimeDir is absolute and short enough for the socket in it: the kernel takes 107
// bytes (sun_path of unix(7) without its NUL), and says "invalid argument" to more.
func runtimeDir(s setting) (string, error) {
	dir, err := absolute(s)
	most := 107 - len("/enid.sock")
	if err == nil && len(dir) > most {
		return "", s.wrong("is too long for the socket in it", fmt.Sprintf("at most %d bytes", most))
	}
	return dir, err
}

// endpoint is where a metadata service listens. The dialect knows the paths.
func endpoint(s setting) (string, error) {
	const want = "scheme://host[:port], such as http://169.254.169.254"
	text, err := s.text(want)
	if err != nil || text == "" {
		return "", err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || !isHost(u.Hostname()) || strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port()):
		return "", s.wrong("is not an endpoint", want)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", s.wrong("has another scheme than http and https", want)
	case u.String() != u.Scheme+"://"+u.Host:
		return "", s.wrong("has more than a host and a port", fmt.Sprintf("%q", u.Scheme+"://"+u.Host))
	}
	return u.Scheme + "://" + u.Host, nil
}

// driveScheme begins an endpoint that is the folder where OpenStack's config drive is mounted.
const driveScheme = "file://"

// endpointOrDrive is where a metadata service listens, or a mounted config drive.
func endpointOrDrive(s setting) (string, error) {
	text, err := s.text("")
	dir, isDrive := strings.CutPrefix(text, driveScheme)
	if err != nil || !isDrive {
		return endpoint(s)
	}
	clean := filepath.Clean(dir)
	if !filepath.IsAbs(dir) || clean == "/" || strings.ContainsRune(dir, 0) {
		return "", s.wrong("is no mounted config drive", "file:// and an absolute path below /, such as file:///mnt/config")
	}
	return driveScheme + clean, nil
}

// openAPI is auto, off, or where a cloud's API listens.
func openAPI(s setting) (string, error) {
	text, err := s.text("auto, off or scheme://host[:port]")
	if err != nil || text == OpenAPIAuto || text == OpenAPIOff {
		return text, err
	}
	if !strings.Contains(text, "://") {
		return "", s.wrong("is not known here", "auto, off, or scheme://host[:port]")
	}
	return endpoint(s)
}

// listenAddress is host:port: an IP, a name, or nothing for every address of the host.
func listenAddress(s setting) (string, error) {
	const want = `host:port, such as 127.0.0.1:9967, [::1]:9967 or :9967 for every address, or "" to turn it off`
	text, err := s.text(want)
	if err != nil || text == "" {
		return "", err
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host != "" && !isHost(host) {
		return "", s.wrong("is not an address to listen on", want)
	}
	if !isPort(port) {
		return "", s.wrong("has no port from 1 to 65535", want)
	}
	return text, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

// isHost takes an IP or a name. What is all digits and dots but no IP is a misspelt IP.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return hostname.MatchString(s) && strings.Trim(s, "0123456789.") != ""
}

// nicOrNone is the name of a NIC, and "" for any.
func nicOrNone(s setting) (string, error) {
	if n, ok := s.node.(*ast.StringNode); ok && n.Value == "" {
		return "", nil
	}
	return nicName(s)
}

// glob is a pattern that path.Match can work with.
func glob(s setting) (string, error) {
	const want = `a name with *, ? or [a-z] in it, such as "eth*"`
	text, err := s.text(want)
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", s.wrong("matches nothing", want)
	}
	if _, err := path.Match(text, ""); err != nil {
		return "", s.wrong("is not a pattern", want)
	}
	return text, nil
}

// prefix reads a prefix without host bits; an address alone is the prefix of just it.
func prefix(s setting) (netip.Prefix, error) {
	const want = "a prefix such as 10.0.1.64/26 or 2001:db8::/64, or an address"
	text, err := s.text(want)
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(text)
	if a, e := netip.ParseAddr(text); e == nil {
		p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
		if a.Zone() != "" {
			return p, s.wrong("has a zone", a.WithZone("").String())
		}
	}
	switch {
	case err != nil:
		return p, s.wrong("is not a prefix", want)
	case p.Addr().Is4In6():
		return p, s.wrong("is an IPv4-mapped address", unmapped(p).String())
	case p != p.Masked():
		return p, s.wrong("has host bits", fmt.Sprintf("%s for the block or %s for the address", p.Masked(), p.Addr()))
	}
	return p, nil
}

// unmapped is the IPv4 prefix in ::ffff:a.b.c.d/n.
func unmapped(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96)).Masked()
}
