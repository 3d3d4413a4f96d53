package openapi_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
)

const rolePath = "iam/instance-role-security-credentials"

// metadataText is what the metadata of i-1 answers.
func metadataText(t *testing.T, c *cloud.Cloud, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	c.Handler("i-1", cloud.JDCloud).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://169.254.169.254"+path, nil))
	return w.Code, w.Body.String()
}

// roleOf is what the metadata of i-1 says about its role.
func roleOf(t *testing.T, c *cloud.Cloud, base string) (code string, got openapi.Credentials) {
	t.Helper()
	status, body := metadataText(t, c, "/"+base+"/latest/"+rolePath)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	var document struct {
		Code       string
		AccessKey  string `json:"accessKey"`
		SecretKey  string `json:"secretKey"`
		Session    string `json:"sessionToken"`
		Expiration string `json:"expiration"`
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&document); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	got = openapi.Credentials{AccessKey: document.AccessKey, SecretKey: document.SecretKey, SessionToken: document.Session}
	if document.Expiration != "" {
		at, err := time.Parse(time.RFC3339, document.Expiration)
		if err != nil {
			t.Fatal(err)
		}
		got.Expiration = at
	}
	return document.Code, got
}

func withInstance(t *testing.T) (*cloud.Cloud, *openapi.Service) {
	t.Helper()
	c := cloud.New()
	if err := c.CreateSubnet(cloud.Subnet{ID: "subnet-a", IPv4: netip.MustParsePrefix("10.0.1.0/24")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateInstance("i-1", "subnet-a", cloud.ENIOptions{}); err != nil {
		t.Fatal(err)
	}
	return c, openapi.New(c)
}

// as signs with a role's credentials, as JD's SDKs do: the session token in base64.
func as(t *testing.T, c openapi.Credentials, method, path, body, service string) *http.Request {
	t.Helper()
	return signed(t, method, path, body, service, time.Now(), core.Credential{AccessKey: c.AccessKey, SecretKey: c.SecretKey},
		map[string]string{"X-Jdcloud-Security-Token": base64.StdEncoding.EncodeToString([]byte(c.SessionToken))})
}

func TestRoleInTheMetadata(t *testing.T) {
	c, s := withInstance(t)
	for _, base := range []string{"metadata", "jcs-metadata"} {
		if code, got := roleOf(t, c, base); code != "fail" || got != (openapi.Credentials{}) {
			t.Errorf("%s without a role: %q %+v", base, code, got)
		}
	}
	if err := s.BindRole("i-none"); err == nil {
		t.Error("a role is bound to an instance that does not exist")
	}
	if err := s.BindRole("i-1"); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"metadata", "jcs-metadata"} {
		code, got := roleOf(t, c, base)
		if diff := cmp.Diff(s.RoleCredentials("i-1"), got); code != "success" || diff != "" || got.SecretKey == "" {
			t.Errorf("%s: %q (-want +got):\n%s", base, code, diff)
		}
	}
	if _, body := metadataText(t, c, "/metadata/latest/"); strings.Contains(body, "iam") {
		t.Errorf("no document lists iam, and here it is: %s", body)
	}
	old := s.RoleCredentials("i-1")
	s.UnbindRole("i-1")
	if code, got := roleOf(t, c, "metadata"); code != "fail" || got != (openapi.Credentials{}) {
		t.Errorf("unbound: %q %+v", code, got)
	}
	if code, _ := served(t, s, as(t, old, http.MethodGet, listPath, "", "vpc")); code != http.StatusUnauthorized {
		t.Errorf("credentials of a role that is gone: %d", code)
	}
}

// TestRoleOfEveryInstance: a role for "" is one for instances made later as well.
func TestRoleOfEveryInstance(t *testing.T) {
	c, s := withInstance(t)
	if err := s.BindRole(""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}); err != nil {
		t.Fatal(err)
	}
	code, first := roleOf(t, c, "metadata")
	if second := s.RoleCredentials("i-2"); code != "success" || second == (openapi.Credentials{}) || second == first {
		t.Errorf("%q %+v %+v", code, first, second)
	}
	s.UnbindRole("")
	if code, _ := roleOf(t, c, "metadata"); code != "fail" || s.RoleCredentials("i-2") != (openapi.Credentials{}) {
		t.Errorf("unbound: %q", code)
	}
}

// TestRolePermissions: a role describes, and writes only where that was allowed.
func TestRolePermissions(t *testing.T) {
	c, s := withInstance(t)
	if err := s.BindRole("i-1"); err != nil {
		t.Fatal(err)
	}
	role := s.RoleCredentials("i-1")
	create := func() (int, core.ErrorResponse) {
		return served(t, s, as(t, role, http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces/", `{"subnetId":"subnet-a"}`, "vpc"))
	}
	if code, e := served(t, s, as(t, role, http.MethodGet, "/v1/regions/cn-north-1/instances/i-1", "", "vm")); code != http.StatusOK {
		t.Errorf("describe: %d %+v", code, e)
	}
	if code, e := create(); code != http.StatusForbidden || e.Status != "PERMISSION_DENIED" || len(c.ENIs()) != 1 {
		t.Errorf("create: %d %+v", code, e)
	}
	s.AllowRoleWrites("i-1")
	if code, e := create(); code != http.StatusOK || len(c.ENIs()) != 2 {
		t.Errorf("create where it is allowed: %d %+v", code, e)
	}
	other := openapi.New(c)
	if err := other.BindRole("i-1"); err != nil {
		t.Fatal(err)
	}
	other.AllowRoleWrites("")
	r := as(t, other.RoleCredentials("i-1"), http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces/", `{"subnetId":"subnet-a"}`, "vpc")
	if code, e := served(t, other, r); code != http.StatusOK || len(c.ENIs()) != 3 {
		t.Errorf("create where it is allowed to all: %d %+v", code, e)
	}
	if err := c.Terminate("i-1"); err != nil {
		t.Fatal(err)
	}
	if code, e := create(); code != http.StatusUnauthorized {
		t.Errorf("the role of an instance that is no more: %d %+v", code, e)
	}
}

func TestSessionTokens(t *testing.T) {
	_, s := withInstance(t)
	if err := s.BindRole("i-1"); err != nil {
		t.Fatal(err)
	}
	role := s.RoleCredentials("i-1")
	key := core.Credential{AccessKey: role.AccessKey, SecretKey: role.SecretKey}
	tests := []struct {
		name, header string
		want         int
		message      string
	}{
		{"right", base64.StdEncoding.EncodeToString([]byte(role.SessionToken)), http.StatusOK, ""},
		{"none", "", http.StatusUnauthorized, "missing"},
		{"another", base64.StdEncoding.EncodeToString([]byte("another")), http.StatusUnauthorized, "not that of"},
		{"not in base64", role.SessionToken, http.StatusUnauthorized, "not that of"},
	}
	for _, test := range tests {
		header := map[string]string{}
		if test.header != "" {
			header["X-Jdcloud-Security-Token"] = test.header
		}
		if code, e := served(t, s, signed(t, http.MethodGet, listPath, "", "vpc", time.Now(), key, header)); code != test.want || !strings.Contains(e.Message, test.message) {
			t.Errorf("%s: %d %+v, want %d %q", test.name, code, e, test.want, test.message)
		}
	}
	// A person's key has no token; one that the SDK sends for MFA is no harm.
	s.AddKey(access, secret)
	r := signed(t, http.MethodGet, listPath, "", "vpc", time.Now(), person, map[string]string{"X-Jdcloud-Security-Token": "bWZh"})
	if code, e := served(t, s, r); code != http.StatusOK {
		t.Errorf("a person with a token: %d %+v", code, e)
	}
}

// TestRenewal: credentials stay the same until a fifth of their life is left, and
// the old ones are good until they expire.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := withInstance(t)
		s.SetRoleLifetime(10 * time.Minute)
		if err := s.BindRole("i-1"); err != nil {
			t.Fatal(err)
		}
		status := func(c openapi.Credentials) int {
			code, _ := served(t, s, as(t, c, http.MethodGet, listPath, "", "vpc"))
			return code
		}
		first := s.RoleCredentials("i-1")
		if want := time.Now().Add(10 * time.Minute); !first.Expiration.Equal(want) {
			t.Errorf("expires %v, want %v", first.Expiration, want)
		}
		time.Sleep(8*time.Minute - time.Second) // of the bubble's clock
		if s.RoleCredentials("i-1") != first {
			t.Error("renewed too early")
		}
		time.Sleep(time.Second)
		second := s.RoleCredentials("i-1")
		if second.AccessKey == first.AccessKey || second.SessionToken == first.SessionToken {
			t.Error("not renewed with a fifth of its life left")
		}
		if a, b := status(first), status(second); a != http.StatusOK || b != http.StatusOK {
			t.Errorf("both are good for now: %d %d", a, b)
		}
		time.Sleep(2 * time.Minute)
		if a, b := status(first), status(second); a != http.StatusUnauthorized || b != http.StatusOK {
			t.Errorf("the first has expired: %d %d", a, b)
		}
	})
}

// TestRoleThroughTheSDK: the way of the agent, from the metadata to an answer, with the SDK's own header for the token.
func TestRoleThroughTheSDK(t *testing.T) {
	c, s := withInstance(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	if err := s.BindRole("i-1"); err != nil {
		t.Fatal(err)
	}
	_, role := roleOf(t, c, "metadata")
	vpc, _ := clients(t, server.URL, role.AccessKey, role.SecretKey)
	req := apis.NewDescribeSubnetRequest(region, "subnet-a")
	req.AddHeader("x-jdcloud-security-token", role.SessionToken)
	resp, err := vpc.DescribeSubnet(req)
	if got := did(t, resp, err).Result.Subnet.AddressPrefix; got != "10.0.1.0/24" {
		t.Errorf("prefix %q", got)
	}
	bare := apis.NewDescribeSubnetRequest(region, "subnet-a")
	resp, err = vpc.DescribeSubnet(bare)
	if e := asked(t, resp, err); e.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %+v", e)
	}
}
