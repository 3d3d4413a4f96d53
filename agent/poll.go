package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// How often the metadata is asked when something is expected. The numbers are what the users of
// other agents wait for in vain: an answer within 200 ms of its being there.
const (
	hurryFor     = time.Minute            // after a NIC appeared that the metadata does not know
	hurryEvery   = 100 * time.Millisecond // in the first minute
	expectFor    = 10 * time.Minute       // after that, less often
	expectEvery  = time.Second
	confirmAfter = time.Second // a loss waits for a second answer that agrees
	fetchTimeout = 10 * time.Second
	retryAtLeast = time.Second // after a failure, doubling up to the poll interval
	pollRoom     = 0.1         // polls come this share early, so that also what is confirmed is done within the poll interval
	pollJitter   = 0.1         // and up to this share earlier, so that a fleet spreads out
	searchAtMost = time.Minute // between two searches for a cloud, where none is found
)

// answer is one result of the source.
type answer struct {
	snapshot metadata.Snapshot
	err      error
}

// poller decides when to ask the source, and asks in a goroutine of its own so that a source
// that hangs holds nothing up. It belongs to the loop's goroutine.
type poller struct {
	answers chan answer
	timer   *time.Timer
	asking  bool
	asked   time.Time // when the last question was sent
	early   float64   // how much earlier the next one comes, as a share of the poll interval
	backoff metadata.Backoff
	search  metadata.Backoff // where no cloud is found
	again   time.Duration    // how long to wait after the newest failure
	anew    bool             // ask once more when the answer is here
	news    bool             // the source says itself that it has something new
	watched bool             // and would, if it had
	cancel  context.CancelFunc
	// nics is when each NIC without an ENI was first seen, by ifindex.
	nics map[int]time.Time

	source    Source // who was asked last
	before    tally  // of its requests when it was asked
	budget    budget
	refusals  metadata.Backoff // after answers that the service refused in part
	notBefore time.Time        // the service does not want to be asked before
	hurried   bool             // something is expected soon
	fresh     bool             // a NIC has come since the last question
	// held is told for each question why it comes later than it would: "budget" or "refused".
	held    func(reason string)
	because string
}

func newPoller(poll time.Duration) *poller {
	return &poller{
		answers: make(chan answer, 1), timer: time.NewTimer(0), nics: map[int]time.Time{},
		backoff:  metadata.Backoff{Min: retryAtLeast, Max: poll},
		refusals: metadata.Backoff{Min: retryAtLeast, Max: searchAtMost},
		search:   metadata.Backoff{Min: retryAtLeast, Max: searchAtMost},
		held:     func(string) {},
	}
}

// ask sends one question, unless one is under way.
func (p *poller) ask(ctx context.Context, s Source) {
	if p.asking {
		return
	}
	p.asking, p.asked, p.early, p.news = true, time.Now(), rand.Float64()*pollJitter, false
	p.fresh = false
	if p.because != "" {
		p.held(p.because)
		p.because = ""
	}
	p.source, p.before = s, tallied(requests(s))
	ctx, p.cancel = context.WithTimeout(ctx, fetchTimeout)
	answers := p.answers
	go func() {
		snapshot, err := s.Fetch(ctx)
		answers <- answer{snapshot, err}
	}()
}

// askAnew sends a question that sees what is there now: one more after that which is under way.
func (p *poller) askAnew(ctx context.Context, s Source) {
	p.anew = p.asking
	p.ask(ctx, s)
}

// catchUp sends the question that askAnew left for later.
func (p *poller) catchUp(ctx context.Context, s Source) {
	if p.anew {
		p.anew = false
		p.ask(ctx, s)
	}
}

// forget drops the question that is under way: it is to a source that is not asked any more.
func (p *poller) forget() {
	if p.asking {
		p.cancel()
		p.asking, p.anew, p.answers = false, false, make(chan answer, 1)
	}
}

// answered notes how a question went: each failure in a row doubles the wait for the next, which begins shorter
// where something is expected.
func (p *poller) answered(err error) {
	p.cancel()
	p.asking = false
	now := time.Now()
	cost := tallied(requests(p.source)).since(p.before)
	p.budget.perSecond = limit(p.source)
	p.budget = p.budget.spend(cost.all, now)
	if cost.refused > 0 {
		p.notBefore = now.Add(p.refusals.Next())
	} else if err == nil {
		p.refusals.Reset()
	}
	if status, ok := errors.AsType[*metadata.StatusError](err); ok && status.RetryAfter > 0 {
		later := time.Duration(p.early * float64(status.RetryAfter)) // for a fleet that is told the same
		p.notBefore = latest(p.notBefore, now.Add(status.RetryAfter+later))
	}
	p.backoff.Min = retryAtLeast
	if p.hurried {
		p.backoff.Min = hurryEvery
	}
	if err == nil {
		p.backoff.Reset()
		p.search.Reset()
	} else if isNoCloud(err) {
		p.again = p.search.Next()
	} else {
		p.again = p.backoff.Next()
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// schedule sets when to ask next, given how things are.
func (p *poller) schedule(a *Agent, links []netcfg.Link) {
	now := time.Now()
	wanted := max(p.asked.Add(p.interval(a, links, now)).Sub(now), 0)
	affordable, allowed := p.budget.wait(now), p.notBefore.Sub(now)
	p.because = ""
	if affordable > wanted {
		p.because = "budget"
	}
	if allowed > max(wanted, affordable) {
		p.because = "refused"
	}
	p.timer.Reset(max(wanted, affordable, allowed))
}

// interval is the time from one question to the next, if it was for us alone.
func (p *poller) interval(a *Agent, links []netcfg.Link, now time.Time) time.Duration {
	before := p.nics
	every := p.expecting(a, links, now)
	p.hurried = every == hurryEvery
	if appeared(before, p.nics) {
		p.fresh = true
		p.backoff.Reset()
	}
	if p.news || p.fresh {
		return 0 // ask now, not at the next poll
	}
	if a.outage.err != nil {
		return p.again // also where something is expected: a service that comes back has enough to do
	}
	wait := p.regular(a.config.Metadata.Poll)
	wait -= time.Duration((pollRoom + p.early) * float64(wait)) // drawn once: each pass comes by here
	if a.belief.Pending() {
		wait = min(wait, confirmAfter)
	}
	if deadline, ok := a.belief.NextDeadline(); ok {
		wait = min(wait, max(deadline.Sub(p.asked), confirmAfter))
	}
	if every > 0 {
		wait = min(wait, every+time.Duration(p.early/2*float64(every)))
	}
	return wait
}

// appeared reports whether there is a NIC that was not there before.
func appeared(before, now map[int]time.Time) bool {
	for index := range now {
		if _, known := before[index]; !known {
			return true
		}
	}
	return false
}

// expecting is how often to ask for the sake of NICs that have no ENI yet, 0 for none. It
// keeps note of since when they wait.
func (p *poller) expecting(a *Agent, links []netcfg.Link, now time.Time) time.Duration {
	var every time.Duration
	waiting := map[int]time.Time{}
	for _, l := range links {
		if !a.waits(l, links) {
			continue
		}
		since, known := p.nics[l.Index]
		if !known {
			since = now
			every = hurryEvery
		}
		waiting[l.Index] = since
		switch age := now.Sub(since); {
		case age < hurryFor:
			every = hurryEvery
		case age < expectFor && every == 0:
			every = expectEvery
		}
	}
	p.nics = waiting
	return every
}

// waits reports whether a NIC looks like an ENI's of which too little is known: of the same
// kind as the primary's, so that the veths of containers do not count on a real cloud.
func (a *Agent) waits(l netcfg.Link, links []netcfg.Link) bool {
	if l.Master != 0 || l.MAC == (metadata.MAC{}) {
		return false
	}
	kind := ""
	for _, b := range a.belief.Interfaces() {
		if b.MAC == l.MAC {
			return b.Addresses.State == metadata.Unknown || b.Primary.State == metadata.Unknown
		}
		if nic, problem := netcfg.MatchLink(b.MAC, links); problem == nil && b.Primary.Value {
			kind = nic.Kind
		}
	}
	return l.Kind == kind
}
