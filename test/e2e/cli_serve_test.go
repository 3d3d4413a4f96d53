package e2e

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// value is the value of a series without labels.
func value(t *testing.T, metrics, name string) float64 {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			return must1[float64](t)(strconv.ParseFloat(strings.TrimSpace(text), 64))
		}
	}
	t.Fatalf("no %s in\n%s", name, metrics)
	return 0
}

// series are dashboards' and alerts' business: their names and labels stay as they are.
var series = []string{
	`enid_build_info{version}`,
	`enid_converged`,
	`enid_eni_addresses_present{eni}`,
	`enid_eni_addresses_wanted{eni}`,
	`enid_eni_phase_timestamp_seconds{eni}`,
	`enid_eni_phase{eni,nic,phase}`,
	`enid_eni_stale{eni}`,
	`enid_kernel_operations_total{object,result}`,
	`enid_metadata_age_seconds`,
	`enid_metadata_last_answer_timestamp_seconds`,
	`enid_metadata_provider{provider}`,
	`enid_metadata_requests_total{result}`,
	`enid_metadata_up`,
	`enid_pass_duration_seconds_bucket{le}`,
	`enid_pass_duration_seconds_count`,
	`enid_pass_duration_seconds_sum`,
	`enid_problems{reason}`,
	`enid_return_path{family}`,
}

var labels = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)

func names(metrics string) []string {
	var found []string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "enid_") {
			name := labels.ReplaceAllString(line[:strings.LastIndex(line, " ")], "$1")
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestCLIMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	edit(t, r, `http: ""`, "http: 127.0.0.1:9967")
	e := attach(t, r, "subnet-b", 3)
	start(t, r)
	r.NICsByHand(true)
	attach(t, r, "subnet-c", 1)
	must(t, os.WriteFile(r.Dir+"/overlay/wrong.yaml", []byte("[]"), 0o644))
	awaitProblem(t, r, "overlay", "")
	code, metrics := get(t, r, "127.0.0.1:9967", "/metrics")
	if diff := cmp.Diff(series, names(metrics)); code != 200 || diff != "" {
		t.Errorf("code %d, series (-want +got):\n%s", code, diff)
	}
	for _, want := range []string{
		`enid_eni_addresses_wanted{eni="` + e.ID + `"} 3`, `enid_eni_addresses_present{eni="` + e.ID + `"} 3`,
		`enid_eni_phase{eni="` + e.ID + `",nic="` + r.NIC(e.MAC) + `",phase="configured"} 1`,
		`phase="waiting"} 1`, "enid_converged 1", "enid_metadata_up 1", `enid_kernel_operations_total{object="address",result="ok"} 3`,
		"process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s:\n%s", want, metrics)
		}
	}
	for _, address := range []string{"", "127.0.0.1:9967"} {
		if code, body := get(t, r, address, "/healthz"); code != 200 || body != "ok\n" {
			t.Errorf("/healthz at %q answers %d %q", address, code, body)
		}
		if code, body := get(t, r, address, "/status"); code != 200 || !strings.Contains(body, e.ID) {
			t.Errorf("/status at %q answers %d %q", address, code, body)
		}
		if code, _ := get(t, r, address, "/nothing"); code != 404 {
			t.Errorf("/nothing at %q answers %d", address, code)
		}
	}
}

// A port that somebody else has is no reason to leave the network alone; when it is free, enid
// takes it. Another address in the configuration ends the trouble, too.
func TestCLIPortInUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	edit(t, r, `http: ""`, "http: 127.0.0.1:9967")
	attach(t, r, "subnet-b", 2)
	other := must1[net.Listener](t)(r.VM.Listen("tcp", "127.0.0.1:9967"))
	second := must1[net.Listener](t)(r.VM.Listen("tcp", "127.0.0.1:9969"))
	defer second.Close()
	d := start(t, r)
	awaitProblem(t, r, "http-unavailable", "127.0.0.1:9967")
	awaitLog(t, d, "address already in use")
	must(t, other.Close())
	await(t, r, func(s *agent.Status) bool { return !problem(s, "http-unavailable", "") })
	if code, _ := get(t, r, "127.0.0.1:9967", "/healthz"); code != 200 {
		t.Errorf("/healthz answers %d", code)
	}
	awaitLog(t, d, "over: http: ")

	// To a busy one, to a free one, to a busy one, to none.
	for _, step := range []struct {
		from, to string
		trouble  bool
	}{
		{"127.0.0.1:9967", "127.0.0.1:9969", true},
		{"127.0.0.1:9969", "127.0.0.1:9968", false},
		{"127.0.0.1:9968", "127.0.0.1:9969", true},
		{"127.0.0.1:9969", `""`, false},
	} {
		edit(t, r, "http: "+step.from, "http: "+step.to)
		if step.trouble {
			awaitProblem(t, r, "http-unavailable", step.to)
		} else {
			await(t, r, func(s *agent.Status) bool { return !problem(s, "http-unavailable", "") })
		}
	}
	for _, closed := range []string{"127.0.0.1:9967", "127.0.0.1:9968"} {
		eventually(t, closed+" is still served", func() bool {
			_, _, err := tryGet(t.Context(), r, closed, "/healthz")
			return err != nil
		})
	}
}
