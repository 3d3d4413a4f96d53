package openapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	vmclient "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/client"
	vpcclient "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/client"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
)

const (
	region = cloud.Region
	access = "PERSON"
	secret = "a person's secret"
)

// rig is a cloud with one subnet, subnet-a 10.0.1.0/24, its service, and the
// official SDK as client.
type rig struct {
	cloud   *cloud.Cloud
	service *openapi.Service
	vpc     *vpcclient.VpcClient
	vm      *vmclient.VmClient
}

func newRig(t *testing.T) rig {
	t.Helper()
	c := cloud.New()
	if err := c.CreateSubnet(cloud.Subnet{ID: "subnet-a", IPv4: netip.MustParsePrefix("10.0.1.0/24")}); err != nil {
		t.Fatal(err)
	}
	s := openapi.New(c)
	s.AddKey(access, secret)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	vpc, vm := clients(t, server.URL, access, secret)
	return rig{c, s, vpc, vm}
}

func clients(t *testing.T, base, access, secret string) (*vpcclient.VpcClient, *vmclient.VmClient) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	config := core.NewConfig()
	config.SetScheme(u.Scheme)
	config.SetEndpoint(u.Host)
	credential := core.NewCredentials(access, secret)
	vpc, vm := vpcclient.NewVpcClient(credential), vmclient.NewVmClient(credential)
	vpc.DisableLogger()
	vm.DisableLogger()
	vpc.SetConfig(config)
	vm.SetConfig(config)
	return vpc, vm
}

// asked gives up the test where the SDK failed or got no request id, and tells the error in the answer.
func asked(t *testing.T, resp any, err error) core.ErrorResponse {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct {
		RequestID string             `json:"requestId"`
		Error     core.ErrorResponse `json:"error"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		t.Fatal(err)
	}
	if envelope.RequestID == "" {
		t.Fatalf("no request id in %s", b)
	}
	return envelope.Error
}

// did gives up the test where an operation of the SDK failed.
func did[R any](t *testing.T, resp *R, err error) *R {
	t.Helper()
	if e := asked(t, resp, err); e != (core.ErrorResponse{}) {
		t.Fatalf("%T: %+v", resp, e)
	}
	return resp
}

// signed is a request as the SDK makes it, with its own signer: the colon of an
// action is escaped on the wire, and so in what is signed.
func signed(t *testing.T, method, path, body, service string, at time.Time, key core.Credential, header map[string]string) *http.Request {
	t.Helper()
	return signedFor(t, region, method, path, body, service, at, key, header)
}

// signedFor is signed for any region, whichever the path names.
func signedFor(t *testing.T, region, method, path, body, service string, at time.Time, key core.Credential, header map[string]string) *http.Request {
	t.Helper()
	path, query, _ := strings.Cut(path, "?")
	r := httptest.NewRequest(method, strings.ReplaceAll(path, ":", "%3A")+"?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	signer := core.NewSigner(key, core.NewDummyLogger())
	if _, err := signer.Sign(r, strings.NewReader(body), service, region, at); err != nil {
		t.Fatal(err)
	}
	return r
}

// served is the status of an answer and what it says.
func served(t *testing.T, s http.Handler, r *http.Request) (int, core.ErrorResponse) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var envelope struct {
		RequestID string             `json:"requestId"`
		Error     core.ErrorResponse `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &envelope); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if envelope.RequestID == "" || w.Header().Get("X-Jdcloud-Request-Id") != envelope.RequestID {
		t.Errorf("no request id in %s", w.Body)
	}
	if w.Code != http.StatusOK && envelope.Error.Code != w.Code {
		t.Errorf("HTTP status %d, and in the envelope %d", w.Code, envelope.Error.Code)
	}
	return w.Code, envelope.Error
}
