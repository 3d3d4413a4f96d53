package cloud_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

// waiting is a request for the NICs that waits for a change, in a goroutine of its own. It tells how long it took
// and what came.
func waiting(h http.Handler, query string) (done func() (time.Duration, *httptest.ResponseRecorder)) {
	began, end := time.Now(), make(chan *httptest.ResponseRecorder, 1)
	var took time.Duration
	go func() {
		w := ask(h, "GET", gcpNICs+"?recursive=true&alt=json&wait_for_change=true&"+query)
		took = time.Since(began)
		end <- w
	}()
	synctest.Wait()
	return func() (time.Duration, *httptest.ResponseRecorder) { w := <-end; return took, w }
}

func gcpETag(h http.Handler) string {
	return ask(h, "GET", gcpNICs+"?recursive=true").Header().Get("ETag")
}

// Each change wakes at once who waits for it, and nothing else does.
func TestGCPWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		h := gcpOf(c)
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
		for name, change := range map[string]func() error{
			"assign":  func() error { return c.Assign(primary.ID, addr("10.0.0.5")) },
			"release": func() error { return c.Release(primary.ID, addr("10.0.0.5")) },
			"alias":   func() error { return c.AssignAlias(primary.ID, prefix("10.24.3.0/24")) },
			"forward": func() error { return c.Forward(primary.ID, addr("203.0.113.5")) },
			"attach":  func() error { return c.Attach("i-1", e.ID) },
		} {
			if name == "release" {
				must(t, c.Assign(primary.ID, addr("10.0.0.5")))
			}
			done := waiting(h, "timeout_sec=60&last_etag="+gcpETag(h))
			time.Sleep(7 * time.Second)
			must(t, c.SetCustom("i-1", "motto", name)) // not in this folder
			time.Sleep(7 * time.Second)
			must(t, change())
			took, w := done()
			compare(t, name+" 14s", name+" "+took.String())
			compare(t, gcpETag(h), w.Header().Get("ETag"))
		}
	})
}

func TestGCPWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		h := gcpOf(c)
		for query, want := range map[string]time.Duration{
			"timeout_sec=60&last_etag=" + gcpETag(h): time.Minute,
			"timeout_sec=60":                         time.Minute,
			"timeout_sec=0&last_etag=" + gcpETag(h):  0,
			"timeout_sec=60&last_etag=NONE":          0,
			"timeout_sec=60&last_etag=0123":          0,
		} {
			took, w := waiting(h, query)()
			compare(t, query+" "+want.String(), query+" "+took.String())
			compare(t, true, w.Code == 200 && strings.Contains(w.Body.String(), "10.0.0.3"))
		}
		// Without last_etag it is the next change, without timeout_sec it may take for ever.
		done := waiting(h, "")
		time.Sleep(24 * time.Hour)
		must(t, c.Assign(primary.ID, addr("10.0.0.5")))
		took, w := done()
		compare(t, 24*time.Hour, took)
		compare(t, true, strings.Contains(w.Body.String(), "10.0.0.5"))
		// An instance that goes answers everybody.
		done = waiting(h, "")
		must(t, c.Terminate("i-1"))
		_, w = done()
		compare(t, 404, w.Code)
	})
}

func TestGCPWaitClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := small(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := waiting(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gcpOf(c).ServeHTTP(w, r.WithContext(ctx)) }), "")
		time.Sleep(time.Second)
		cancel()
		took, _ := done()
		compare(t, time.Second, took)
	})
}

// What is seen later wakes later: after the delay, at each step, and when a detached ENI goes.
func TestGCPWaitFollowsTheView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := small(t)
		h := gcpOf(c)
		c.SetDelay(5 * time.Second)
		c.SetPropagation(cloud.Propagation{Keys: 10 * time.Second, Linger: 30 * time.Second})
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
		next := func(want time.Duration, shows string) {
			t.Helper()
			took, w := waiting(h, "timeout_sec=600&last_etag="+gcpETag(h))()
			compare(t, want, took)
			if !strings.Contains(w.Body.String(), shows) {
				t.Errorf("it shows %s, want %s in it", w.Body, shows)
			}
		}
		must(t, c.Attach("i-1", e.ID))
		next(5*time.Second, `{"mac":"`+e.MAC.String()+`"}`)
		next(10*time.Second, "10.0.1.3")
		must(t, c.Detach("i-1", e.ID))
		next(35*time.Second, "10.0.0.3")
		compare(t, false, strings.Contains(get(h, gcpNICs+"?recursive=true"), e.MAC.String()))
		next(10*time.Minute, "10.0.0.3")

		// A delay that ends sooner than it was to is seen then.
		c.SetDelay(time.Hour)
		must(t, c.Attach("i-1", e.ID))
		done := waiting(h, "last_etag="+gcpETag(h))
		time.Sleep(time.Minute)
		c.SetDelay(0)
		took, _ := done()
		compare(t, time.Minute, took)
	})
}

// Aliases, forwarded addresses and VLANs are in the state file, and a VLAN without a NIC is refused.
func TestGCPState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "cloud.json")
		s := populate(t, opened(t, file))
		must(t, s.AssignAlias(s.second.ID, prefix("10.24.3.0/24")))
		must(t, s.Forward(s.second.ID, addr("2001:db8:f::9")))
		s.SetAttachDelay(time.Minute)
		must(t, s.AttachVLAN("i-4", s.free.ID, s.Describe("i-4")[0].ID, 7))
		again := opened(t, file)
		time.Sleep(time.Minute)
		synctest.Wait()
		compare(t, wholeOf(s.Cloud), wholeOf(again))
		e := value(again.DescribeENI(s.free.ID))(t)
		compare(t, []any{"i-4", s.Describe("i-4")[0].ID, 7}, []any{e.Instance, e.VLANParent, e.VLAN})
		if err := again.AssignAlias(s.primary.ID, prefix("10.24.0.0/16")); err == nil {
			t.Error("an alias range that another has is given again")
		}
		broken(t, file, `"VLANParent": "`+e.VLANParent+`"`, `"VLANParent": "port-x"`)
		broken(t, file, `"10.24.3.0/24"`, `"10.24.3.0/240"`)
	})
}

// broken opens a state file in which one text is another.
func broken(t *testing.T, file, from, to string) {
	t.Helper()
	good := string(value(os.ReadFile(file))(t))
	copied := filepath.Join(t.TempDir(), "broken.json")
	text := strings.ReplaceAll(good, from, to)
	must(t, os.WriteFile(copied, []byte(text), 0o600))
	if _, err := cloud.Open(copied); err == nil || text == good {
		t.Errorf("%s: error %v", to, err)
	}
}
