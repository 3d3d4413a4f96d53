package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// Kernel is what the agent needs of one: netcfg.Kernel, or the one in memory for tests.
type Kernel interface {
	Observe(context.Context, netcfg.Scope) (netcfg.Observation, error)
	Apply(context.Context, []netcfg.Op) []netcfg.Result
	// Protos lists every protocol number that ever marked objects of ours here.
	Protos() []int
}

// Notifier tells the service manager how the daemon does.
type Notifier interface {
	Ready() error
	Reloading() error
	Stopping() error
	Status(text string) error
	Watchdog() error
	WatchdogInterval() (time.Duration, bool)
}

// Options are what an Agent is made from.
type Options struct {
	Config  Config
	Log     *slog.Logger
	Kernel  Kernel
	Source  Source
	Notify  Notifier
	Version string
	// Opponents are those who removed objects of ours from the kernel since a time; nil where
	// nobody watches. Asked when somebody does it again and again.
	Opponents func(since time.Time) []netcfg.Opponent
	// Neighbours tells the host's other network managers to leave the NICs with these MACs alone,
	// and no others: the secondary ENIs that are managed. Nil where that is nobody's task.
	Neighbours func(secondaries []string) error
}

// Agent holds what is believed and does the passes. It is used by one goroutine; only
// Status and Counters may be asked by others.
type Agent struct {
	config  Config
	log     *slog.Logger
	kernel  Kernel
	source  Source
	notify  Notifier
	version string

	opponents  func(time.Time) []netcfg.Opponent
	neighbours func([]string) error
	spared     spared
	fighting   map[string]bool // what was logged as done since a fight began, nil where there is none

	belief   metadata.Belief
	answered metadata.Snapshot // the newest answer
	slots    netcfg.Slots
	file     slotsFile
	history  history
	outage   outage
	memory   memory
	problems []metadata.Problem // of the agent itself: configuration, HTTP, files
	counters counters
	status   atomic.Pointer[Status]
	ready    bool
	chains   bool           // iptables is looked at
	lostRA   []metadata.MAC // see lostDefaults
	// policyStates are those that the log has, by name.
	policyStates map[string]netcfg.PolicyState
	reports      chan metadata.Problem // from beside the loop, see Report
	ended        chan struct{}         // closed when the loop has
	started      time.Time
}

// New makes an Agent. Slots of earlier runs are read; nothing is written.
func New(o Options) *Agent {
	a := &Agent{
		config: o.Config, log: o.Log, kernel: o.Kernel, notify: o.Notify, version: o.Version,
		opponents: o.Opponents, neighbours: o.Neighbours,
		file:    slotsFile{path: filepath.Join(o.Config.StateDir, "slots.json")},
		history: history{},
		reports: make(chan metadata.Problem, 8),
		ended:   make(chan struct{}),
		started: time.Now(),
	}
	a.counters.init()
	a.setSource(o.Source)
	a.counters.poll.Store(int64(o.Config.Metadata.Poll))
	var err error
	if a.slots, err = a.file.load(); err != nil {
		a.log.Warn(err.Error())
	}
	a.memory = a.remembered(o.Config.StateDir)
	a.outage.since = a.started
	a.status.Store(&Status{Version: o.Version, ENIs: []ENIStatus{}, Policies: []PolicyStatus{}, Problems: []metadata.Problem{}, Metadata: MetadataStatus{Provider: string(o.Config.Metadata.Provider), Since: a.started}})
	return a
}

// setSource changes who is asked for the truth.
func (a *Agent) setSource(s Source) {
	a.source = s
	a.counters.source.Store(&s)
}

// Status is the state as of the last pass.
func (a *Agent) Status() *Status { return a.status.Load() }

// outage remembers since when the metadata answers or does not, so that the log has one line at
// each end.
type outage struct {
	err        error
	since      time.Time
	lastAnswer time.Time
}

// learn takes one result of the source.
func (a *Agent) learn(s metadata.Snapshot, err error, now time.Time) {
	if err != nil {
		a.fail(err, now)
		return
	}
	if a.noCloud() {
		a.log.Info("a cloud is found", "provider", s.Provider)
		a.outage.since = now
	} else if a.outage.err != nil {
		a.log.Info("metadata answers again", "after", now.Sub(a.outage.since).Round(time.Millisecond))
		a.outage.since = now
	}
	a.outage.err, a.outage.lastAnswer = nil, now
	a.answered = s
	a.memory.confirm(s)
	a.belief = a.belief.Update(s, now, a.config.Metadata.DetachAfter)
}

// fail notes that nothing was learnt, with one line in the log until something is.
func (a *Agent) fail(err error, now time.Time) {
	before := a.outage.err
	a.outage.err = err
	if none, ok := errors.AsType[*NoCloudError](err); ok && a.noCloud() {
		if !isNoCloud(before) {
			a.outage.since = now
			a.log.Info(none.Summary)
		}
		return
	}
	if before == nil || isNoCloud(before) && !isNoCloud(err) {
		a.outage.since = now
		a.log.Warn("metadata does not answer, everything stays as it is", "error", err)
	}
}

// noCloud reports whether this host is in no cloud, as far as can be told: nothing is known of any ENI.
func (a *Agent) noCloud() bool { return isNoCloud(a.outage.err) && len(a.belief.Interfaces()) == 0 }

func isNoCloud(err error) bool {
	_, ok := errors.AsType[*NoCloudError](err)
	return ok
}

// enis are the believed interfaces with what the configuration says of each, and what the host knows of their
// subnets where nobody else does.
func (a *Agent) enis(h netcfg.Host) []netcfg.ENI {
	var enis []netcfg.ENI
	for _, b := range a.belief.Interfaces() {
		name := ""
		link, problem := netcfg.MatchLink(b.MAC, h.Links)
		if problem == nil {
			name = link.Name
		} else if !b.AbsentSince.IsZero() && problem.Reason == "no-nic" {
			continue // neither the metadata nor the host knows it any more
		}
		c := a.config.For(b.MAC, b.ID.Value, name)
		enis = append(enis, netcfg.ENI{
			Interface: b.Interface, Hold: b.Hold, Ignore: c.Ignore, Only: c.Addresses,
			// Every provider of this version has all ENIs in one VPC, where auto means off.
			SubnetRoute: c.SubnetRoute == On,
		})
	}
	return netcfg.Inherit(enis, h)
}

// scope is the part of the kernel to look at: NICs and tables of all ENIs known or remembered.
func (a *Agent) scope(full bool) netcfg.Scope {
	s := netcfg.Scope{MACs: map[metadata.MAC]bool{}, Tables: a.slots.Tables(a.config.Routing), Full: full, Chains: a.chains, Numbers: a.config.Routing}
	s.Protos = append(s.Protos, a.config.Routing.Protocol)
	for _, p := range a.kernel.Protos() {
		if p != a.config.Routing.Protocol {
			s.Protos = append(s.Protos, p)
		}
	}
	for mac := range a.slots {
		s.MACs[mac] = true
	}
	for _, b := range a.belief.Interfaces() {
		s.MACs[b.MAC] = true
		s.Local = append(s.Local, b.Local.Value...)
	}
	return s
}

// Sentence says in one line how things are and where to see more, for people who ask the service
// manager.
func (s *Status) Sentence() string {
	troubled := func(p PolicyStatus) bool { return len(p.Problems) > 0 }
	if !s.Converged || !s.Metadata.OK || len(s.Problems) > 0 || slices.ContainsFunc(s.Policies, troubled) {
		return s.summary() + "; see enid status"
	}
	return s.summary()
}

// summary says in a few words how things are.
func (s *Status) summary() string {
	right, wrong := 0, 0
	for _, e := range s.ENIs {
		if e.Phase == PhaseConfigured {
			right++
		} else if e.Phase != netcfg.Ignored {
			wrong++
		}
	}
	text := fmt.Sprintf("%d ENIs configured", right)
	if right == 1 {
		text = "1 ENI configured"
	}
	if wrong > 0 {
		text += fmt.Sprintf(", %d not", wrong)
	}
	if s.Metadata.NoCloud {
		text = "no cloud found, nothing to do"
	} else if !s.Metadata.OK && s.Metadata.Error == "" {
		text += ", the metadata has not answered yet"
	} else if !s.Metadata.LastGood.IsZero() {
		text += ", the metadata does not answer, its last good answer is used"
	} else if !s.Metadata.OK {
		text += ", the metadata does not answer"
	}
	return text
}
