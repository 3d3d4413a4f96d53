package cloud_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

// server is i-1's metadata on a socket, and a client that follows no redirect.
func server(t *testing.T, c *cloud.Cloud, d cloud.Dialect) (get func(ctx context.Context, path string) (*http.Response, string, error)) {
	t.Helper()
	s := httptest.NewServer(c.Handler("i-1", d))
	t.Cleanup(s.Close)
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context, path string) (*http.Response, string, error) {
		r := value(http.NewRequestWithContext(ctx, "GET", s.URL+path, nil))(t)
		res, err := client.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res, string(body), err
	}
}

func TestFaultsOfHTTP(t *testing.T) {
	c, _ := small(t)
	get := server(t, c, cloud.JDCloud)
	const whole = `["local-ipv4","floating-ipv4","mac","network-interface-id","subnet-id","security-group-ids"]`
	for _, tt := range []struct {
		fault  cloud.Fault
		status int
		body   string
		err    error
		length int64
	}{
		{fault: cloud.Fault{Kind: cloud.FaultStatus, Status: 500}, status: 500, body: "Internal Server Error\n", length: 22},
		{fault: cloud.Fault{Kind: cloud.FaultStatus, Status: 401}, status: 401, body: "Unauthorized\n", length: 13},
		{fault: cloud.Fault{Kind: cloud.FaultStatus, Status: 404}, status: 404, body: "Not Found\n", length: 10},
		{fault: cloud.Fault{Kind: cloud.FaultEmpty}, status: 200},
		{fault: cloud.Fault{Kind: cloud.FaultReset}, err: syscall.ECONNRESET},
		{fault: cloud.Fault{Kind: cloud.FaultCutLength}, status: 200, body: whole[:len(whole)/2], err: io.ErrUnexpectedEOF, length: int64(len(whole))},
		{fault: cloud.Fault{Kind: cloud.FaultCutChunked}, status: 200, body: whole[:len(whole)/2], err: io.ErrUnexpectedEOF, length: -1},
		{fault: cloud.Fault{Kind: cloud.FaultCutBody}, status: 200, body: whole[:len(whole)/2], length: int64(len(whole) / 2)},
		{fault: cloud.Fault{Kind: cloud.FaultRedirect, Location: "http://192.0.2.1/"}, status: 302, body: "<a href=\"http://192.0.2.1/\">Found</a>.\n\n", length: 40},
		{fault: cloud.Fault{Kind: cloud.FaultLatency, Latency: time.Microsecond}, status: 200, body: whole, length: int64(len(whole))},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			must(t, c.SetFault(tt.fault))
			res, body, err := get(t.Context(), "/metadata/latest/network/1/")
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if res == nil {
				return
			}
			compare(t, []any{tt.status, tt.body, tt.length}, []any{res.StatusCode, body, res.ContentLength})
			c.ClearFault()
			_, body, err = get(t.Context(), "/metadata/latest/network/1/")
			must(t, err)
			compare(t, whole, body)
		})
	}
}

// A request that hangs or is late ends when its client goes.
func TestFaultsEndWithClient(t *testing.T) {
	for _, f := range []cloud.Fault{{Kind: cloud.FaultHang}, {Kind: cloud.FaultLatency, Latency: time.Hour}} {
		c, _ := small(t)
		must(t, c.SetFault(f))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool, 1)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cancel()
			c.Handler("i-1", cloud.EC2).ServeHTTP(w, r)
			ended <- true
		}))
		_, err := s.Client().Do(value(http.NewRequestWithContext(ctx, "GET", s.URL+"/latest/", nil))(t))
		compare(t, true, errors.Is(err, context.Canceled))
		<-ended
		s.Close()
	}
}

func TestFaultsOfBody(t *testing.T) {
	c, _ := small(t)
	get := server(t, c, cloud.EC2)
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultEndless}))
	_, body, err := get(t.Context(), "/latest/")
	must(t, err)
	compare(t, 1<<20, len(body))

	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultHTML}))
	res, body, err := get(t.Context(), "/latest/")
	must(t, err)
	compare(t, "200 OK text/html; charset=utf-8 <!DOCTYPE", res.Status+" "+res.Header.Get("Content-Type")+" "+body[:9])

	// There is nothing to cut off from an empty body, and it is cut all the same.
	c.SetTokenRequired(false)
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultCutLength}))
	_, _, err = get(t.Context(), "/latest/meta-data/network/interfaces/macs/")
	compare(t, true, errors.Is(err, io.ErrUnexpectedEOF))
}

func TestLatencyAnswersLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := small(t)
		h := c.Handler("i-1", cloud.JDCloud)
		must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultLatency, Latency: 3 * time.Second}))
		begin := time.Now()
		go func() {
			time.Sleep(time.Second)
			must(t, c.SetCustom("i-1", "enid", "new"))
		}()
		compare(t, `"new"`, get(h, customPath)) // as it is when the answer goes out
		compare(t, 3*time.Second, time.Since(begin))
	})
}

// A connection that cannot be taken over is cut instead of reset.
func TestResetWithoutSocket(t *testing.T) {
	c, _ := small(t)
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultReset}))
	defer func() { compare(t, true, recover() == any(http.ErrAbortHandler)) }()
	get(c.Handler("i-1", cloud.JDCloud), "/metadata/latest/")
}

func TestFaultsOfContent(t *testing.T) {
	c, primary := small(t)
	c.SetTokenRequired(false)
	must(t, c.BindPublic(primary.Addresses[0], addr("203.0.113.7")))
	ec2, jd := c.Handler("i-1", cloud.EC2), c.Handler("i-1", cloud.JDCloud)
	nic := macsPath + primary.MAC.String()
	mac := primary.MAC.String() + "/"
	for kind, want := range map[cloud.FaultKind][]string{
		cloud.FaultNoMAC:       {"", "404", "404", `[]`, "404"},
		cloud.FaultNoKeys:      {mac, "404", "404", `["1/"]`, "404"},
		cloud.FaultNoAddresses: {mac, "", "0", `["1/"]`, `""`},
	} {
		must(t, c.SetFault(cloud.Fault{Kind: kind}))
		compare(t, want, []string{
			get(ec2, macsPath), get(ec2, nic+"/local-ipv4s"), get(ec2, nic+"/device-number"),
			get(jd, networkPath), get(jd, networkPath+"1/local-ipv4"),
		})
		compare(t, primary.MAC.String(), get(ec2, "/latest/meta-data/mac"))
		compare(t, 1, len(c.Describe("i-1")[0].Addresses))
	}
}

func TestFaultScope(t *testing.T) {
	c, primary := small(t)
	value(c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}))(t)
	c.SetTokenRequired(false)
	one, two := c.Handler("i-1", cloud.EC2), c.Handler("i-2", cloud.EC2)
	const id, mac = "/latest/meta-data/instance-id", "/latest/meta-data/mac"
	see := func() []string { return []string{get(one, id), get(one, mac), get(two, id)} }
	right := []string{"i-1", primary.MAC.String(), "i-2"}

	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 503, Instance: "i-1"}))
	compare(t, []string{"503", "503", "i-2"}, see())
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 500}))
	compare(t, []string{"503", "503", "500"}, see()) // the instance's own goes first
	c.ClearFault()
	compare(t, right, see())

	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 500, Path: "/latest/*/m?c"}))
	compare(t, []string{"i-1", "500", "i-2"}, see())
	c.ClearFault()

	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 429, Times: 2}))
	compare(t, []string{"429", "429", "i-2"}, see())
	compare(t, right, see())

	// A request that does not match the path leaves the count alone.
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultEmpty, Path: mac, Times: 1}))
	compare(t, []string{"i-1", "", "i-2"}, see())
	compare(t, right, see())
	compare(t, 16, c.Requests("i-1")[0].Count+c.Requests("i-1")[1].Count) // faults or not

	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 401}))
	compare(t, 401, ask(one, "PUT", tokenPath, ttl, "60").Code)
	compare(t, true, strings.HasPrefix(ask(one, "GET", id).Body.String(), "<?xml"))
}

func TestFaultChecked(t *testing.T) {
	c, _ := small(t)
	for _, f := range []cloud.Fault{
		{}, {Kind: "no such"}, {Kind: cloud.FaultStatus}, {Kind: cloud.FaultStatus, Status: 600},
		{Kind: cloud.FaultHang, Path: "[", Times: 1}, {Kind: cloud.FaultHang, Times: -1}, {Kind: cloud.FaultLatency},
		{Kind: cloud.FaultRedirect}, {Kind: cloud.FaultHang, Instance: "i-9"},
	} {
		if err := c.SetFault(f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
	compare(t, `"i-1"`, get(c.Handler("i-1", cloud.JDCloud), "/metadata/latest/instance-id"))
}

// Whatever is asked for, the answer is an answer.
func FuzzPaths(f *testing.F) {
	for _, p := range []string{"/", "//", "", "/latest//meta-data", "/latest/meta-data/mac/", "/metadata/latest/network/1/mac", "/metadata/latest/attributes/customdata/custom-metadata/%"} {
		f.Add("GET", p)
	}
	f.Add("PUT", tokenPath)
	f.Fuzz(func(t *testing.T, method, path string) {
		c := tour(t)
		c.SetTokenRequired(false)
		for _, d := range cloud.Dialects() {
			r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{}}
			w := httptest.NewRecorder()
			c.Handler("i-1", d).ServeHTTP(w, r)
			switch w.Code {
			case 200, 400, 401, 403, 404, 405:
			default:
				t.Errorf("%s %q: status %d", method, path, w.Code)
			}
		}
	})
}
