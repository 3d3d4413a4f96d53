package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"enid/metadata/detect"
	"enid/netcfg"
)

// provable is a dialect with a probe of its own.
type provable struct {
	dialectOf
	refuses error
	hangs   bool
	probed  atomic.Int32
}

// Probe is nil unless the test says otherwise.
func (p *provable) Probe(ctx context.Context) error {
	p.probed.Add(1)
	if p.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return p.refuses
}

// dialects are three of which only these prove themselves.
func dialects(proved ...string) (all map[string]*provable, candidates []candidate) {
	all = map[string]*provable{}
	for _, name := range []string{"ec2", "gcp", "jdcloud"} {
		p := &provable{dialectOf: dialectOf{name: name}}
		p.says(eni(0, 5))
		if !slices.Contains(proved, name) {
			p.refuses = errors.New("404")
		}
		all[name] = p
		candidates = append(candidates, candidate{name, p})
	}
	return all, candidates
}

// probedOf are the names of those that were probed, each as often as it was.
func probedOf(all map[string]*provable) string {
	var names []string
	for name, p := range all {
		for range p.probed.Swap(0) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

var (
	aws      = detect.DMI{SysVendor: "Amazon EC2", BIOSVendor: "Amazon EC2"}
	google   = detect.DMI{ProductName: "Google"} // a weak sign
	outscale = detect.DMI{SysVendor: "3DS Outscale"}
	qemu     = detect.DMI{SysVendor: "QEMU"}
)

func TestDetector(t *testing.T) {
	for name, tt := range map[string]struct {
		firmware detect.DMI
		proved   string
		asks     string // who is probed
		finds    string
		says     string // part of the error
	}{
		"named and proved":               {aws, "ec2", "ec2", "ec2", ""},
		"named, others would prove too":  {aws, "ec2 gcp", "ec2", "ec2", ""},
		"named, and not there":           {aws, "jdcloud", "ec2", "", `the firmware is that of ec2 (sys_vendor "Amazon EC2"), and its metadata does not answer as it should`},
		"weakly named and proved":        {google, "gcp", "gcp", "gcp", ""},
		"weakly named, another proves":   {google, "jdcloud", "ec2 gcp gcp jdcloud", "jdcloud", ""},
		"a look-alike is not even asked": {outscale, "ec2", "", "", "no cloud that enid speaks with"},
		"not named, one proves":          {qemu, "jdcloud", "ec2 gcp jdcloud", "jdcloud", ""},
		"not named, two prove":           {qemu, "ec2 jdcloud", "ec2 gcp jdcloud", "", "more than one cloud's metadata answers here (ec2, jdcloud)"},
		"not named, none proves":         {qemu, "", "ec2 gcp jdcloud", "", `no cloud is found: the firmware names none (sys_vendor "QEMU"), and no cloud's metadata answers here (asked: ec2, gcp, jdcloud)`},
		"no firmware":                    {detect.DMI{}, "", "ec2 gcp jdcloud", "", "(/sys/class/dmi/id) says nothing"},
	} {
		all, candidates := dialects(strings.Fields(tt.proved)...)
		d := newDetector(tt.firmware, candidates...)
		s, err := d.Fetch(context.Background())
		if got := probedOf(all); got != tt.asks {
			t.Errorf("%s: probed %q, want %q", name, got, tt.asks)
		}
		none, isNone := errors.AsType[*NoCloudError](err)
		switch {
		case tt.finds == "":
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "set metadata.provider") {
				t.Errorf("%s: the error is %v, want %q in it", name, err, tt.says)
			}
			if isNone == strings.Contains(name, "and not there") || isNone && strings.Contains(none.Error(), "\n") {
				t.Errorf("%s: a NoCloudError of one line: %v, %v", name, isNone, err)
			}
			for _, p := range all {
				if len(p.questions()) > 0 {
					t.Errorf("%s: %s was asked for everything", name, p.name)
				}
			}
			continue
		case err != nil || len(s.Interfaces) != 1 || spoken(completed{d, ""}) != Source(all[tt.finds]):
			t.Errorf("%s: %v, %v", name, s, err)
		}
		// Once found it stays, also when it fails, and is not probed again.
		all[tt.finds].fails(errors.New("down"))
		if _, err := d.Fetch(context.Background()); err == nil || probedOf(all) != "" {
			t.Errorf("%s: the second question: %v", name, err)
		}
	}
}

// TestStayWith: a new configuration does not make enid look for its cloud again.
func TestStayWith(t *testing.T) {
	_, candidates := dialects("gcp")
	old := newDetector(qemu, candidates...)
	if _, err := old.Fetch(context.Background()); err != nil {
		t.Fatal(err)
	}
	all, candidates := dialects("jdcloud")
	anew := completed{newDetector(qemu, candidates...), ""}
	stayWith(completed{old, ""}, anew)
	if _, err := anew.Fetch(context.Background()); err != nil || probedOf(all) != "" || spoken(anew) != Source(all["gcp"]) {
		t.Errorf("%v", err)
	}
	// Nothing was found, or nobody looks.
	none := newDetector(qemu, candidates...)
	stayWith(none, none)
	stayWith(all["ec2"], none)
	stayWith(anew, all["ec2"])
	if none.found.Load() != nil {
		t.Error("found by nobody")
	}
}

// TestReloadDetectsNothing: over a change of the configuration too, and while the cloud is down.
func TestReloadDetectsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, candidates := dialects("gcp")
		h := newHost(t)
		h.source = completed{newDetector(qemu, candidates...), ""}
		changed := h.config
		changed.Metadata.Poll = 20 * time.Second
		h.reload = Reloader{
			Load:   func() (Config, error) { return changed, nil },
			Source: func(Config) (Source, error) { return completed{newDetector(qemu, candidates...), ""}, nil },
		}
		h.start()
		defer h.stop()
		h.after(time.Minute)
		probedOf(all)
		all["gcp"].refuses = errors.New("down")
		Poke(h.events.Reload)
		h.after(time.Minute)
		if probed := probedOf(all); probed != "" || !h.agent.Status().Metadata.OK {
			t.Errorf("probed %q; %+v", probed, h.agent.Status().Metadata)
		}
	})
}

// TestDetectorSearchesAgain: what proves itself later is found then.
func TestDetectorSearchesAgain(t *testing.T) {
	all, candidates := dialects()
	d := newDetector(qemu, candidates...)
	if _, err := d.Fetch(context.Background()); err == nil || spoken(d) != nil {
		t.Error("found where there is none")
	}
	want := map[string]uint64{"200": 0, "ec2": 1, "gcp": 1, "jdcloud": 1}
	if diff := cmp.Diff(want, (completed{d, ""}).Requests()); diff != "" {
		t.Error(diff)
	}
	all["gcp"].refuses = nil
	if s, err := d.Fetch(context.Background()); err != nil || len(s.Interfaces) != 1 {
		t.Errorf("when one answers after all: %v, %v", s, err)
	}
}

// TestDetectorWithoutProbe: a dialect without one has to answer whole.
func TestDetectorWithoutProbe(t *testing.T) {
	one, two := &dialectOf{name: "one"}, &dialectOf{name: "two"}
	one.fails(errors.New("an HTML page"))
	two.says(eni(0, 5))
	d := newDetector(qemu, candidate{"one", one}, candidate{"two", two})
	if _, err := d.Fetch(context.Background()); err != nil || spoken(d) != Source(two) {
		t.Error(err)
	}
}

// TestDetectorHangs: services that swallow everything cost three seconds each three of them, and a search that
// was cut short says nothing about the cloud.
func TestDetectorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, candidates := dialects("jdcloud")
		all["ec2"].hangs, all["gcp"].hangs = true, true
		began := time.Now()
		if _, err := newDetector(qemu, candidates...).Fetch(t.Context()); err != nil || time.Since(began) != probeTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := newDetector(qemu, candidates...).Fetch(ctx)
		if none, isNone := errors.AsType[*NoCloudError](err); err == nil || isNone {
			t.Errorf("cut short: %v %v", err, none)
		}
	})
}

func TestReadDMI(t *testing.T) {
	sys := t.TempDir()
	for name, text := range map[string]string{
		"class/dmi/id/sys_vendor": "Xen\n", "class/dmi/id/product_uuid": "EC2E1916-9099-7CAF-FD21-012345ABCDEF\n",
		"class/dmi/id/product_name": "HVM domU", "class/dmi/id/bios_vendor": "", "hypervisor/uuid": "ec2e1916\n",
		"class/dmi/id/product_serial": " s ", "class/dmi/id/chassis_asset_tag": "No Asset Tag",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(sys, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(sys, name), text)
	}
	want := detect.DMI{SysVendor: "Xen", ProductName: "HVM domU", ProductSerial: "s", ProductUUID: "EC2E1916-9099-7CAF-FD21-012345ABCDEF", ChassisAssetTag: "No Asset Tag", HypervisorUUID: "ec2e1916"}
	if diff := cmp.Diff(want, readDMI(sys)); diff != "" {
		t.Error(diff)
	}
	if got := readDMI(filepath.Join(sys, "nowhere")); got != (detect.DMI{}) {
		t.Errorf("nothing there: %+v", got)
	}
}

// TestNoCloud: one line in the log, the start is done at once, the kernel is left alone, and the search goes on at
// most every minute or so; the cloud that turns up is taken.
func TestNoCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, candidates := dialects()
		h := newHost(t)
		h.plug(1)
		h.source = completed{newDetector(qemu, candidates...), ""}
		h.start()
		defer h.stop()
		before := h.objects()
		h.after(100 * time.Millisecond)
		if ready := h.notify.times("ready"); len(ready) != 1 {
			t.Error("the start is held up")
		}
		h.after(time.Hour)
		if n := all["ec2"].probed.Load(); n < 55 || n > 140 {
			t.Errorf("%d searches in an hour", n)
		}
		if diff := cmp.Diff(before, h.objects(), compareObjects); diff != "" || h.Writes > 0 {
			t.Errorf("%d writes: %s", h.Writes, diff)
		}
		h.wantLog(`level=INFO msg="no cloud is found: the firmware names none`)
		if s := h.agent.Status(); !s.Metadata.NoCloud || s.Metadata.OK || !strings.Contains(s.Sentence(), "no cloud found") {
			t.Errorf("the status: %+v, %s", s.Metadata, s.Sentence())
		}
		if _, text := h.get("/metrics"); !strings.Contains(text, `enid_metadata_provider{provider="none"} 1`) {
			t.Error(text)
		}
		all["gcp"].refuses = nil
		all["gcp"].says(eni(0, 5), eni(1, 5))
		h.after(2 * time.Minute)
		h.wantAddresses("10.0.0.5", "10.0.1.5")
		if s := h.agent.Status(); s.Metadata.NoCloud || !s.Metadata.OK {
			t.Errorf("the status: %+v", s.Metadata)
		}
		if log := h.logged.take(); !strings.Contains(log[0], `msg="a cloud is found" provider=test`) {
			t.Errorf("the log: %v", log)
		}
	})
}

// TestDoctorWithoutCloud: it is a remark and no failure.
func TestDoctorWithoutCloud(t *testing.T) {
	_, candidates := dialects()
	h := newHost(t)
	h.source = completed{newDetector(qemu, candidates...), ""}
	h.make()
	found := h.agent.askDoctor(t.Context())
	if len(found) != 1 || found[0].Check != "no-cloud" || found[0].Severity != netcfg.SeverityWarning {
		t.Errorf("%+v", found)
	}
}

// TestCloudThatIsDownIsACloud: where the firmware names one, an outage is one.
func TestCloudThatIsDownIsACloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, candidates := dialects()
		h := newHost(t)
		h.source = completed{newDetector(aws, candidates...), ""}
		h.start()
		defer h.stop()
		h.after(time.Second)
		if len(h.notify.times("ready")) > 0 || h.agent.Status().Metadata.NoCloud {
			t.Errorf("%+v", h.agent.Status().Metadata)
		}
		h.wantLog(`level=WARN msg="metadata does not answer`)
	})
}

var _ prober = (*provable)(nil)
