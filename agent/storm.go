package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"enid/netcfg"
)

// How repairs slow down where somebody removes what enid adds. A manager that reloads twenty times
// in a row must not slow them: its connections have to work again within 100 ms of each.
const (
	pauseAfterRun = 5 * time.Millisecond   // lets the events of one change run together
	pauseInHaste  = 20 * time.Millisecond  // after hasteAfter bouts
	pauseAtFirst  = 100 * time.Millisecond // after quickBouts, doubling with each
	pauseAtMost   = 30 * time.Second
	hasteAfter    = 5
	quickBouts    = 40
	// bout is how long repairs count as one: who deletes many objects does it while we put them back.
	bout = 100 * time.Millisecond
	// quickly is how soon after the pause a bout must come to make the next pause longer.
	quickly = time.Second
	// calm is how long nothing must have been repaired for a fight to be over.
	calm = time.Minute
)

// storm counts repairs, to slow them down and to say so where they do not end.
type storm struct {
	since time.Time // the first repair of the row
	last  time.Time // the newest
	begun time.Time // of the newest bout
	bouts int       // without a calm between
	quick int       // of these, with little between; one that comes late takes one away
}

// repaired counts a pass that had to put something back.
func (s storm) repaired(now time.Time) storm {
	if s.over(now) {
		s = storm{since: now}
	}
	again := now.Sub(s.last) <= s.pause()+quickly
	s.last = now
	if now.Sub(s.begun) < bout {
		return s
	}
	s.begun = now
	s.bouts++
	if again || s.bouts == 1 {
		s.quick++
	} else {
		s.quick--
	}
	s.quick = min(max(s.quick, 0), quickBouts+16)
	return s
}

// pause is how long after the last repair the next may come.
func (s storm) pause() time.Duration {
	switch {
	case s.quick <= hasteAfter:
		return pauseAfterRun
	case s.quick <= quickBouts:
		return pauseInHaste
	}
	return min(pauseAtFirst<<(s.quick-quickBouts-1), pauseAtMost)
}

// fought reports whether the repairs have come so often that somebody has to hear of it.
func (s storm) fought() bool { return s.bouts > quickBouts }

// over reports whether nothing has been repaired for long.
func (s storm) over(now time.Time) bool { return now.Sub(s.last) >= calm }

// repair is work that only the kernel gives a reason for: what it writes, somebody else had undone.
func (l *loop) repair(ctx context.Context, full bool) {
	if out := l.work(ctx, full); out.wrote == 0 || ctx.Err() != nil {
		return
	}
	before := l.storm
	l.storm = before.repaired(time.Now())
	l.rest()
	if !l.storm.fought() {
		return
	}
	l.calm.Reset(calm)
	if !before.fought() {
		var by []netcfg.Opponent
		if l.opponents != nil {
			by = l.opponents(l.storm.since)
		}
		l.setProblem("fought", foughtText(by))
		l.fighting = map[string]bool{}
	}
}

// rest keeps the kernel's pokes back: shortly after every pass, longer where somebody fights.
func (l *loop) rest() {
	pause := max(time.Until(l.storm.last.Add(l.storm.pause())), pauseAfterRun)
	l.paused = true
	l.pause.Reset(pause)
}

// logChange logs what was done to an ENI, or to all. In a fight the same is done again and again, and
// said once.
func (a *Agent) logChange(message string, about, did []any, more ...any) {
	level := slog.LevelInfo
	if a.fighting != nil {
		key := fmt.Sprint(message, about, did)
		if a.fighting[key] {
			level = slog.LevelDebug
		}
		a.fighting[key] = true
	}
	a.log.Log(context.Background(), level, message, slices.Concat(about, did, more)...)
}

// foughtText is the problem of a fight, with who was seen to remove something.
func foughtText(by []netcfg.Opponent) string {
	names := make([]string, len(by))
	for i, o := range by {
		names[i] = opponentText(o)
	}
	who := strings.Join(names, " and ")
	if who == "" {
		who = "nobody who removes was seen, so settings or chains are changed, or routes replaced"
	}
	return fmt.Sprintf("what enid adds is removed again and again: %s; enid goes on repairing, at intervals that grow to %s, and does what the metadata says at once. Tell that program to leave the ENIs alone, or enid to ignore them",
		who, pauseAtMost)
}

func opponentText(o netcfg.Opponent) string {
	objects := "1 object"
	if o.Removed != 1 {
		objects = fmt.Sprintf("%d objects", o.Removed)
	}
	switch {
	case o.PID == 0:
		return fmt.Sprintf("%s removed %s (a NIC was set down, or IPv6 addresses were removed)", o.Name, objects)
	case o.Name == "":
		return fmt.Sprintf("processes without a name (short-lived ones such as ip(8), or in a container), the last with netlink port id %d, removed %s", o.PID, objects)
	case o.Processes > 1:
		return fmt.Sprintf("%d short-lived processes %s, the last with id %d, removed %s", o.Processes, o.Name, o.PID, objects)
	}
	return fmt.Sprintf("%s, process id %d, removed %s", o.Name, o.PID, objects)
}
