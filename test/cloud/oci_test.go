package cloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"enid/test/cloud"
)

const ociVNICs = "/opc/v2/vnics/"

func ociGet(h http.Handler, path string) string {
	return get(withHeader(h, "Authorization", "Bearer Oracle"), path)
}

func TestOCIDocument(t *testing.T) {
	c := tour(t)
	h := c.Handler("i-1", cloud.OCI)
	vm := ociGet(h, ociVNICs)
	golden(t, "oci", vm+"\n")
	compare(t, vm, ociGet(h, strings.TrimSuffix(ociVNICs, "/")))
	compare(t, "i-1", ociGet(h, "/opc/v2/instance/id"))
	compare(t, true, strings.Contains(ociGet(h, "/opc/v2/instance/"), `"id": "i-1"`))
	e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	must(t, c.AttachVLAN("i-1", e.ID, c.Describe("i-1")[1].ID, 7))
	c.SetOCIStyle(cloud.OCIStyle{BareMetal: true})
	golden(t, "oci-metal", ociGet(h, ociVNICs)+"\n")
}

func TestOCIRules(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.OCI)
	bearer := []string{"Authorization", "Bearer Oracle"}
	for _, tt := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"GET", ociVNICs, bearer, 200},
		{"HEAD", ociVNICs, bearer, 200},
		{"GET", ociVNICs, nil, 403},
		{"GET", ociVNICs, []string{"Authorization", "Bearer oracle"}, 403},
		{"GET", ociVNICs, append(bearer, "X-Forwarded-For", "10.0.0.3"), 403},
		{"GET", ociVNICs, append(bearer, "X-Forwarded-Host", "a"), 403},
		{"GET", ociVNICs, append(bearer, "Forwarded", "for=10.0.0.3"), 403},
		{"GET", "/opc/v1/vnics/", nil, 404},
		{"GET", "/opc/v1/vnics/", bearer, 404},
		{"GET", "/opc/v2/nothing", bearer, 404},
		{"PUT", ociVNICs, bearer, 405},
	} {
		w := ask(h, tt.method, tt.path, tt.header...)
		if w.Code != tt.want {
			t.Errorf("%s %s %v: status %d, want %d", tt.method, tt.path, tt.header, w.Code, tt.want)
		}
	}
}

// Faults leave the list of VNICs, and of each what the fault spares.
func TestOCIFaults(t *testing.T) {
	c, primary := small(t)
	h := c.Handler("i-1", cloud.OCI)
	must(t, c.Assign(primary.ID, addrs("2001:db8:0:a::20")...))
	keys := func() (names int) {
		var list []map[string]any
		must(t, json.Unmarshal([]byte(ociGet(h, ociVNICs)), &list))
		for _, v := range list {
			names += len(v)
		}
		return names
	}
	compare(t, 9, keys())
	for kind, want := range map[cloud.FaultKind]int{cloud.FaultNoMAC: 0, cloud.FaultNoKeys: 2, cloud.FaultNoAddresses: 5} {
		must(t, c.SetFault(cloud.Fault{Kind: kind}))
		compare(t, fmt.Sprint(kind, want), fmt.Sprint(kind, keys()))
	}
	compare(t, 404, ask(c.Handler("i-9", cloud.OCI), "GET", ociVNICs).Code)
}
