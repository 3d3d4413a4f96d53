package cloud

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// JDStyle is what JD Cloud's documents leave open or contradict each other in.
// The zero value is what the newest manual suggests.
type JDStyle struct {
	Bare     bool // scalars without double quotes, as JD's own scripts expect them
	NoSlash  bool // directories are listed as "1", not as "1/"
	FromZero bool // the primary has index 0, not 1
	Holes    bool // after a detach the other ENIs keep their index
}

// SetJDStyle sets the style of the jdcloud dialect for all instances.
func (c *Cloud) SetJDStyle(s JDStyle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.style = s
}

// jdcloud answers one request. No document says how an absent key is answered,
// nor which content type there is; 404 and text/plain are guesses.
func (s JDStyle) jdcloud(v view, r *http.Request) response {
	if !readOnly(r) {
		return plainError(http.StatusMethodNotAllowed)
	}
	n, ok := s.tree(v).find(foldCustomKey(r.URL.Path))
	if !ok {
		return plainError(http.StatusNotFound)
	}
	res := response{status: http.StatusOK, contentType: "text/plain; charset=utf-8", body: n.text}
	if n.isDir() {
		res.body = jsonText(n.names(map[bool]string{false: "/", true: ""}[s.NoSlash]))
	}
	return res
}

// foldCustomKey makes the key at the end of a custom-metadata path lower case:
// these keys know no case.
func foldCustomKey(path string) string {
	const above = "/custom-metadata/"
	if i := strings.Index(path, above); i >= 0 {
		return path[:i+len(above)] + strings.ToLower(path[i+len(above):])
	}
	return path
}

func (s JDStyle) tree(v view) node {
	network := func() (nics []node) {
		for i, n := range v.nics {
			nics = append(nics, s.nic(i, n))
		}
		return nics
	}
	custom := func() (keys []node) {
		for _, key := range slices.Sorted(maps.Keys(v.custom)) {
			keys = append(keys, s.scalar(key, v.custom[key]))
		}
		return keys
	}
	address := s.scalar("local-ipv4", v.primary.Addresses[0].String())
	address.hidden = true // in no document; JD's own Kubernetes reads it
	kids := []node{
		dir("attributes", s.scalar("hostname", hostname(v.primary)), dir("customdata", lazyDir("custom-metadata", custom))),
		lazyDir("network", network),
		dir("placement", s.scalar("region", Region), s.scalar("availability-zone", v.az)),
		dir("image", s.scalar("image-id", "img-ix4782iy3c"), s.scalar("os-type", "linux")),
		v.iam(),
		s.scalar("description", ""),
		s.scalar("instance-name", v.name),
		s.scalar("instance-type", TypeOf(v.vcpu).Name),
		s.scalar("instance-id", v.instance),
		s.scalar("pin", "enid-lab"),
		address,
	}
	return dir("", dir("metadata", dir("latest", kids...)), dir("jcs-metadata", dir("latest", kids...)))
}

// nic is the directory of one ENI, named by its index.
func (s JDStyle) nic(position int, n nic) node {
	if s.Holes {
		position = n.Index
	}
	if !s.FromZero {
		position++
	}
	name := strconv.Itoa(position)
	if !n.keys {
		return unready(name)
	}
	return lazyDir(name, func() []node { return s.keys(n.ENI) })
}

// keys are exactly the six documented ones. A public address that is not there
// is an empty text; no document says how it is told.
func (s JDStyle) keys(e ENI) []node {
	var private, public string
	if addrs := e.family(netip.Addr.Is4); len(addrs) > 0 {
		private, public = addrs[0].String(), publicText(e, addrs[0])
	}
	return []node{
		s.scalar("local-ipv4", private),
		s.scalar("floating-ipv4", public),
		s.scalar("mac", e.MAC.String()),
		s.scalar("network-interface-id", e.ID),
		s.scalar("subnet-id", e.SubnetID),
		leaf("security-group-ids", jsonText(e.SecurityGroups)),
	}
}

func (s JDStyle) scalar(name, text string) node {
	if s.Bare {
		return leaf(name, text)
	}
	return leaf(name, jsonText(text))
}

// jsonText is v in JSON on one line, with <, > and & as they are.
func jsonText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings and lists of them cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
