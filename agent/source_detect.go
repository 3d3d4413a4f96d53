package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"enid/metadata"
	"enid/metadata/detect"
)

// How candidates are probed where the firmware does not say which cloud this is.
const (
	probesAtOnce = 3
	probeTimeout = 3 * time.Second
)

// prober is a source that can tell with one cheap request whether its cloud's service answers here, as no
// other cloud's would.
type prober interface {
	Probe(ctx context.Context) error
}

// wrapper is a source that adds something to another's answers.
type wrapper interface{ inner() Source }

// spoken is the dialect behind a source, nil while none is found.
func spoken(s Source) Source {
	for {
		w, ok := s.(wrapper)
		if !ok {
			return s
		}
		s = w.inner()
	}
}

// detectorOf is the detector behind a source, nil where the configuration names the provider.
func detectorOf(s Source) *detector {
	for {
		if d, ok := s.(*detector); ok {
			return d
		}
		w, ok := s.(wrapper)
		if !ok {
			return nil
		}
		s = w.inner()
	}
}

// stayWith makes a new source speak the dialect that an old one found: a host does not move.
func stayWith(old, anew Source) {
	before, now := detectorOf(old), detectorOf(anew)
	if before == nil || now == nil || before.found.Load() == nil {
		return
	}
	if same, _ := now.split(before.found.Load().name); len(same) > 0 {
		now.found.Store(&same[0])
	}
}

// NoCloudError says that this host is in no cloud that enid knows, or that it does not tell which.
type NoCloudError struct {
	Summary string // one sentence: what was looked at and what to do
	Seen    error  // what each dialect's probe came to; nil where none was made
}

// Error is the summary and everything that was seen.
func (e *NoCloudError) Error() string {
	if e.Seen == nil {
		return e.Summary
	}
	return e.Summary + ": " + strings.ReplaceAll(e.Seen.Error(), "\n", "; ")
}

// Unwrap is what was seen.
func (e *NoCloudError) Unwrap() error { return e.Seen }

// candidate is a dialect that may be the one of this cloud.
type candidate struct {
	name   string
	source Source
}

// probe is nil where the dialect's service answers here. A dialect that has no cheaper proof has its whole answer.
func (c candidate) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var err error
	if p, ok := c.source.(prober); ok {
		err = p.Probe(ctx)
	} else {
		_, err = c.source.Fetch(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// detector finds out which dialect is spoken here: first by what the firmware says, then by a probe of the
// dialect that it names. Where it names none, every dialect is probed, and the one that alone proves
// itself is taken: never the first that answers, for five clouds share 169.254.169.254. What was found stays.
type detector struct {
	firmware   detect.DMI
	candidates []candidate
	found      atomic.Pointer[candidate]
}

func newDetector(firmware detect.DMI, candidates ...candidate) *detector {
	return &detector{firmware: firmware, candidates: candidates}
}

// Fetch asks the dialect that was found, after finding it. The error is a NoCloudError where there is none.
func (d *detector) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	if d.found.Load() == nil {
		c, err := d.detect(ctx)
		if err != nil {
			return metadata.Snapshot{}, err
		}
		d.found.Store(&c)
	}
	return d.found.Load().source.Fetch(ctx)
}

func (d *detector) detect(ctx context.Context) (candidate, error) {
	name, sure := detect.Detect(d.firmware)
	named, others := d.split(name)
	switch {
	case sure && len(named) == 0:
		return candidate{}, &NoCloudError{Summary: fmt.Sprintf("no cloud that enid speaks with: %s; the host is left alone; where that is wrong, set metadata.provider or metadata.file", d.said())}
	case len(named) > 0:
		err := named[0].probe(ctx)
		if err == nil {
			return named[0], nil
		}
		if sure {
			return candidate{}, fmt.Errorf("%s, and its metadata does not answer as it should; set metadata.provider where that is another cloud: %w", d.said(), err)
		}
		others = d.candidates
	}
	return d.search(ctx, others)
}

// split takes the candidate of this name out of the others.
func (d *detector) split(name string) (named, others []candidate) {
	for _, c := range d.candidates {
		if c.name == name {
			named = append(named, c)
		} else {
			others = append(others, c)
		}
	}
	return named, others
}

// search probes these candidates and takes the only one that proves itself.
func (d *detector) search(ctx context.Context, candidates []candidate) (candidate, error) {
	errs := make([]error, len(candidates))
	var probes errgroup.Group
	probes.SetLimit(probesAtOnce)
	for i, c := range candidates {
		probes.Go(func() error {
			errs[i] = c.probe(ctx)
			return nil
		})
	}
	_ = probes.Wait() // the errors are in errs
	var proved []candidate
	var names, provers []string
	for i, c := range candidates {
		names = append(names, c.name)
		if errs[i] == nil {
			proved = append(proved, c)
			provers = append(provers, c.name)
		}
	}
	switch {
	case ctx.Err() != nil:
		return candidate{}, fmt.Errorf("finding out which cloud this is: %w", context.Cause(ctx))
	case len(proved) == 1:
		return proved[0], nil
	case len(proved) > 1:
		return candidate{}, &NoCloudError{Summary: fmt.Sprintf("more than one cloud's metadata answers here (%s), and %s; the host is left alone; set metadata.provider to the right one", strings.Join(provers, ", "), d.said())}
	}
	return candidate{}, &NoCloudError{
		Summary: fmt.Sprintf("no cloud is found: %s, and no cloud's metadata answers here (asked: %s); the host is left alone, and looked at again every minute; where there is a cloud, set metadata.provider, else metadata.file", d.said(), strings.Join(names, ", ")),
		Seen:    errors.Join(errs...),
	}
}

// said is what the firmware says, for people.
func (d *detector) said() string {
	f := d.firmware
	if f == (detect.DMI{}) {
		return "the firmware (/sys/class/dmi/id) says nothing"
	}
	var words []string
	for _, w := range []struct{ name, value string }{
		{"sys_vendor", f.SysVendor}, {"product_name", f.ProductName}, {"chassis_asset_tag", f.ChassisAssetTag},
	} {
		if w.value != "" {
			words = append(words, fmt.Sprintf("%s %q", w.name, w.value))
		}
	}
	if name, _ := detect.Detect(f); name != "" {
		return fmt.Sprintf("the firmware is that of %s (%s)", name, strings.Join(words, ", "))
	}
	return fmt.Sprintf("the firmware names none (%s)", strings.Join(words, ", "))
}

// inner is the dialect that was found, nil while there is none.
func (d *detector) inner() Source {
	if c := d.found.Load(); c != nil {
		return c.source
	}
	return nil
}

// Complete is that of the dialect that was found.
func (d *detector) Complete(ctx context.Context, s metadata.Snapshot) metadata.Snapshot {
	return complete(ctx, d.inner(), s)
}

// Requests is the sum over the dialects that were asked.
func (d *detector) Requests() map[string]uint64 {
	sum := map[string]uint64{}
	for _, c := range d.candidates {
		for result, n := range requests(c.source) {
			sum[result] += n
		}
	}
	return sum
}
