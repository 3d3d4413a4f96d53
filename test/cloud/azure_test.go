package cloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

const (
	azureNetwork = "/metadata/instance/network?api-version=2021-08-01"
	azureID      = "/metadata/instance/compute/vmId?api-version=2021-08-01&format=text"
)

// azureGet is the body of a path, or the status where that is not 200.
func azureGet(h http.Handler, path string) string {
	return get(withHeader(h, "Metadata", "true"), path)
}

// withHeader adds a header to every request.
func withHeader(h http.Handler, name, value string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(name, value)
		h.ServeHTTP(w, r)
	})
}

func TestAzureDocument(t *testing.T) {
	h := tour(t).Handler("i-1", cloud.Azure)
	golden(t, "azure", indented(t, azureGet(h, azureNetwork)))
	compare(t, "i-1", azureGet(h, azureID))
	compare(t, azureGet(h, azureNetwork), azureGet(h, strings.Replace(azureNetwork, "network", "network/", 1)))
}

func TestAzureRules(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.Azure)
	metadata := []string{"Metadata", "true"}
	for _, tt := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"GET", azureNetwork, metadata, 200},
		{"GET", azureID, metadata, 200},
		{"GET", "/metadata/versions", metadata, 200},
		{"GET", "/metadata/instance/network?api-version=2017-04-02", metadata, 200},
		{"GET", azureNetwork, nil, 400},
		{"GET", azureNetwork, []string{"Metadata", "True"}, 400},
		{"GET", azureNetwork, append(metadata, "X-Forwarded-For", "10.0.0.3"), 400},
		{"GET", azureNetwork + "&api-version=2021-08-01", metadata, 400},
		{"GET", azureNetwork + "&a=%zz", metadata, 400},
		{"GET", "/metadata/instance/network", metadata, 400},
		{"GET", "/metadata/instance/network?api-version=2016-01-01", metadata, 400},
		{"GET", "/metadata/instance/compute/vmId?api-version=2021-08-01", metadata, 404},
		{"GET", "/metadata/instance/?api-version=2021-08-01", metadata, 404},
		{"POST", azureNetwork, metadata, 405},
	} {
		w := ask(h, tt.method, tt.path, tt.header...)
		var body any
		if tt.path != azureID || tt.want != 200 {
			must(t, json.Unmarshal(w.Body.Bytes(), &body))
		}
		if w.Code != tt.want {
			t.Errorf("%s %s %v: status %d, want %d", tt.method, tt.path, tt.header, w.Code, tt.want)
		}
	}
}

func TestAzureVersions(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.Azure)
	c.SetAzureStyle(cloud.AzureStyle{Newest: "2019-06-01"})
	compare(t, "400", azureGet(h, azureNetwork))
	compare(t, false, azureGet(h, strings.Replace(azureNetwork, "2021-08-01", "2019-06-01", 1)) == "400")
	compare(t, `{"apiVersions":["2017-04-02","2017-12-01","2019-06-01"]}`, azureGet(h, "/metadata/versions"))
	refused := ask(h, "GET", azureNetwork, "Metadata", "true").Body.String()
	compare(t, true, strings.HasSuffix(refused, `"newest-versions":["2019-06-01","2017-12-01","2017-04-02"]}`))
}

// Five requests in any second are answered, of each instance.
func TestAzureThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := small(t)
		value(c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}))(t)
		c.SetAzureStyle(cloud.AzureStyle{Throttle: 5})
		one, two := c.Handler("i-1", cloud.Azure), c.Handler("i-2", cloud.Azure)
		see := func() string { return azureGet(one, azureID) + " " + azureGet(two, azureID) }
		for range 5 {
			compare(t, "i-1", azureGet(one, azureID))
			time.Sleep(100 * time.Millisecond)
		}
		compare(t, "429 i-2", see())
		time.Sleep(499 * time.Millisecond)
		compare(t, "429 i-2", see())
		time.Sleep(time.Millisecond)
		compare(t, "i-1 i-2", see())
		compare(t, "429 i-2", see())
	})
}

// Every NIC comes first at some time, and every list has all.
func TestAzureShuffle(t *testing.T) {
	c := tour(t)
	h := c.Handler("i-1", cloud.Azure)
	listed := func() (macs []string) {
		var d struct {
			Interface []struct{ MACAddress string }
		}
		must(t, json.Unmarshal([]byte(azureGet(h, azureNetwork)), &d))
		for _, i := range d.Interface {
			macs = append(macs, i.MACAddress)
		}
		return macs
	}
	all := listed()
	compare(t, all, listed())
	c.SetAzureStyle(cloud.AzureStyle{Shuffle: true})
	first := map[string]bool{}
	for range len(all) {
		got := listed()
		first[got[0]] = true
		compare(t, slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(got)))
	}
	compare(t, len(all), len(first))
}

// An ENI is listed before its addresses are, and after it is gone.
func TestAzurePropagation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		h := c.Handler("i-1", cloud.Azure)
		c.SetPropagation(cloud.Propagation{Keys: time.Second, Linger: time.Second})
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
		const bare = `{"ipv4":{"ipAddress":[],"subnet":[]},"ipv6":{"ipAddress":[]},"macAddress":`
		alone := azureGet(h, azureNetwork)
		must(t, c.Attach("i-1", e.ID))
		compare(t, 1, strings.Count(azureGet(h, azureNetwork), bare))
		time.Sleep(time.Second)
		both := azureGet(h, azureNetwork)
		compare(t, "0 true", fmt.Sprint(strings.Count(both, bare), strings.Contains(both, `"10.0.1.3"`)))
		must(t, c.Detach("i-1", e.ID))
		compare(t, both, azureGet(h, azureNetwork))
		time.Sleep(time.Second)
		compare(t, alone, azureGet(h, azureNetwork))
		for kind, want := range map[cloud.FaultKind]string{cloud.FaultNoMAC: `{"interface":[]}`, cloud.FaultNoKeys: bare, cloud.FaultNoAddresses: `{"ipAddress":[],"subnet":[{"address":"10.0.0.0","prefix":"24"}]}`} {
			must(t, c.SetFault(cloud.Fault{Kind: kind}))
			compare(t, true, strings.Contains(azureGet(h, azureNetwork), want))
		}
		compare(t, 1, len(primary.Addresses))
	})
}

// Only the primary ENI's primary address is a client.
func TestPrimaryOnly(t *testing.T) {
	c := tour(t)
	for dialect, h := range map[cloud.Dialect]http.Handler{
		cloud.Azure: withHeader(c.HandlerByClient(cloud.Azure), "Metadata", "true"),
		cloud.OCI:   withHeader(c.HandlerByClient(cloud.OCI), "Authorization", "Bearer Oracle"),
	} {
		path := map[cloud.Dialect]string{cloud.Azure: azureID, cloud.OCI: "/opc/v2/instance/id"}[dialect]
		for client, want := range map[string]int{"10.0.0.3:1": 200, "10.0.0.20:1": 403, "10.0.1.4:1": 403, "192.0.2.1:1": 403} {
			r := httptest.NewRequest("GET", path, nil)
			r.RemoteAddr = client
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s from %s: status %d, want %d", dialect, client, w.Code, want)
			}
		}
	}
}
