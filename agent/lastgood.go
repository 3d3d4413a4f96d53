package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"enid/metadata"
	"enid/metadata/detect"
	"enid/metadata/lastgood"
	"enid/netcfg"
)

// recallAfter is how long a start waits for the metadata before the last good metadata is used. A failure does not
// wait.
const recallAfter = 2 * time.Second

// confirmedAgain is how often, as a share of metadata.max_age, the file is written although nothing in it has changed,
// so that its age is that of the newest answer.
const confirmedAgain = 24

// memory is the last good metadata, on disk and in use.
type memory struct {
	path string
	file lastgood.Document // on disk, as far as it can be believed
	// recalled is the time of the answer that is in use because none has come since the start, zero where none is.
	recalled time.Time
	stale    map[metadata.MAC]bool // the ENIs that no answer has listed since
	refusal  string                // why it is not used, as logged
}

// remembered reads the file. One that is not there, or no use, is as good as none.
func (a *Agent) remembered(stateDir string) memory {
	m := memory{path: filepath.Join(stateDir, "metadata.json")}
	var err error
	if m.file, err = lastgood.Load(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("the last good metadata is not used, and written anew with the next answer", "error", err)
	}
	return m
}

// recall makes the last good metadata what is believed, where the metadata has not answered since the start and the file is
// of this instance and not too old. It reports whether the last good metadata is in use.
func (a *Agent) recall(links []netcfg.Link, now time.Time) bool {
	m := &a.memory
	if !a.outage.lastAnswer.IsZero() || !m.recalled.IsZero() {
		return !m.recalled.IsZero()
	}
	if a.config.Metadata.MaxAge == 0 || m.file.Provider == "" {
		return false
	}
	if err := m.file.Fits(a.namedProvider(), macsOf(links), now, a.config.Metadata.MaxAge); err != nil {
		if err.Error() != m.refusal {
			m.refusal = err.Error()
			a.log.Info("the last good metadata is not used", "why", err, "file", m.path)
		}
		return false
	}
	m.recalled, m.stale = m.file.Answered, map[metadata.MAC]bool{}
	a.belief = metadata.Remember(m.file.Interfaces)
	for _, i := range m.file.Interfaces {
		m.stale[i.MAC] = true
	}
	a.log.Warn("the metadata has not answered since the start, its last good answer is used until it does",
		"enis", len(m.file.Interfaces), "of", m.recalled.Format(time.RFC3339), "age", now.Sub(m.recalled).Round(time.Second))
	return true
}

// namedProvider is the provider that the configuration or, beyond doubt, the firmware names, "" for none.
func (a *Agent) namedProvider() string {
	if a.config.Metadata.Provider != ProviderAuto {
		return string(a.config.Metadata.Provider)
	}
	if d := detectorOf(a.source); d != nil {
		if name, sure := detect.Detect(d.firmware); sure {
			return name
		}
	}
	return ""
}

func macsOf(links []netcfg.Link) []metadata.MAC {
	var macs []metadata.MAC
	for _, l := range links {
		macs = append(macs, l.MAC)
	}
	return macs
}

// confirm ends the doubt about the ENIs that an answer lists.
func (m *memory) confirm(s metadata.Snapshot) {
	for _, i := range s.Interfaces {
		delete(m.stale, i.MAC)
	}
}

// staleSince is the time of the answer by which an ENI is known that none has listed since the start, zero for any
// other.
func (m *memory) staleSince(mac metadata.MAC) time.Time {
	if m.stale[mac] {
		return m.recalled
	}
	return time.Time{}
}

// keep writes the last good metadata after an answer, where it is another or its age counts. What still waits
// for a second answer is not kept.
func (a *Agent) keep(now time.Time) {
	m, maxAge := &a.memory, a.config.Metadata.MaxAge
	if maxAge == 0 || a.outage.err != nil || a.outage.lastAnswer.IsZero() || a.belief.Pending() {
		return
	}
	next := m.file.Next(a.answered, a.belief, now)
	if next.Same(m.file) && now.Sub(m.file.Answered).Abs() < maxAge/confirmedAgain {
		return
	}
	if err := next.Save(m.path); err != nil {
		a.setProblem("last-good-not-saved", fmt.Sprintf("state_dir: %v; after a reboot without metadata the ENIs would be as they were before", err))
		return
	}
	a.setProblem("last-good-not-saved", "")
	m.file = next
}

// recallInstead uses the last good metadata where a single pass has got no answer. It reports whether there is any.
func (a *Agent) recallInstead(ctx context.Context, failure error) bool {
	seen, err := a.look(ctx, true)
	now := time.Now()
	if err != nil || !a.recall(seen.Host.Links, now) {
		return false
	}
	a.fail(failure, now)
	return true
}

// LastGood is the time of the metadata's last good answer where that is used because none has come since the
// start, else zero.
func (a *Agent) LastGood() time.Time {
	if !a.outage.lastAnswer.IsZero() {
		return time.Time{}
	}
	return a.memory.recalled
}
