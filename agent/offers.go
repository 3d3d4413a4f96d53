package agent

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"enid/metadata"
	"enid/netcfg"
	"enid/netcfg/offer"
)

// How often a network is asked by DHCP. What it says of itself is as good as fixed: it is asked again for what the
// offer before left out.
const (
	offerLasts      = time.Hour
	offerRetryLeast = 10 * time.Second
	offerRetryMost  = 10 * time.Minute
)

// offered is a source whose answers are completed by DHCP offers, where nothing else says an ENI's subnet or
// gateway: of the clouds' metadata JD Cloud's leaves them out, and OpenStack's the address too.
type offered struct {
	Source
	offers *offers
}

// withOffers adds the offers to a source where the configuration wants them and they can be of use.
func withOffers(s Source, c MetadataConfig) Source {
	if c.DHCP == Off || c.Provider != ProviderAuto && !leavesToDHCP(c.Provider) {
		return s
	}
	return offered{s, newOffers(offer.Discover)}
}

// leavesToDHCP reports whether a provider's metadata leaves out what an ENI's network is, and even its address.
func leavesToDHCP(p Provider) bool { return p == ProviderJDCloud || p == ProviderOpenStack }

// Fetch is the source's answer with the offers that are here. It asks no network and waits for none.
func (o offered) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	s, err := o.Source.Fetch(ctx)
	if err != nil || !leavesToDHCP(Provider(s.Provider)) {
		return s, err
	}
	layer, problems := o.offers.about(s)
	if len(layer) > 0 {
		s = metadata.Validate(metadata.Complete(s, layer))
	}
	s.Problems = append(s.Problems, problems...)
	return s, nil
}

// inner is the source without the offers.
func (o offered) inner() Source { return o.Source }

// Requests counts the source's requests by result.
func (o offered) Requests() map[string]uint64 { return requests(o.Source) }

// offers are the questions to the networks of the NICs, and what came of them. It is used by the goroutine
// that fetches, by the loop's, and by those that ask.
type offers struct {
	discover func(context.Context, netcfg.Link, netip.Addr) (offer.Offer, []error, error)
	asking   sync.WaitGroup

	mu sync.Mutex
	// wanted are the primary addresses of the ENIs of which the newest answer does not say enough, zero for one whose
	// address it leaves to DHCP.
	wanted    map[metadata.MAC]netip.Addr
	inquiries map[metadata.MAC]*inquiry
}

// inquiry is about one NIC and the ENI's primary address, zero where DHCP is to tell it. With another of either a new
// one begins.
type inquiry struct {
	nic     netcfg.Link
	address netip.Addr
	cancel  context.CancelFunc
	asking  bool
	next    time.Time // not to be asked before
	backoff metadata.Backoff
	offer   offer.Offer // the newest; the zero Offer while there is none
	ignored string      // what was offered that does not count
	failure string      // why there is no offer
}

func newOffers(discover func(context.Context, netcfg.Link, netip.Addr) (offer.Offer, []error, error)) *offers {
	return &offers{discover: discover, wanted: map[metadata.MAC]netip.Addr{}, inquiries: map[metadata.MAC]*inquiry{}}
}

// about is what the offers say of a snapshot's ENIs, and notes what they should be asked.
func (o *offers) about(s metadata.Snapshot) (layer []metadata.Interface, problems []metadata.Problem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.wanted)
	for _, i := range s.Interfaces {
		address, lacks := wants(i)
		if !lacks || s.Provider == string(ProviderOpenStack) && !i.ByDHCP { // OpenStack says where there is no server
			continue
		}
		o.wanted[i.MAC] = address
		q := o.inquiries[i.MAC]
		if q == nil || q.address != address {
			continue
		}
		if q.offer.Address.IsValid() {
			layer = append(layer, q.says(i.MAC))
		}
		problems = append(problems, q.problems(i, inherits(i, s))...)
	}
	return layer, problems
}

// lackAddress reports whether an ENI's IPv4 address is for DHCP to tell and has not been: one that has IPv6 as well is
// not incomplete without it.
func (o *offers) lackAddress() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for mac, address := range o.wanted {
		if q := o.inquiries[mac]; !address.IsValid() && (q == nil || !q.offer.Address.IsValid()) {
			return true
		}
	}
	return false
}

// wants is the primary address of a secondary ENI of whose IPv4 network something is unknown; the zero Addr where even
// that is for DHCP to tell. The MTU alone is no reason to ask: the NIC has one.
func wants(i metadata.Interface) (primary netip.Addr, lacks bool) {
	if i.Primary.State != metadata.Known || i.Primary.Value {
		return primary, false
	}
	n := slices.IndexFunc(i.Addresses.Value, netip.Addr.Is4)
	if n < 0 {
		return primary, i.ByDHCP && !i.Addresses.Whole()
	}
	subnet := i.Subnets.Whole() || slices.ContainsFunc(i.Subnets.Value, func(p netip.Prefix) bool { return p.Addr().Is4() })
	gateway := i.Gateways.Whole() || slices.ContainsFunc(i.Gateways.Value, netip.Addr.Is4)
	return i.Addresses.Value[n], !subnet || !gateway
}

// inherits reports whether an ENI is in the primary's subnet, which the host knows (netcfg.Inherit).
func inherits(i metadata.Interface, s metadata.Snapshot) bool {
	return i.SubnetID.State == metadata.Known && slices.ContainsFunc(s.Interfaces, func(p metadata.Interface) bool {
		return p.Primary.Value && p.SubnetID.State == metadata.Known && p.SubnetID.Value == i.SubnetID.Value
	})
}

// says is the offer as facts: of the primary address's network, beside which the ENI may have others.
func (q *inquiry) says(mac metadata.MAC) metadata.Interface {
	origin := fmt.Sprintf("dhcp offer of %s on %s", q.offer.Server, q.nic.Name)
	i := metadata.Interface{MAC: mac, Subnets: metadata.HasAtLeast([]netip.Prefix{q.offer.Prefix}, origin)}
	if !q.address.IsValid() {
		i.Addresses = metadata.HasAtLeast([]netip.Addr{q.offer.Address}, origin)
	}
	if q.offer.Gateway.IsValid() {
		i.Gateways = metadata.HasAtLeast([]netip.Addr{q.offer.Gateway}, origin)
	}
	if q.offer.MTU != 0 {
		i.MTU = metadata.Is(q.offer.MTU, origin)
	}
	return i
}

// problems are what to tell of an inquiry. That nobody answers is none where it is known otherwise.
func (q *inquiry) problems(i metadata.Interface, known bool) []metadata.Problem {
	var p []metadata.Problem
	if q.ignored != "" {
		p = append(p, metadata.Problem{Interface: i.Name(), Reason: "dhcp-offer-ignored",
			Text: fmt.Sprintf("on %s %s; it is ignored", q.nic.Name, q.ignored)})
	}
	if q.failure != "" && !q.offer.Address.IsValid() && !known {
		field, missing := "subnets", "the subnet and the gateway"
		if !q.address.IsValid() {
			field, missing = "addresses", "the address, the subnet and the gateway"
		}
		p = append(p, metadata.Problem{Interface: i.Name(), Field: field, Reason: "no-dhcp-offer",
			Text: q.failure + "; say " + missing + " in an interfaces document"})
	}
	return p
}

// ask asks the networks of those NICs that are up and whose time has come, each in a goroutine of its own that
// ends with ctx, and calls news where one has brought something new.
func (o *offers) ask(ctx context.Context, links []netcfg.Link, news func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	here := map[metadata.MAC]netcfg.Link{}
	for mac := range o.wanted {
		if link, problem := netcfg.MatchLink(mac, links); problem == nil {
			here[mac] = link
		}
	}
	o.forget(links)
	for mac, link := range here {
		q := o.inquiries[mac]
		if q == nil || q.address != o.wanted[mac] {
			o.drop(mac)
			q = &inquiry{address: o.wanted[mac], backoff: metadata.Backoff{Min: offerRetryLeast, Max: offerRetryMost}}
			o.inquiries[mac] = q
		}
		q.nic = link
		if link.Up && !q.asking && !time.Now().Before(q.next) {
			o.start(ctx, q, news)
		}
	}
}

// forget ends the inquiries by NICs that are gone.
func (o *offers) forget(links []netcfg.Link) {
	for mac, q := range maps.Clone(o.inquiries) {
		if link, problem := netcfg.MatchLink(mac, links); problem != nil || link.Index != q.nic.Index {
			o.drop(mac)
		}
	}
}

func (o *offers) drop(mac metadata.MAC) {
	if q := o.inquiries[mac]; q != nil && q.cancel != nil {
		q.cancel()
	}
	delete(o.inquiries, mac)
}

func (o *offers) start(ctx context.Context, q *inquiry, news func()) {
	ctx, q.cancel = context.WithCancel(ctx)
	q.asking = true
	nic, address := q.nic, q.address
	if !address.IsValid() {
		address = q.offer.Address // once told it is the ENI's, as long as its NIC is here
	}
	o.asking.Go(func() {
		found, ignored, err := o.discover(ctx, nic, address)
		o.mu.Lock()
		defer o.mu.Unlock()
		q.cancel()
		q.asking = false
		if q.answered(found, ignored, err) {
			news()
		}
	})
}

// answered takes in how a question went, and reports whether that is news. An offer that is not made again
// still holds: who does not answer takes nothing back.
func (q *inquiry) answered(found offer.Offer, ignored []error, err error) bool {
	before := *q
	var texts []string
	for _, e := range ignored {
		texts = append(texts, e.Error())
	}
	q.ignored, q.failure = strings.Join(texts, "; "), ""
	if err != nil {
		q.failure = err.Error()
		q.next = time.Now().Add(q.backoff.Next())
	} else {
		q.offer = found
		q.next = time.Now().Add(offerLasts)
		q.backoff.Reset()
	}
	return q.offer != before.offer || q.ignored != before.ignored || q.failure != before.failure
}

// inquire asks the networks after a pass, which has brought the NICs up. What comes of it is part of the
// source's next answer.
func (l *loop) inquire(ctx context.Context) {
	if s, ok := l.source.(offered); ok {
		s.offers.ask(ctx, l.askable(l.links), func() { Poke(l.events.Files) })
	}
}

// inquireOnce asks the networks and waits for them, where a pass has left something incomplete. It reports
// whether to ask the source again.
func (a *Agent) inquireOnce(ctx context.Context, links []netcfg.Link) (news bool) {
	s, ok := a.source.(offered)
	incomplete := func(e ENIStatus) bool { return e.Phase == netcfg.Incomplete }
	if !ok || !slices.ContainsFunc(a.Status().ENIs, incomplete) && !s.offers.lackAddress() {
		return false
	}
	s.offers.ask(ctx, a.askable(links), func() { news = true }) // called under the offers' lock
	s.offers.asking.Wait()
	return news
}

// askable are the NICs without those that the configuration tells enid to leave alone.
func (a *Agent) askable(links []netcfg.Link) []netcfg.Link {
	ids := map[metadata.MAC]string{}
	for _, b := range a.belief.Interfaces() {
		ids[b.MAC] = b.ID.Value
	}
	return slices.DeleteFunc(slices.Clone(links), func(l netcfg.Link) bool {
		return a.config.For(l.MAC, ids[l.MAC], l.Name).Ignore
	})
}
