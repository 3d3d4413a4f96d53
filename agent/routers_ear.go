package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/router"
)

// silenceAfter is for how long nothing is said about a NIC on which no router was heard: it may just have come up.
const silenceAfter = 10 * time.Second

// ear is what was heard on one NIC.
type ear struct {
	nic     netcfg.Link
	cancel  func()
	open    bool
	next    time.Time // not to be opened again before
	backoff metadata.Backoff
	since   time.Time

	known   []voice // each router once, in the order in which they were first heard
	present netip.Addr
	ignored string // why the last word that does not count does not
	failure string // why nothing is heard
}

// voice is what one router has said.
type voice struct {
	router     netip.Addr
	preference router.Preference
	prefixes   []netip.Prefix
	mtu        int
	until      time.Time // its word lasts; what it said stays known for as long as nothing better is
	gone       bool      // it says itself that it is no default router
}

func (v voice) offers(now time.Time) bool { return !v.gone && now.Before(v.until) }

// mostVoices bounds what is remembered.
const mostVoices = 16

// stays reports whether the NIC is still there: what was heard holds while it is down.
func (e *ear) stays(links []netcfg.Link) bool {
	return slices.ContainsFunc(links, func(l netcfg.Link) bool { return l.Index == e.nic.Index && l.MAC == e.nic.MAC })
}

// heard takes in an advertisement, and reports whether that is news. A prefix that is not repeated stays: a router may
// tell of them in turn.
func (e *ear) heard(a router.Advertisement) bool {
	before, gateway := e.summary(), e.present
	i := slices.IndexFunc(e.known, func(v voice) bool { return v.router == a.Router })
	if i < 0 {
		if len(e.known) == mostVoices {
			return false
		}
		i = len(e.known)
		e.known = append(e.known, voice{router: a.Router})
	}
	v := &e.known[i]
	v.preference, v.gone, v.until = a.Preference, !a.Default(), time.Now().Add(a.Lifetime)
	if a.MTU != 0 {
		v.mtu = a.MTU
	}
	v.prefixes = slices.DeleteFunc(slices.Clone(v.prefixes), func(p netip.Prefix) bool { return slices.Contains(a.Withdrawn, p) })
	for _, p := range a.Prefixes {
		if !slices.Contains(v.prefixes, p) {
			v.prefixes = append(v.prefixes, p)
		}
	}
	e.failure = ""
	e.choose()
	return gateway != e.present || before != e.summary()
}

// summary is what counts of all that was said, but for how long.
func (e *ear) summary() (s string) {
	for _, v := range e.known {
		s += fmt.Sprintln(v.router, v.preference, v.prefixes, v.mtu, v.gone)
	}
	return s
}

func (e *ear) refused(err error) bool {
	before := e.ignored
	e.ignored = err.Error()
	return before != e.ignored
}

// failed takes in that nothing more will be heard. It is tried again.
func (e *ear) failed(err error) bool {
	before := e.failure
	e.open, e.failure = false, err.Error()
	e.next = time.Now().Add(e.backoff.Next())
	return before != e.failure
}

// choose decides for a router: the one that wants it most, of these the present one. While none offers itself, the
// present one stays: that nobody repeats it takes nothing back.
func (e *ear) choose() {
	now := time.Now()
	best := -1
	for i, v := range e.known {
		if !v.offers(now) {
			continue
		}
		if best < 0 || v.preference > e.known[best].preference || v.preference == e.known[best].preference && v.router == e.present {
			best = i
		}
	}
	if best >= 0 {
		e.present = e.known[best].router
	}
}

// says is what was heard as facts. A family that is told completes the other: then the ENI's network is known, and an
// answer may take something away.
func (e *ear) says(i metadata.Interface, subnet, gateway bool) metadata.Interface {
	layer := metadata.Interface{MAC: i.MAC}
	for _, v := range e.known {
		origin := fmt.Sprintf("router advertisement of %s on %s", v.router, e.nic.Name)
		if gateway && v.router == e.present {
			layer.Gateways = metadata.HasAtLeast([]netip.Addr{v.router}, origin)
			if told4(i, slices.ContainsFunc(i.Gateways.Value, netip.Addr.Is4)) {
				layer.Gateways.State = metadata.Known
			}
		}
		if subnet && layer.Subnets.State == metadata.Unknown {
			layer.Subnets = v.subnets(i, origin)
		}
		if v.mtu != 0 && (layer.MTU.State == metadata.Unknown || v.router == e.present) {
			layer.MTU = metadata.Is(v.mtu, origin)
		}
	}
	return layer
}

// told4 reports whether nothing more is to be learnt of an ENI's IPv4 side: it is told, or there is none.
func told4(i metadata.Interface, told bool) bool {
	return i.Addresses.Whole() && (told || !slices.ContainsFunc(i.Addresses.Value, netip.Addr.Is4))
}

// subnets are the prefixes in which the ENI has addresses. All its subnets are known where every address is in one.
func (v voice) subnets(i metadata.Interface, origin string) metadata.Fact[[]netip.Prefix] {
	var own []netip.Prefix
	for _, p := range v.prefixes {
		if slices.ContainsFunc(i.Addresses.Value, p.Contains) {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		return metadata.Fact[[]netip.Prefix]{}
	}
	outside := func(a netip.Addr) bool {
		in := func(p netip.Prefix) bool { return p.Contains(a) }
		return !slices.ContainsFunc(own, in) && !slices.ContainsFunc(i.Subnets.Value, in)
	}
	if i.Addresses.Whole() && !slices.ContainsFunc(i.Addresses.Value, outside) {
		return metadata.Is(own, origin)
	}
	return metadata.HasAtLeast(own, origin)
}

// problems are what to tell.
func (e *ear) problems(i metadata.Interface, gateway bool) []metadata.Problem {
	var p []metadata.Problem
	add := func(reason, format string, args ...any) {
		p = append(p, metadata.Problem{Interface: i.Name(), Field: "gateway", Reason: reason, Text: fmt.Sprintf(format, args...)})
	}
	if e.ignored != "" {
		add("router-advertisement-ignored", "on %s %s; it is ignored", e.nic.Name, e.ignored)
	}
	at := slices.IndexFunc(e.known, func(v voice) bool { return v.router == e.present })
	const remedy = "say the IPv6 subnet and gateway in an interfaces document"
	switch {
	case e.failure != "" && at < 0:
		add("no-router-advertisement", "%s; %s", e.failure, remedy)
	case at < 0 && gateway && time.Since(e.since) >= silenceAfter:
		add("no-router-advertisement", "no router says on %s that it leads out; %s", e.nic.Name, remedy)
	case at >= 0 && gateway && e.known[at].gone:
		add("router-gone", "the router %s says on %s that it does not lead out any more, and no other says that it does; it stays the gateway meanwhile; %s", e.present, e.nic.Name, remedy)
	case at >= 0 && gateway && !e.known[at].offers(time.Now()):
		add("router-expired", "the router %s has not repeated on %s for as long as it said that it leads out, and no other says so; it stays the gateway meanwhile; look whether it is there (ping %s%%%s)", e.present, e.nic.Name, e.present, e.nic.Name)
	}
	return p
}
