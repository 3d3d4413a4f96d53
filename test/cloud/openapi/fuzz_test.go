package openapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"

	"enid/test/cloud"
)

// sdkSigned is a request signed by the SDK's signer for the service that it is of.
func sdkSigned(t testing.TB, method, uri, body, service string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, uri, strings.NewReader(body))
	signer := core.NewSigner(core.Credential{AccessKey: "A", SecretKey: "S"}, core.NewDummyLogger())
	if _, err := signer.Sign(r, strings.NewReader(body), service, "cn-north-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// populated is a service of a cloud that has one of everything.
func populated(t testing.TB) *Service {
	t.Helper()
	c := cloud.New()
	if err := c.CreateSubnet(cloud.Subnet{ID: "subnet-a", IPv4: netip.MustParsePrefix("10.0.1.0/24")}); err != nil {
		t.Fatal(err)
	}
	_, err := c.RunInstance(cloud.InstanceOptions{ID: "i-1", Subnet: "subnet-a"})
	if err == nil {
		_, err = c.CreateENI("subnet-a", cloud.ENIOptions{SecondaryCount: 2})
	}
	if err == nil {
		_, err = c.AllocateEIP("")
	}
	if err != nil {
		t.Fatal(err)
	}
	s := New(c)
	s.AddKey("A", "S")
	return s
}

var resources = []string{"port-a2uv000001", "port-a2uv000002", "i-1", "subnet-a", "fip-a2uv000001", cloud.DefaultVPC, "none"}

// TestOperationsOnNothing asks for each operation with each id and an empty
// body: it is answered or refused, never with an internal error.
func TestOperationsOnNothing(t *testing.T) {
	for shape, op := range operations {
		s := populated(t)
		for _, id := range resources {
			method, path, _ := strings.Cut(shape, " ")
			uri := "/v1/regions/cn-north-1/" + strings.ReplaceAll(strings.ReplaceAll(path, "*", id), ":", "%3A")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, sdkSigned(t, method, uri, "", op.service))
			if w.Code >= 500 || w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
				t.Errorf("%s %s: %d %s", method, uri, w.Code, w.Body)
			}
		}
		if n := s.Requests()[op.service+"."+op.name]; n != len(resources) {
			t.Errorf("%s: counted %d times", op.name, n)
		}
	}
}

// FuzzOperations: whatever an operation is told, the answer is an envelope and no internal error.
func FuzzOperations(f *testing.F) {
	shapes := slices.Sorted(maps.Keys(operations))
	f.Add(uint8(0), uint8(0), "pageSize=10&filters.1.name=role&filters.1.values.1=Primary", `{"subnetId":"subnet-a","secondaryIpCount":-1}`)
	f.Add(uint8(20), uint8(1), "type=secondaryIp&parentResourceId=none", `{"secondaryIps":["10.0.1.9",""],"secondaryIpMaskLen":99,"secondaryIpAddress":"10.0.1.64"}`)
	f.Add(uint8(30), uint8(2), "pageNumber=2", `{"metadata":[{}],"networks":[{"autoDelete":true}],"instanceSpec":{"primaryNetworkInterface":{"networkInterface":{}}}}`)
	f.Fuzz(func(t *testing.T, shape, id uint8, query, body string) {
		s := populated(t)
		key := shapes[int(shape)%len(shapes)]
		op := operations[key]
		result, err := op.run(s, call{id: resources[int(id)%len(resources)], query: newQuery(query), body: []byte(body)})
		w := httptest.NewRecorder()
		writeEnvelope(w, "r", result, err)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", key, w.Code, w.Body)
		}
	})
}

// TestDayOfTheCredential: a signing key is for one day, and that is the day of the request.
func TestDayOfTheCredential(t *testing.T) {
	s := populated(t)
	for _, day := range []string{time.Now().UTC().Format("20060102"), "20190214", "2019", ""} {
		r := httptest.NewRequest(http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces", nil)
		date := time.Now().UTC().Format(dateLayout)
		r.Header.Set(dateHeader, date)
		r.Header.Set(nonceHeader, "n")
		a := authorization{"A", day, "cn-north-1", "vpc", []string{"x-jdcloud-date", "x-jdcloud-nonce"}, ""}
		r.Header.Set("Authorization", algorithm+" Credential=A/"+day+"/cn-north-1/vpc/"+terminal+
			", SignedHeaders=x-jdcloud-date;x-jdcloud-nonce, Signature="+a.sign("S", date, canonicalRequest(r, nil, a.headers)))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if good := strings.HasPrefix(date, day) && day != "" && day != "2019"; (w.Code == http.StatusOK) != good {
			t.Errorf("day %q of %s: %d %s", day, date, w.Code, w.Body)
		}
	}
}

// TestMetadataAndAPITogether: the metadata asks for a role while the cloud is
// locked, and the service asks the cloud: neither waits for the other for ever.
func TestMetadataAndAPITogether(t *testing.T) {
	s := populated(t)
	if err := s.BindRole("i-1"); err != nil {
		t.Fatal(err)
	}
	s.SetRoleLifetime(time.Nanosecond) // minted anew each time
	metadata := s.cloud.Handler("i-1", cloud.JDCloud)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				metadata.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metadata/latest/iam/instance-role-security-credentials", nil))
			}
		})
		all.Go(func() {
			for range 50 {
				s.ServeHTTP(httptest.NewRecorder(), sdkSigned(t, http.MethodGet, "/v1/regions/cn-north-1/instances", "", "vm"))
				s.RoleCredentials("i-1")
			}
		})
	}
	all.Wait()
}
