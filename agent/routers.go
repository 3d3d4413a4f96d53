package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/router"
)

// routed is a source whose answers are completed by router advertisements, where nothing else says an ENI's IPv6
// subnet or gateway: Azure's metadata leaves them out.
type routed struct {
	Source
	routers *routers
}

func withRouters(s Source) Source { return routed{s, newRouters(router.Listen)} }

// Fetch is the source's answer with the advertisements that were heard. It waits for none.
func (r routed) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	s, err := r.Source.Fetch(ctx)
	if err != nil {
		return s, err
	}
	layer, problems := r.routers.about(s)
	if len(layer) > 0 {
		s = metadata.Validate(metadata.Complete(s, layer))
	}
	s.Problems = append(s.Problems, problems...)
	return s, nil
}

// inner is the source without the advertisements.
func (r routed) inner() Source { return r.Source }

// Requests counts the source's requests by result.
func (r routed) Requests() map[string]uint64 { return requests(r.Source) }

// routersOf finds the routers in a source, nil where it has none.
func routersOf(s Source) *routers {
	for s != nil {
		if r, ok := s.(routed); ok {
			return r.routers
		}
		w, ok := s.(wrapper)
		if !ok {
			return nil
		}
		s = w.inner()
	}
	return nil
}

// routers listen on the NICs of the ENIs of which too little is known. It is used by the goroutine that fetches, by
// the loop's, and by those that listen.
type routers struct {
	listen    func(context.Context, netcfg.Link, func(router.Advertisement), func(error)) error
	listening sync.WaitGroup

	mu     sync.Mutex
	wanted map[metadata.MAC]bool // of which the newest answer does not say enough
	ears   map[metadata.MAC]*ear
}

func newRouters(listen func(context.Context, netcfg.Link, func(router.Advertisement), func(error)) error) *routers {
	return &routers{listen: listen, wanted: map[metadata.MAC]bool{}, ears: map[metadata.MAC]*ear{}}
}

// about is what the routers say of a snapshot's ENIs, and notes on whose NICs to listen.
func (r *routers) about(s metadata.Snapshot) (layer []metadata.Interface, problems []metadata.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.wanted)
	for _, i := range s.Interfaces {
		if l, complete := mains(i); complete {
			layer = append(layer, l)
		}
		subnet, gateway := lacks6(i)
		if !subnet && !gateway {
			continue
		}
		r.wanted[i.MAC] = true
		e := r.ears[i.MAC]
		if e == nil {
			continue
		}
		e.choose()
		layer = append(layer, e.says(i, subnet, gateway))
		if !i.Primary.Value { // of which the host knows more
			problems = append(problems, e.problems(i, gateway)...)
		}
	}
	return layer, problems
}

// lacks6 says what of an ENI's IPv6 network no source tells. The primary's gateway is main's affair.
func lacks6(i metadata.Interface) (subnet, gateway bool) {
	if i.Primary.State != metadata.Known || !slices.ContainsFunc(i.Addresses.Value, netip.Addr.Is6) {
		return false, false
	}
	subnet = !i.Subnets.Whole() && !slices.ContainsFunc(i.Subnets.Value, func(p netip.Prefix) bool { return p.Addr().Is6() })
	gateway = !i.Gateways.Whole() && !slices.ContainsFunc(i.Gateways.Value, netip.Addr.Is6)
	return subnet, gateway && !i.Primary.Value
}

// ask listens on those NICs that are up, each in a goroutine of its own that ends with ctx or when it is not needed any
// more, and calls news where a router has said something new. lost are NICs by which the host has lost its
// default: to be listened on for the question that this sends, which makes the kernel hear the answer.
func (r *routers) ask(ctx context.Context, links []netcfg.Link, lost []metadata.MAC, news func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	here := map[metadata.MAC]netcfg.Link{}
	for _, link := range links {
		if r.wanted[link.MAC] || slices.Contains(lost, link.MAC) {
			if link, problem := netcfg.MatchLink(link.MAC, links); problem == nil && link.Up {
				here[link.MAC] = link
			}
		}
	}
	for mac, e := range r.ears {
		if link, wanted := here[mac]; !wanted && !(r.wanted[mac] && e.stays(links)) || wanted && link.Index != e.nic.Index {
			e.cancel()
			delete(r.ears, mac)
		}
	}
	for mac, link := range here {
		e := r.ears[mac]
		if e == nil {
			e = &ear{since: time.Now(), backoff: metadata.Backoff{Min: time.Second, Max: time.Minute}}
			r.ears[mac] = e
		}
		e.nic = link
		if !e.open && !time.Now().Before(e.next) {
			r.start(ctx, e, news)
		}
	}
}

func (r *routers) start(ctx context.Context, e *ear, news func()) {
	ctx, e.cancel = context.WithCancel(ctx)
	e.open = true
	nic := e.nic
	tell := func(change func() bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if ctx.Err() == nil && change() {
			news()
		}
	}
	r.listening.Go(func() {
		err := r.listen(ctx, nic,
			func(a router.Advertisement) { tell(func() bool { return e.heard(a) }) },
			func(err error) { tell(func() bool { return e.refused(err) }) })
		tell(func() bool { return e.failed(err) })
	})
}

// listen hears the routers after a pass, which has brought the NICs up. What they say is part of the source's next
// answer.
func (l *loop) listen(ctx context.Context) {
	if r := routersOf(l.source); r != nil {
		r.ask(ctx, l.askable(l.links), l.lostRA, func() { Poke(l.events.Files) })
	}
}

// onceHeard is how long a single pass waits for routers: the second in which a NIC that has come up is deaf, and
// three questions.
const onceHeard = 7 * time.Second

// listenOnce hears the routers where a pass has left something incomplete. It reports whether to ask the source again.
func (a *Agent) listenOnce(ctx context.Context, links []netcfg.Link) (news bool) {
	r := routersOf(a.source)
	if r == nil || len(a.lostRA) == 0 && !r.lacking() {
		return false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, onceHeard, errors.New("no router answers"))
	defer cancel()
	r.ask(ctx, a.askable(links), a.lostRA, func() { // called under the routers' lock
		news = news || !r.lackingNow()
		if news {
			cancel()
		}
	})
	r.listening.Wait()
	return news
}

// lacking reports whether a NIC is wanted of which no router has said anything.
func (r *routers) lacking() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lackingNow()
}

func (r *routers) lackingNow() bool {
	for mac := range r.wanted {
		if e := r.ears[mac]; e == nil || len(e.known) == 0 {
			return true
		}
	}
	return false
}

// lostDefaults are the NICs by which main has lost a default that router advertisements gave.
func lostDefaults(t netcfg.Target) (macs []metadata.MAC) {
	for _, o := range t.ENIs {
		if o.LostRA {
			macs = append(macs, o.MAC)
		}
	}
	return macs
}
