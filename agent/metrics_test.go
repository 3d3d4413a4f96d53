package agent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"enid/metadata"
	"enid/netcfg"
)

// get asks the agent's handler.
func (h *host) get(path string) (code int, body string) {
	r := httptest.NewRecorder()
	h.agent.Handler().ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
	return r.Code, r.Body.String()
}

// TestMetrics shows a whole scrape, without the numbers that depend on how often the agent looked.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.plug(1)
		h.plug(2)
		h.cloud.says(eni(0, 5, 6), eni(1, 5), eni(2, 5), eni(3, 5))
		h.Fail = func(op netcfg.Op) error {
			if a, ok := op.Object.(netcfg.Addr); ok && a.Link == primaryNIC+2 {
				return errors.New("no")
			}
			return nil
		}
		h.start()
		defer h.stop()
		h.after(100 * time.Millisecond)
		code, text := h.get("/metrics")
		if code != http.StatusOK {
			t.Fatalf("%d: %s", code, text)
		}
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		var ours []string
		for line := range strings.Lines(text) {
			varies := strings.HasPrefix(line, "enid_pass_duration_seconds_") || strings.Contains(line, `result="error"`)
			if strings.Contains(line, "enid_") && !varies {
				ours = append(ours, line)
			}
		}
		wantGolden(t, "metrics.txt", strings.Join(ours, ""))
		if !strings.Contains(text, "enid_pass_duration_seconds_count") || !strings.Contains(text, "process_cpu_seconds_total") {
			t.Errorf("something is missing:\n%s", text)
		}
	})
}

// TestMetricsOfRequests: those of the source in use.
func TestMetricsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		d := &dialectOf{name: "timeout"}
		d.says(eni(0, 5))
		h.start()
		defer h.stop()
		h.after(time.Second)
		if _, text := h.get("/metrics"); strings.Contains(text, "enid_metadata_requests_total{") {
			t.Errorf("requests of a source that makes none:\n%s", text)
		}
		h.stop()
		h.agent.setSource(d)
		if _, text := h.get("/metrics"); !strings.Contains(text, `enid_metadata_requests_total{result="timeout"} 1`) {
			t.Errorf("no requests:\n%s", text)
		}
	})
}

// TestHealth: ill only when no pass has come for longer than one ever takes to come.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.config.Metadata.Poll = time.Hour
		h.config.Resync = time.Hour
		h.cloud.says(eni(0, 5))
		h.start()
		for range 30 {
			h.after(10 * time.Minute)
			if code, body := h.get("/healthz"); code != http.StatusOK {
				t.Fatalf("%d %s", code, body)
			}
		}
		h.stop()
		h.after(3 * time.Hour)
		if code, _ := h.get("/healthz"); code != http.StatusServiceUnavailable {
			t.Errorf("%d long after the last pass", code)
		}
	})
}

// TestStatusOverHTTP: the lists are lists also where they are empty.
func TestStatusOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.cloud.fails(errors.New("down"))
		h.start()
		defer h.stop()
		h.after(time.Second)
		code, body := h.get("/status")
		if code != http.StatusOK || !strings.Contains(body, `"enis": []`) || !strings.Contains(body, `"problems": []`) {
			t.Errorf("%d %s", code, body)
		}
		h.cloud.says(metadata.Interface{MAC: macOf(0)})
		h.after(10 * time.Second)
		if _, body := h.get("/status"); strings.Contains(body, "null") {
			t.Error(body)
		}
		if code, _ := h.get("/metrics/other"); code != http.StatusNotFound {
			t.Errorf("%d for what is not there", code)
		}
	})
}
