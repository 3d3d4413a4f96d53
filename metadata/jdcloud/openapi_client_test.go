package jdcloud

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
)

func someCredentials(t *testing.T) credentials {
	t.Helper()
	c, err := parseCredentials(`{"accessKey":"AK","secretKey":"SK","sessionToken":"TOKEN"}`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends one request to a service that answers with handler.
func ask(t *testing.T, handler http.HandlerFunc) (*apiClient, string, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c := newAPIClient(server.URL)
	t.Cleanup(c.http.CloseIdleConnections)
	result, err := c.get(t.Context(), apis.NewDescribeSubnetRequest("cn-north-1", "subnet-1"), someCredentials(t))
	return c, string(result), err
}

func TestAPIAnswers(t *testing.T) {
	t.Parallel()
	body := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, text) }
	}
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		result  string
		err     string // part of it
		counted string
	}{
		"result":        {body(200, `{"requestId":"r","result":{"a":1}}`), `{"a":1}`, "", "200"},
		"error of zero": {body(200, `{"error":{"code":0,"status":""},"result":[]}`), `[]`, "", "200"},
		"refused":       {body(404, `{"requestId":"r","error":{"code":404,"status":"NOT_FOUND","message":"Resource 'x' not found"}}`), "", `answered 404 NOT_FOUND: "Resource 'x' not found"`, "404"},
		"in a 200":      {body(200, `{"error":{"code":403,"status":"DENIED"}}`), "", "answered 403 DENIED", "403"},
		"no envelope":   {body(502, `<html>`), "", "answered 502 Bad Gateway", "502"},
		"long message":  {body(400, `{"error":{"code":400,"message":"`+strings.Repeat("x", 5000)+`"}}`), "", strings.Repeat("x", 200) + `"`, "400"},
		"page":          {body(200, `<html>`), "", "not the JSON of an OpenAPI", "bad-answer"},
		"empty":         {body(200, ``), "", "not the JSON of an OpenAPI", "bad-answer"},
		"no result":     {body(200, `{"requestId":"r"}`), "", "not the JSON of an OpenAPI", "bad-answer"},
		"too long":      {body(200, `{"result":"`+strings.Repeat("x", apiBody)+`"}`), "", "answered more than 1048576 bytes", "too-long"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("a redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, "", "answered 302 Found", "302"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"result":`)
		}, "", "unexpected EOF", "error"},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", "EOF", "error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, result, err := ask(t, tt.handler)
			if result != tt.result || (err == nil) != (tt.err == "") {
				t.Errorf("got %q, %v", result, err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.err) || !strings.HasPrefix(err.Error(), "OpenAPI "+c.base+": GET /v1/regions/cn-north-1/subnets/subnet-1: ") || len(err.Error()) > 500) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(map[string]uint64{"openapi-" + tt.counted: 1}, c.requests()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSigned: a request bears what the SDK's client sends, signed; nothing of the secret key is in it.
func TestSigned(t *testing.T) {
	t.Parallel()
	var got *http.Request
	_, _, err := ask(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, `{"result":{}}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if token, _ := base64.StdEncoding.DecodeString(got.Header.Get("x-jdcloud-security-token")); string(token) != "TOKEN" {
		t.Errorf("session token %q", token)
	}
	authorization := got.Header.Get("Authorization")
	for _, part := range []string{"JDCLOUD2-HMAC-SHA256 Credential=AK/", "/cn-north-1/vpc/jdcloud2_request", "SignedHeaders=content-type;host;x-jdcloud-date;x-jdcloud-nonce;x-jdcloud-security-token,"} {
		if !strings.Contains(authorization, part) {
			t.Errorf("Authorization %s lacks %s", authorization, part)
		}
	}
	if got.UserAgent() != "enid" || got.Header.Get("Content-Type") != "application/json" || strings.Contains(fmt.Sprint(got.Header), "SK") {
		t.Errorf("headers %v", got.Header)
	}
	at, err := time.Parse("20060102T150405Z", got.Header.Get("x-jdcloud-date"))
	if err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("date %v: %v", at, err)
	}
}

// TestAPIQuery: one request names all ENIs, in the form of the SDK.
func TestAPIQuery(t *testing.T) {
	s := newService()
	query := ""
	s.fails = func(r *http.Request) int {
		if r.URL.Path == enisPath {
			query = r.URL.RawQuery
		}
		return 0
	}
	s.openAPI().complete(t.Context(), said("port-2"))
	want := "filters.1.name=networkInterfaceIds&filters.1.values.1=port-1&filters.1.values.2=port-2&pageNumber=1&pageSize=100"
	if query != want {
		t.Errorf("query %s\nwant  %s", query, want)
	}
}

func TestAPIPathIsEscaped(t *testing.T) {
	path, err := apiPath(apis.NewDescribeSubnetRequest("cn-north-1", "a b/ü?x=y"))
	if err != nil || strings.ContainsAny(path, " ü") {
		t.Errorf("%s, %v", path, err)
	}
	for id, want := range map[string]bool{"subnet-1": true, "../x": false, "a?b": false, "": false, "{regionId}": false} {
		s := newService()
		_, err := s.openAPI().describeSubnet(t.Context(), id)
		if bad, _ := errors.AsType[*answerError](err); (bad == nil) != want || !want && len(s.asked) > 0 {
			t.Errorf("%q: %v, asked %v", id, err, s.asked)
		}
	}
}

// TestAPINoProxy: the environment's proxy would be told the session token.
func TestAPINoProxy(t *testing.T) {
	if newAPIClient("https://x").http.Transport.(*http.Transport).Proxy != nil {
		t.Error("the client would take a proxy")
	}
}

// TestAPIConnection: the requests of one question take one connection.
func TestAPIConnection(t *testing.T) {
	t.Parallel()
	s := newService()
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprint(w, s.now[r.URL.Path])
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	o := newOpenAPI(server.URL, time.Second, s.metadata)
	t.Cleanup(o.client.http.CloseIdleConnections)
	if got := o.complete(t.Context(), said()); !got.Interfaces[0].Whole() || opened.Load() != 1 {
		t.Errorf("%d connections: %v", opened.Load(), got.Problems)
	}
}

func TestUseOpenAPI(t *testing.T) {
	for endpoint, want := range map[string]string{"": "https://vpc.jdcloud-api.com", "http://127.0.0.1:80/": "http://127.0.0.1:80", "https://x": "https://x"} {
		s := newSource(t, "")
		if err := s.UseOpenAPI(endpoint, time.Second); err != nil || s.openAPI.client.base != want {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	s := newSource(t, "")
	if err := s.UseOpenAPI("vpc.jdcloud-api.com", time.Second); err == nil || !strings.HasPrefix(err.Error(), "OpenAPI: ") {
		t.Errorf("an endpoint without a scheme: %v", err)
	}
	if got := s.Complete(t.Context(), metadata.Snapshot{Provider: "x"}); got.Provider != "x" || len(got.Problems) > 0 {
		t.Errorf("without an OpenAPI: %+v", got)
	}
	if _, counted := s.Requests()["openapi-200"]; counted {
		t.Error("requests to an OpenAPI that is not used are counted")
	}
}
