package cloud_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"

	"enid/test/cloud"
)

func TestTrees(t *testing.T) {
	c := tour(t)
	c.SetTokenRequired(false)
	golden(t, "ec2", walk(c.Handler("i-1", cloud.EC2), "/latest/", lfList))
	jd := c.Handler("i-1", cloud.JDCloud)
	tree := walk(jd, "/metadata/latest/", jsonList)
	golden(t, "jdcloud", tree)
	compare(t, tree, strings.ReplaceAll(walk(jd, "/jcs-metadata/latest/", jsonList), "/jcs-metadata/", "/metadata/"))
	must(t, c.AutoCustom("i-1", true))
	c.SetJDStyle(cloud.JDStyle{Bare: true, NoSlash: true, FromZero: true, Holes: true})
	golden(t, "jdcloud-bare", walk(jd, "/metadata/latest/", jsonSlashless))
}

func TestDocument(t *testing.T) {
	c := tour(t)
	y, j := value(c.Document("i-1"))(t), value(c.DocumentJSON("i-1"))(t)
	golden(t, "document-yaml", string(y))
	golden(t, "document-json", string(j))
	var fromYAML, fromJSON any
	must(t, yaml.Unmarshal(y, &fromYAML))
	again := value(json.Marshal(fromYAML))(t)
	must(t, json.Unmarshal(again, &fromYAML))
	must(t, json.Unmarshal(j, &fromJSON))
	compare(t, fromJSON, fromYAML)
	if _, err := c.Document("i-9"); err == nil {
		t.Error("a document for an instance that does not exist")
	}
	compare(t, http.StatusNotImplemented, ask(c.Handler("i-1", cloud.File), "GET", "/").Code)
}

const (
	tokenPath = "/latest/api/token"
	ttl       = "X-aws-ec2-metadata-token-ttl-seconds"
	token     = "X-aws-ec2-metadata-token"
)

func TestEC2Token(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.EC2)
	for _, tt := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"PUT", tokenPath, []string{ttl, "1"}, 200},
		{"PUT", tokenPath, []string{ttl, "21600"}, 200},
		{"PUT", tokenPath, nil, 400},
		{"PUT", tokenPath, []string{ttl, "0"}, 400},
		{"PUT", tokenPath, []string{ttl, "21601"}, 400},
		{"PUT", tokenPath, []string{ttl, "a minute"}, 400},
		{"PUT", tokenPath, []string{ttl, "60", "X-Forwarded-For", "10.0.0.3"}, 403},
		{"PUT", tokenPath, []string{ttl, "60", "X-Forwarded-For", ""}, 403},
		{"PUT", "/2021-03-23/api/token", []string{ttl, "60"}, 403},
		{"GET", tokenPath, nil, 405},
		{"POST", "/latest/meta-data/mac", nil, 405},
		{"GET", "/latest/meta-data/mac", nil, 401},
		{"GET", "/latest/meta-data/mac", []string{token, "made up"}, 401},
		{"GET", "/latest/meta-data/no-such-key", nil, 401},
	} {
		w := ask(h, tt.method, tt.path, tt.header...)
		if w.Code != tt.want {
			t.Errorf("%s %s %v: status %d, want %d", tt.method, tt.path, tt.header, w.Code, tt.want)
		}
		if isPage := strings.HasPrefix(w.Body.String(), "<?xml"); isPage != (tt.want != 200) {
			t.Errorf("%s %s %v: body %q", tt.method, tt.path, tt.header, w.Body)
		}
	}
}

func TestEC2TokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		value(c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}))(t)
		h := c.Handler("i-1", cloud.EC2)
		put := ask(h, "PUT", tokenPath, ttl, "60")
		compare(t, "60", put.Header().Get(ttl))
		mac := func(h http.Handler) *httptest.ResponseRecorder {
			return ask(h, "GET", "/latest/meta-data/mac", token, put.Body.String())
		}
		compare(t, primary.MAC.String(), mac(h).Body.String())
		compare(t, 401, mac(c.Handler("i-2", cloud.EC2)).Code)
		time.Sleep(59 * time.Second)
		compare(t, "1", mac(h).Header().Get(ttl))
		time.Sleep(time.Second)
		compare(t, 401, mac(h).Code)
		c.SetTokenRequired(false)
		compare(t, 401, mac(h).Code) // a wrong token is wrong also where none is needed
		compare(t, 200, ask(h, "GET", "/latest/meta-data/mac").Code)

		c.SetTokenRequired(true)
		put = ask(h, "PUT", tokenPath, ttl, "60")
		compare(t, 200, mac(h).Code)
		c.RevokeTokens()
		compare(t, 401, mac(h).Code)
	})
}

func TestEC2Absent(t *testing.T) {
	c, primary := small(t)
	c.SetTokenRequired(false)
	h := c.Handler("i-1", cloud.EC2)
	nic := "/latest/meta-data/network/interfaces/macs/" + primary.MAC.String()
	for path, want := range map[string]string{
		nic + "/device-number":                      "0",
		nic + "/local-ipv4s":                        "10.0.0.3",
		nic + "/local-ipv4s/":                       "404",
		nic + "/network-card":                       "404",
		nic + "/ipv6s":                              "404",
		nic + "/ipv4-prefix":                        "404",
		nic + "/ipv6-prefix":                        "404",
		nic + "/public-ipv4s":                       "404",
		nic + "/ipv4-associations/":                 "404",
		nic + "/subnet-ipv6-cidr-blocks":            "2001:db8:0:a::/64",
		"/latest/meta-data/public-ipv4":             "404",
		"/latest/meta-data/network/interfaces/macs": primary.MAC.String() + "/",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:99/": "404",
		"/": "latest/",
	} {
		compare(t, path+" "+want, path+" "+get(h, path))
	}
	compare(t, 0, ask(h, "HEAD", "/latest/meta-data/mac").Code-200)
}

func TestJDCloudRules(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.JDCloud)
	must(t, c.SetCustom("i-1", "enid", "a: \"b\"\n"))
	for path, want := range map[string]string{
		"/metadata/latest/local-ipv4":                                     `"10.0.0.3"`, // not listed, and there
		"/metadata/latest/network":                                        `["1/"]`,
		"/metadata/latest/network/1/floating-ipv4":                        `""`,
		"/metadata/latest/network/2/":                                     "404",
		"/metadata/latest/network/1/mac/":                                 "404",
		"/metadata/1.0/":                                                  "404",
		"/latest/meta-data/":                                              "404",
		"/jcs-metadata/latest/attributes/customdata/custom-metadata/ENID": `"a: \"b\"\n"`,
	} {
		compare(t, path+" "+want, path+" "+get(h, path))
	}
	compare(t, 405, ask(h, "PUT", "/metadata/latest/").Code)
	compare(t, 404, ask(c.Handler("i-9", cloud.JDCloud), "GET", "/metadata/latest/").Code)
}

// After the detach of the first of three secondary ENIs, indexes close up or keep
// a hole; the hole is the next ENI's.
func TestJDCloudIndexes(t *testing.T) {
	c := tour(t)
	h := c.Handler("i-1", cloud.JDCloud)
	for _, tt := range []struct {
		style cloud.JDStyle
		want  string
	}{
		{cloud.JDStyle{}, `["1/","2/","3/"]`},
		{cloud.JDStyle{Holes: true}, `["1/","3/","4/"]`},
		{cloud.JDStyle{FromZero: true, NoSlash: true}, `["0","1","2"]`},
		{cloud.JDStyle{FromZero: true, Holes: true}, `["0/","2/","3/"]`},
	} {
		c.SetJDStyle(tt.style)
		compare(t, tt.want, get(h, "/metadata/latest/network/"))
	}
	e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	must(t, c.Attach("i-1", e.ID))
	compare(t, `["0/","1/","2/","3/"]`, get(h, "/metadata/latest/network/"))
	compare(t, `"`+e.ID+`"`, get(h, "/metadata/latest/network/1/network-interface-id"))
}

func TestHandlerByClient(t *testing.T) {
	c := tour(t)
	value(c.CreateInstance("i-2", "subnet-b", cloud.ENIOptions{Primary: addr("10.0.1.99")}))(t)
	h := c.HandlerByClient(cloud.JDCloud)
	for client, want := range map[string]string{
		"10.0.0.3:1":           `"i-1"`,
		"[::ffff:10.0.0.3]:1":  `"i-1"`,
		"[2001:db8:0:a::20]:1": `"i-1"`,
		"10.0.1.4:1":           `"i-1"`,
		"10.0.1.99:1":          `"i-2"`,
		"10.0.0.20:1":          "client 10.0.0.20 has the primary address of no attached ENI: ask from one\n",
		"10.0.1.3:1":           "client 10.0.1.3 has the primary address of no attached ENI: ask from one\n", // detached
		"192.0.2.1:1":          "client 192.0.2.1 has the primary address of no attached ENI: ask from one\n",
	} {
		r := httptest.NewRequest("GET", "/metadata/latest/instance-id", nil)
		r.RemoteAddr = client
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		compare(t, client+" "+want, client+" "+w.Body.String())
		compare(t, !strings.HasPrefix(want, "client"), w.Code == 200)
	}
}

func TestRequests(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.JDCloud)
	get(h, "/metadata/latest/network/")
	get(h, "/metadata/latest/network/")
	ask(h, "PUT", "/metadata/latest/network/")
	get(h, "/absent")
	get(c.Handler("i-9", cloud.JDCloud), "/absent")
	compare(t, []cloud.Request{
		{Method: "GET", Path: "/absent", Count: 1},
		{Method: "GET", Path: "/metadata/latest/network/", Count: 2},
		{Method: "PUT", Path: "/metadata/latest/network/", Count: 1},
	}, c.Requests("i-1"))
	c.ResetRequests("i-1")
	compare(t, 0, len(c.Requests("i-1"))+len(c.Requests("i-9")))
}
