package cloud_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"enid/metadata"
	"enid/metadata/document"
	"enid/test/cloud"
)

const (
	gcpInstance = "/computeMetadata/v1/instance/"
	gcpNICs     = gcpInstance + "network-interfaces/"
)

// google adds to every request the header without which nothing is answered.
func google(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Metadata-Flavor", "Google")
		h.ServeHTTP(w, r)
	})
}

func gcpOf(c *cloud.Cloud) http.Handler { return google(c.Handler("i-1", cloud.GCP)) }

// gcpList are the names in a folder; a leaf has none, as its path has no slash.
func gcpList(body string) []string { return strings.Fields(body) }

func indented(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	must(t, json.Indent(&b, []byte(body), "", " "))
	return b.String() + "\n"
}

func TestGCPTree(t *testing.T) {
	c := tour(t)
	enis := c.Describe("i-1")
	must(t, c.AssignAlias(enis[0].ID, prefix("10.24.3.0/24")))
	must(t, c.Forward(enis[0].ID, addr("203.0.113.99")))
	must(t, c.Forward(enis[0].ID, addr("2001:db8:f::99")))
	must(t, c.SetCustom("i-1", "ssh-keys", "hush"))
	dynamic := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	must(t, c.AttachVLAN("i-1", dynamic.ID, enis[1].ID, 10))
	h := gcpOf(c)
	golden(t, "gcp", walk(h, "/computeMetadata/v1/", gcpList)+
		indented(t, get(h, "/computeMetadata/v1/?recursive=true")))
}

func TestGCPRules(t *testing.T) {
	c, _ := small(t)
	plain, h := c.Handler("i-1", cloud.GCP), gcpOf(c)
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", gcpInstance + "id", 200},
		{"GET", gcpInstance + "id?alt=json", 200},
		{"GET", gcpInstance + "id/", 404},
		{"GET", gcpInstance, 200},
		{"GET", strings.TrimSuffix(gcpInstance, "/"), 200},
		{"GET", gcpInstance + "?alt=json", 400},
		{"GET", gcpInstance + "?alt=text", 400},
		{"GET", gcpInstance + "?recursive=true", 200},
		{"GET", gcpInstance + "?recursive=true&alt=json", 200},
		{"GET", gcpInstance + "?recursive=true&alt=xml", 400},
		{"GET", gcpInstance + "?wait_for_change=true&last_etag=NONE", 400},
		{"GET", gcpInstance + "?recursive=true&wait_for_change=true&last_etag=NONE", 200},
		{"GET", gcpInstance + "id?wait_for_change=true&last_etag=NONE", 200},
		{"GET", gcpInstance + "vlan-network-interfaces/?recursive=true", 404}, // there is none
		{"GET", gcpNICs + "0/mac", 200},
		{"GET", gcpNICs + "00/mac", 404},
		{"GET", gcpNICs + "1/mac", 404},
		{"GET", "/computeMetadata/v1beta1/", 404},
		{"GET", "/", 404},
		{"POST", gcpInstance, 405},
		{"HEAD", gcpInstance, 200},
	} {
		w := ask(h, tt.method, tt.path)
		if w.Code != tt.want || w.Header().Get("Metadata-Flavor") != "Google" || (w.Header().Get("ETag") != "") != (tt.want == 200) {
			t.Errorf("%s %s: status %d, want %d, header %v", tt.method, tt.path, w.Code, tt.want, w.Header())
		}
	}
	compare(t, 403, ask(plain, "GET", gcpInstance+"id").Code)
	compare(t, 403, ask(plain, "GET", gcpInstance+"id", "Metadata-Flavor", "google").Code)
	compare(t, 403, ask(h, "GET", gcpInstance+"id", "X-Forwarded-For", "10.0.0.3").Code)
	compare(t, "0/\n", get(h, gcpNICs))
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 503}))
	compare(t, 503, ask(h, "GET", gcpInstance+"?recursive=true&wait_for_change=true").Code) // it does not wait
}

// The ETag is the content's: it comes back with it.
func TestGCPETag(t *testing.T) {
	c, primary := small(t)
	h := gcpOf(c)
	etag := func() string { return ask(h, "GET", gcpNICs+"?recursive=true").Header().Get("ETag") }
	before := etag()
	must(t, c.SetCustom("i-1", "motto", "hold"))
	compare(t, before, etag()) // that is another folder
	must(t, c.AssignAlias(primary.ID, prefix("10.0.0.64/28")))
	compare(t, true, etag() != before)
	must(t, c.ReleaseAlias(primary.ID, prefix("10.0.0.64/28")))
	compare(t, before, etag())
}

func TestGCPFaultsAndSteps(t *testing.T) {
	c, primary := small(t)
	must(t, c.Assign(primary.ID, addrs("10.0.0.20")...))
	h := gcpOf(c)
	for kind, want := range map[cloud.FaultKind][]string{
		cloud.FaultNoMAC:       {"", "404", "404", "404"},
		cloud.FaultNoKeys:      {"0/\n", primary.MAC.String(), "404", "404"},
		cloud.FaultNoAddresses: {"0/\n", primary.MAC.String(), "404", ""},
		cloud.FaultLatency:     {"0/\n", primary.MAC.String(), "10.0.0.3", "0\n"},
	} {
		must(t, c.SetFault(cloud.Fault{Kind: kind, Latency: time.Nanosecond}))
		compare(t, want, []string{get(h, gcpNICs), get(h, gcpNICs+"0/mac"), get(h, gcpNICs+"0/ip"), get(h, gcpNICs+"0/ip-aliases/")})
	}
	c.ClearFault()
	c.SetPropagation(cloud.Propagation{Keys: time.Hour})
	e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	must(t, c.Attach("i-1", e.ID))
	compare(t, "mac\n", get(h, gcpNICs+"1/"))
}

// Only the first NIC gets an answer.
func TestGCPByClient(t *testing.T) {
	c := tour(t)
	h := google(c.HandlerByClient(cloud.GCP))
	for client, want := range map[string]int{"10.0.0.3:1": 200, "10.0.1.4:1": 403} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = client
			h.ServeHTTP(w, r)
		})
		compare(t, want, ask(handler, "GET", gcpInstance+"id").Code)
	}
}

func TestAliasRules(t *testing.T) {
	c, primary := small(t)
	other := value(c.CreateENI("subnet-a", cloud.ENIOptions{Primary: addr("10.0.0.77")}))(t)
	must(t, c.AssignAlias(primary.ID, prefix("10.0.0.64/29")))
	must(t, c.AssignAlias(primary.ID, prefix("10.24.0.0/16")))
	must(t, c.Forward(primary.ID, addr("10.0.0.90")))
	must(t, c.Forward(other.ID, addr("10.0.0.90"))) // both are behind the same load balancer
	before := wholeOf(c)
	for name, err := range map[string]error{
		"no such ENI":           c.AssignAlias("port-x", prefix("10.25.0.0/16")),
		"host bits":             c.AssignAlias(other.ID, prefix("10.0.0.81/28")),
		"public":                c.AssignAlias(other.ID, prefix("8.8.8.0/24")),
		"IPv6":                  c.AssignAlias(other.ID, prefix("2001:db8:0:a:5::/96")),
		"too wide":              c.AssignAlias(other.ID, prefix("10.64.0.0/10")),
		"the gateway":           c.AssignAlias(other.ID, prefix("10.0.0.0/28")),
		"the subnet":            c.AssignAlias(other.ID, prefix("10.0.0.0/24")),
		"another subnet":        c.AssignAlias(other.ID, prefix("10.0.1.64/28")),
		"an ENI's address":      c.AssignAlias(primary.ID, prefix("10.0.0.77/32")),
		"its own again":         c.AssignAlias(primary.ID, prefix("10.0.0.64/29")),
		"another's":             c.AssignAlias(other.ID, prefix("10.24.3.0/24")),
		"forwarded":             c.AssignAlias(other.ID, prefix("10.0.0.88/29")),
		"assigned from one":     c.Assign(other.ID, addr("10.0.0.66")),
		"assigned forwarded":    c.Assign(other.ID, addr("10.0.0.90")),
		"delegated over one":    c.AssignPrefix(other.ID, prefix("10.0.0.64/28")),
		"a subnet over one":     c.CreateSubnet(cloud.Subnet{ID: "subnet-c", IPv4: prefix("10.24.1.0/24")}),
		"forward twice":         c.Forward(other.ID, addr("10.0.0.90")),
		"forward multicast":     c.Forward(other.ID, addr("224.0.0.5")),
		"forward an ENI's":      c.Forward(other.ID, addr("10.0.0.3")),
		"forward an alias":      c.Forward(other.ID, addr("10.0.0.66")),
		"release what is not":   c.ReleaseAlias(primary.ID, prefix("10.0.0.64/30")),
		"unforward what is not": c.Unforward(primary.ID, addr("10.0.0.91")),
	} {
		if err == nil {
			t.Errorf("%s: it is allowed", name)
		}
	}
	compare(t, before, wholeOf(c))
	must(t, c.ReleaseAlias(primary.ID, prefix("10.0.0.64/29")))
	must(t, c.Unforward(primary.ID, addr("10.0.0.90")))
	must(t, c.Unforward(other.ID, addr("10.0.0.90")))
	must(t, c.Assign(other.ID, addrs("10.0.0.66", "10.0.0.90")...))
}

func TestVLANRules(t *testing.T) {
	c, primary := small(t)
	value(c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}))(t)
	var enis []string
	for range 4 {
		enis = append(enis, value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t).ID)
	}
	got := events(c)
	must(t, c.Attach("i-1", enis[0]))
	must(t, c.AttachVLAN("i-1", enis[1], enis[0], 10))
	must(t, c.AttachVLAN("i-1", enis[2], primary.ID, 10))
	before := wholeOf(c)
	for name, err := range map[string]error{
		"attached":             c.AttachVLAN("i-1", enis[1], primary.ID, 11),
		"no such parent":       c.AttachVLAN("i-1", enis[3], "port-x", 11),
		"on itself":            c.AttachVLAN("i-1", enis[3], enis[3], 11),
		"another's instance":   c.AttachVLAN("i-2", enis[3], primary.ID, 11),
		"on a VLAN":            c.AttachVLAN("i-1", enis[3], enis[1], 11),
		"an id that is taken":  c.AttachVLAN("i-1", enis[3], enis[0], 10),
		"0":                    c.AttachVLAN("i-1", enis[3], enis[0], 0),
		"4095":                 c.AttachVLAN("i-1", enis[3], enis[0], 4095),
		"detach of the parent": c.Detach("i-1", enis[0]),
	} {
		if err == nil {
			t.Errorf("%s: it is allowed", name)
		}
	}
	compare(t, before, wholeOf(c))
	h := gcpOf(c)
	compare(t, "0/\n1/\n", get(h, gcpNICs))
	compare(t, "0/\n1/\n", get(h, gcpInstance+"vlan-network-interfaces/"))
	compare(t, value(c.DescribeENI(enis[1]))(t).MAC.String(), get(h, gcpInstance+"vlan-network-interfaces/1/10/mac"))
	compare(t, gcpNICs+"1/", get(h, gcpInstance+"vlan-network-interfaces/1/10/parent-interface"))

	must(t, c.Detach("i-1", enis[1]))
	compare(t, "", value(c.DescribeENI(enis[1]))(t).VLANParent)
	must(t, c.AttachVLAN("i-1", enis[1], enis[0], 20))
	already := len(got())
	must(t, c.Terminate("i-1"))
	// Those without a NIC of their own go first.
	var gone []string
	for _, event := range got()[already:] {
		gone = append(gone, strings.Fields(event)[2])
	}
	compare(t, []string{enis[2], enis[1], enis[0], primary.ID}, gone)
	compare(t, "", value(c.DescribeENI(enis[1]))(t).VLANParent)
}

// The interfaces document says the same.
func TestDocumentOfAliasesAndVLANs(t *testing.T) {
	c, primary := small(t)
	must(t, c.AssignAlias(primary.ID, prefix("10.24.3.0/24")))
	must(t, c.Forward(primary.ID, addr("2001:db8:f::9")))
	e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	must(t, c.AttachVLAN("i-1", e.ID, primary.ID, 10))
	docs := value(document.Parse("test", value(c.Document("i-1"))(t)))(t).Interfaces()
	compare(t, []netip.Prefix{prefix("10.24.3.0/24"), prefix("2001:db8:f::9/128")}, docs[0].Local.Value)
	compare(t, metadata.VLAN{Parent: primary.MAC, ID: 10}, docs[1].VLAN.Value)
}
