package cloud

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
)

// Dialect is a form of metadata.
type Dialect string

// The dialects. File has no HTTP: write Document to a file.
const (
	EC2        Dialect = "ec2"
	JDCloud    Dialect = "jdcloud"
	Aliyun     Dialect = "aliyun"
	GCP        Dialect = "gcp"
	Azure      Dialect = "azure"
	OCI        Dialect = "oci"
	Tencent    Dialect = "tencent"
	Volcengine Dialect = "volcengine"
	OpenStack  Dialect = "openstack"
	File       Dialect = "file"
)

// speaks answers a request in a dialect. It holds the lock, because some give out tokens.
type speaks func(c *Cloud, in *instance, v view, r *http.Request) response

// dialects are those with HTTP.
var dialects = map[Dialect]struct {
	answer  speaks
	failure func(status int) response // in the dialect's words
}{
	EC2:        {(*Cloud).ec2, ec2Error},
	Aliyun:     {(*Cloud).aliyun, plainError},
	Volcengine: {(*Cloud).volcengine, plainError},
	JDCloud:    {func(c *Cloud, _ *instance, v view, r *http.Request) response { return c.style.jdcloud(v, r) }, plainError},
	Azure:      {func(c *Cloud, in *instance, v view, r *http.Request) response { return c.azure.answer(in, v, r) }, azureFailure},
	GCP:        {func(c *Cloud, _ *instance, v view, r *http.Request) response { return gcp(v, r) }, gcpError},
	OCI:        {func(c *Cloud, _ *instance, v view, r *http.Request) response { return c.oci.answer(v, r) }, ociError},
	OpenStack:  {(*Cloud).answerOpenStack, plainError},
	Tencent:    {(*Cloud).tencent, plainError},
}

// Dialects are all that are served over HTTP, in order.
func Dialects() []Dialect { return slices.Sorted(maps.Keys(dialects)) }

// TellsOneAddress reports whether the dialect has no secondary IPv4 addresses: Oracle's cloud and OpenStack tell these
// by their APIs alone, and to enid an interfaces document has to.
func (d Dialect) TellsOneAddress() bool { return d == OCI || d == OpenStack }

// ownerID is the only account of this model.
const ownerID = "123456789012"

// Handler is the metadata service as the instance sees it. The instance may be
// made later; until then the answer is 404.
func (c *Cloud) Handler(instance string, d Dialect) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, instance, d) })
}

// HandlerByClient is the metadata service for all instances behind one
// listener: the client is the instance one of whose ENIs has the client's
// source address as the primary address of its family. Others get 403, also
// where two VPCs have the address: give each of their instances a Handler.
// Azure, OCI and GCP answer the primary ENI alone.
func (c *Cloud) HandlerByClient(d Dialect) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		instance, err := c.client(r.RemoteAddr, d)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		c.serve(w, r, instance, d)
	})
}

func (c *Cloud) client(remote string, d Dialect) (instance string, err error) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "", fmt.Errorf("client address: %w", err)
	}
	a := from.Addr().Unmap().WithZone("")
	c.mu.Lock()
	defer c.mu.Unlock()
	for vpc := range c.vpcs {
		e, ok := c.enis[c.holders[spot{vpc, a}]]
		switch {
		case !ok || e.Instance == "" || firstOfFamily(*e, a) != a || d.primaryOnly() && !e.Primary:
		case instance != "":
			return "", fmt.Errorf("client %s is an instance in more than one VPC: serve each by itself", a)
		default:
			instance = e.Instance
		}
	}
	if instance == "" {
		return "", fmt.Errorf("client %s has the primary address of no attached ENI: ask from one", a)
	}
	return instance, nil
}

// primaryOnly reports whether the cloud answers nobody but the primary ENI, at its primary address.
func (d Dialect) primaryOnly() bool { return d == Azure || d == OCI || d == GCP }

func firstOfFamily(e ENI, a netip.Addr) netip.Addr {
	return e.family(func(b netip.Addr) bool { return b.Is4() == a.Is4() })[0]
}

// Request is one kind of request to an instance's metadata, and how often it came.
type Request struct {
	Method string
	Path   string
	Count  int
}

// Requests are the requests to an instance's metadata since the last
// ResetRequests, by path and method; also those that a fault answered.
func (c *Cloud) Requests(instance string) []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Request
	if in, ok := c.instances[instance]; ok {
		for r, n := range in.requests {
			out = append(out, Request{r.Method, r.Path, n})
		}
	}
	slices.SortFunc(out, func(a, b Request) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return out
}

// ResetRequests begins to count an instance's requests anew.
func (c *Cloud) ResetRequests(instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in, ok := c.instances[instance]; ok {
		clear(in.requests)
	}
}

// response is an answer before faults of the transport get at it.
type response struct {
	status      int
	contentType string
	header      map[string]string
	body        string
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request, instance string, d Dialect) {
	f := c.admit(instance, r)
	if f.before(w, r) {
		return
	}
	if d == GCP {
		c.gcpHang(instance, f, r)
	}
	// After the fault's latency, so that the answer is that of the moment.
	var res response
	c.Settled(func() { res = c.answer(instance, d, f, r) })
	res.write(w, f)
}

// admit counts the request and picks the fault that it meets.
func (c *Cloud) admit(instance string, r *http.Request) Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, ok := c.instances[instance]
	if !ok {
		return Fault{}
	}
	in.requests[Request{Method: r.Method, Path: r.URL.Path}]++
	return c.pickFault(instance, r.URL.Path)
}

func (c *Cloud) answer(instance string, d Dialect, f Fault, r *http.Request) response {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, ok := c.instances[instance]
	if !ok {
		return plainError(http.StatusNotFound)
	}
	speaker, ok := dialects[d]
	switch {
	case !ok:
		return plainError(http.StatusNotImplemented)
	case f.Kind == FaultStatus:
		return speaker.failure(f.Status)
	}
	return speaker.answer(c, in, f.distort(c.view(in)), r)
}

func plainError(status int) response {
	return response{status: status, contentType: "text/plain; charset=utf-8", body: http.StatusText(status) + "\n"}
}

func (res response) write(w http.ResponseWriter, f Fault) {
	w.Header().Set("Content-Type", res.contentType)
	for name, value := range res.header {
		w.Header().Set(name, value)
	}
	if f.cut(w, res) {
		return
	}
	w.WriteHeader(res.status)
	// A client that went away is no matter of the server.
	_, _ = io.WriteString(w, res.body)
}

func readOnly(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func hostname(e ENI) string { return e.ID + ".internal" }

// publicText is the public address of a private one, or "".
func publicText(e ENI, private netip.Addr) string {
	if public, ok := e.Public[private]; ok {
		return public.String()
	}
	return ""
}

func ipv4Prefixes(ps []netip.Prefix) []netip.Prefix { return prefixes(ps, true) }
func ipv6Prefixes(ps []netip.Prefix) []netip.Prefix { return prefixes(ps, false) }

func prefixes(ps []netip.Prefix, ipv4 bool) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		if p.Addr().Is4() == ipv4 {
			out = append(out, p)
		}
	}
	return out
}
