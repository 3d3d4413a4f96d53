package openapi_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	"pgregory.net/rapid"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
)

var person = core.Credential{AccessKey: access, SecretKey: secret}

const (
	eniPath    = "/v1/regions/cn-north-1/networkInterfaces/port-1"
	listPath   = "/v1/regions/cn-north-1/networkInterfaces/?filters.1.name=subnetId&filters.1.values.1=a%20b%2Bc&pageSize=50"
	assignPath = eniPath + "%3AassignSecondaryIps"
)

// TestSignatureOfTheSDK: what the SDK's signer makes is right, whatever the path, query, body and headers.
func TestSignatureOfTheSDK(t *testing.T) {
	s := openapi.New(cloud.New())
	s.AddKey(access, secret)
	tests := []struct{ name, method, path, body string }{
		{"a path with a colon", http.MethodPost, assignPath, `{"secondaryIpCount":1}`},
		{"a query", http.MethodGet, listPath, ""},
		{"no body", http.MethodDelete, eniPath, ""},
		{"a body in Chinese", http.MethodPatch, eniPath, `{"description":"弹性网卡"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := signed(t, test.method, test.path, test.body, "vpc", time.Now(), person, map[string]string{"X-My-Header": "a   b"})
			if code, e := served(t, s, r); code == http.StatusUnauthorized {
				t.Error(e)
			}
		})
	}
	t.Run("a colon that is escaped only in what is signed", func(t *testing.T) {
		r := signed(t, http.MethodPost, assignPath, `{}`, "vpc", time.Now(), person, nil)
		r.RequestURI = strings.Replace(r.RequestURI, "%3A", ":", 1)
		if code, e := served(t, s, r); code == http.StatusUnauthorized {
			t.Error(e)
		}
	})
}

func TestRefusedSignatures(t *testing.T) {
	type change = func(*http.Request)
	set := func(name, value string) change { return func(r *http.Request) { r.Header.Set(name, value) } }
	replace := func(old, with string) change {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
		}
	}
	tests := []struct {
		name    string
		change  change
		message string
	}{
		{"no signature", func(r *http.Request) { r.Header.Del("Authorization") }, "authorization header"},
		{"another algorithm", replace("JDCLOUD2", "JDCLOUD9"), "authorization header"},
		{"short signature", func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")[:150]) }, "authorization header"},
		{"unknown access key", replace(access, "NOBODY"), "not known"},
		{"other body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"force":false}`)) }, "does not match"},
		{"other path", func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "port-1", "port-2", 1) }, "does not match"},
		{"other query", func(r *http.Request) { r.RequestURI += "?a=b" }, "does not match"},
		{"other method", func(r *http.Request) { r.Method = http.MethodPut }, "does not match"},
		{"other nonce", set("X-Jdcloud-Nonce", "another"), "does not match"},
		{"no nonce", func(r *http.Request) { r.Header.Del("X-Jdcloud-Nonce") }, "x-jdcloud-nonce is missing"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Jdcloud-Date") }, "x-jdcloud-date is missing"},
		{"date not signed", replace("x-jdcloud-date;", ""), "not signed"},
		{"token not signed", set("X-Jdcloud-Security-Token", "dG9rZW4="), "not signed"},
		{"other region", replace("cn-north-1", "cn-south-1"), "does not match"},
		{"other service", replace("/vpc/", "/vm/"), "does not match"},
	}
	s := openapi.New(cloud.New())
	s.AddKey(access, secret)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := signed(t, http.MethodPost, assignPath, `{"force":true}`, "vpc", time.Now(), person, nil)
			test.change(r)
			code, e := served(t, s, r)
			if code != http.StatusUnauthorized || e.Status != "UNAUTHENTICATED" || !strings.Contains(e.Message, test.message) {
				t.Errorf("%d %+v, want 401 with %q", code, e, test.message)
			}
		})
	}
	t.Run("other secret", func(t *testing.T) {
		r := signed(t, http.MethodPost, assignPath, `{}`, "vpc", time.Now(), core.Credential{AccessKey: access, SecretKey: "wrong"}, nil)
		if code, e := served(t, s, r); code != http.StatusUnauthorized {
			t.Errorf("%d %+v, want 401", code, e)
		}
	})
}

// TestSignatureIsForOneService: a signature for vpc opens nothing of vm, one for another region nothing here.
func TestSignatureIsForOneService(t *testing.T) {
	s := openapi.New(cloud.New())
	s.AddKey(access, secret)
	r := signed(t, http.MethodGet, "/v1/regions/cn-north-1/instances", "", "vpc", time.Now(), person, nil)
	if code, e := served(t, s, r); code != http.StatusForbidden || e.Status != "PERMISSION_DENIED" {
		t.Errorf("%d %+v, want 403", code, e)
	}
	r = signedFor(t, "cn-south-1", http.MethodGet, listPath, "", "vpc", time.Now(), person, nil)
	if code, e := served(t, s, r); code != http.StatusForbidden || e.Status != "PERMISSION_DENIED" {
		t.Errorf("%d %+v, want 403", code, e)
	}
}

// TestDateWindow: a request is good a quarter of an hour to either side of the service's clock.
func TestDateWindow(t *testing.T) {
	tests := []struct {
		off  time.Duration
		want int
	}{
		{-15*time.Minute - time.Second, http.StatusUnauthorized},
		{-15 * time.Minute, http.StatusOK},
		{0, http.StatusOK},
		{15 * time.Minute, http.StatusOK},
		{15*time.Minute + time.Second, http.StatusUnauthorized},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := openapi.New(cloud.New())
			s.AddKey(access, secret)
			r := signed(t, http.MethodGet, listPath, "", "vpc", time.Now().Add(test.off), person, nil)
			if code, e := served(t, s, r); code != test.want {
				t.Errorf("%v: %d %+v, want %d", test.off, code, e, test.want)
			}
		})
	}
}

// TestAnyChangedByteIsRefused: whichever byte changes of what is signed, the signature is no good any more.
func TestAnyChangedByteIsRefused(t *testing.T) {
	s := openapi.New(cloud.New())
	s.AddKey(access, secret)
	const body = `{"secondaryIps":["10.0.1.9"],"force":true}`
	rapid.Check(t, func(rt *rapid.T) {
		path := rapid.SampledFrom([]string{assignPath, listPath}).Draw(rt, "path")
		r := signed(t, http.MethodPost, path, body, "vpc", time.Now(), person, nil)
		part := rapid.SampledFrom([]string{"uri", "body", "authorization", "date", "nonce", "host", "type", "method"}).Draw(rt, "part")
		mutate := func(s string) string {
			i := rapid.IntRange(0, len(s)-1).Draw(rt, "at")
			c := byte(rapid.IntRange('!', '~').Draw(rt, "byte"))
			return s[:i] + string(c) + s[i+1:]
		}
		before, after := "", ""
		change := func(from string) string { before, after = from, mutate(from); return after }
		switch part {
		case "uri":
			r.RequestURI = change(r.RequestURI)
		case "body":
			r.Body = io.NopCloser(strings.NewReader(change(body)))
		case "authorization":
			r.Header.Set("Authorization", change(r.Header.Get("Authorization")))
		case "date":
			r.Header.Set("X-Jdcloud-Date", change(r.Header.Get("X-Jdcloud-Date")))
		case "nonce":
			r.Header.Set("X-Jdcloud-Nonce", change(r.Header.Get("X-Jdcloud-Nonce")))
		case "host":
			r.Host = change(r.Host)
		case "type":
			r.Header.Set("Content-Type", change(r.Header.Get("Content-Type")))
		case "method":
			r.Method = change(r.Method)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if upper(before) != upper(after) && w.Code != http.StatusUnauthorized {
			rt.Fatalf("%s\n%s\n%s\nis answered %d", part, before, after, w.Code)
		}
	})
}

var escapes = regexp.MustCompile("%[0-9A-Fa-f]{2}")

// upper makes %3a and %3A equal, which mean the same.
func upper(s string) string { return escapes.ReplaceAllStringFunc(s, strings.ToUpper) }

// FuzzAuthorization: no header brings the service down, none but the right one opens it.
func FuzzAuthorization(f *testing.F) {
	f.Add("JDCLOUD2-HMAC-SHA256 Credential=PERSON/20190214/cn-north-1/vpc/jdcloud2_request, SignedHeaders=x-jdcloud-date, Signature="+strings.Repeat("0", 64), "", "a=%zz&%=%2", "")
	f.Add("JDCLOUD2-HMAC-SHA256 Credential=////, SignedHeaders=, Signature=", base64.StdEncoding.EncodeToString([]byte("token")), "=", "20190214T104514Z")
	s := openapi.New(cloud.New())
	s.AddKey(access, secret)
	f.Fuzz(func(t *testing.T, authorization, token, query, date string) {
		r := httptest.NewRequest(http.MethodGet, "http://vpc.example/v1/regions/cn-north-1/networkInterfaces", nil)
		r.RequestURI += "?" + query
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Jdcloud-Security-Token", token)
		r.Header.Set("X-Jdcloud-Date", date)
		r.Header.Set("X-Jdcloud-Nonce", "n")
		if code, e := served(t, s, r); code != http.StatusUnauthorized {
			t.Errorf("%d %+v", code, e)
		}
	})
}
