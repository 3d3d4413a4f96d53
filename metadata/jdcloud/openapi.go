package jdcloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"enid/metadata"
)

// regionPath is where the metadata tells the region, which is part of every path of the OpenAPI.
const regionPath = "placement/region"

// Poll cost. One question tells of all ENIs. It comes with every poll of the metadata, as only the OpenAPI knows that
// an address was taken away by another machine, and with no more: the OpenAPI is shared by all of an account's machines
// and is throttled.
const (
	apiTime    = 5 * time.Second                   // for everything that one Complete asks
	apiAtLeast = time.Second - 50*time.Millisecond // between two questions about ENIs; a poll one second later is not too early
	subnetLife = time.Hour                         // a range is fixed, but an answer may have been wrong
	pageSize   = 100                               // the most that a page may have
	maxPages   = 10
)

// openAPI knows what the OpenAPI said, and asks it again when it is time to.
type openAPI struct {
	client  *apiClient
	read    func(ctx context.Context, path string) (string, error) // of the metadata
	refresh time.Duration                                          // between two questions when nothing changes

	mu      sync.Mutex
	role    role
	region  string
	enis    enisAnswer
	subnets map[string]*subnetAnswer // by id; an instance's ENIs are in a few
}

// enisAnswer is the newest answer about ENIs.
type enisAnswer struct {
	gate
	asked time.Time
	ids   []string // asked about
	enis  map[string]apiENI
	// agreed says that the answer before said the same. One that differs is asked again with the next poll, as a
	// loss is believed when a second answer agrees; the same answer used twice must not be that.
	agreed bool
}

// subnetAnswer is the newest answer about a subnet.
type subnetAnswer struct {
	gate
	prefix netip.Prefix // zero while unknown
	asked  time.Time
}

func newOpenAPI(endpoint string, poll time.Duration, read func(ctx context.Context, path string) (string, error)) *openAPI {
	o := &openAPI{
		client: newAPIClient(endpoint), read: read, subnets: map[string]*subnetAnswer{},
		refresh: 3 * poll / 4, // every poll: they come up to a fifth early (agent/poll.go)
		enis:    enisAnswer{gate: newGate()},
	}
	o.role.read = func(ctx context.Context) (string, error) { return read(ctx, rolePath) }
	return o
}

// complete adds to s what is not known in it. It asks nothing where nothing is missing. Failures are
// problems, and leave unknown what only the OpenAPI could have told.
func (o *openAPI) complete(ctx context.Context, s metadata.Snapshot) metadata.Snapshot {
	ids := missingLists(s.Interfaces)
	if len(ids) == 0 && len(missingSubnets(s.Interfaces, nil)) == 0 {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	v := view{asked: ids, subnets: map[string]netip.Prefix{}, refused: map[string]error{}}
	var err error
	if len(ids) > 0 {
		err = o.askENIs(ctx, ids, &v)
		v.fail(err)
	}
	o.askSubnets(ctx, missingSubnets(s.Interfaces, v.enis), unable(err), &v)
	return v.complete(s)
}

// askSubnets fills in the ranges of subnets. Where the OpenAPI was found unable to answer, it is spared more
// questions and the poll the wait.
func (o *openAPI) askSubnets(ctx context.Context, need map[string][]netip.Addr, down bool, v *view) {
	for _, id := range slices.Sorted(maps.Keys(need)) {
		prefix, fresh := o.knownSubnet(id, need[id])
		if !fresh && !down {
			var err error
			prefix, err = o.subnet(ctx, id, need[id])
			if down = unable(err); down {
				v.fail(err)
			} else if err != nil {
				v.refused[id] = err
			}
		}
		if prefix.IsValid() {
			v.subnets[id] = prefix
		}
	}
}

// unable reports whether an error is about asking at all, so that no other question would fare better: no role, no
// connection, throttling, a fault of the service.
func unable(err error) bool {
	refusal, refused := errors.AsType[*apiError](err)
	bad, _ := errors.AsType[*answerError](err)
	return err != nil && bad == nil && !(refused && refusal.Code/100 == 4 && refusal.Code != http.StatusTooManyRequests)
}

// askENIs fills in what is known about the ENIs, asking where it is time to.
func (o *openAPI) askENIs(ctx context.Context, ids []string, v *view) error {
	a := &o.enis
	now := time.Now()
	if !a.due(ids, now, o.refresh) {
		v.asked, v.enis, v.whole = a.ids, a.enis, a.agreed
		return nil
	}
	return a.try(ctx, func() error {
		a.asked = now
		enis, err := o.describeENIs(ctx, ids)
		if err != nil {
			a.enis, a.agreed = nil, false
			return err
		}
		a.agreed = alike(ids, a.enis, enis)
		a.ids, a.enis = ids, enis
		v.enis, v.whole = enis, true
		return nil
	})
}

// due reports whether it is time to ask: at once about an ENI that was not asked about, with the next poll
// after an answer that has changed, else now and then, and never twice within a second.
func (a *enisAnswer) due(ids []string, now time.Time, refresh time.Duration) bool {
	age := now.Sub(a.asked)
	switch {
	case a.enis == nil:
		return true
	case age < apiAtLeast:
		return false
	case !a.agreed || slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(a.ids, id) }):
		return true
	}
	return age >= refresh
}

// alike reports whether two answers say the same about the ENIs.
func alike(ids []string, a, b map[string]apiENI) bool {
	return a != nil && !slices.ContainsFunc(ids, func(id string) bool { return !reflect.DeepEqual(a[id], b[id]) })
}

// knownSubnet is the range of a subnet that need not be asked for.
func (o *openAPI) knownSubnet(id string, addresses []netip.Addr) (netip.Prefix, bool) {
	a, asked := o.subnets[id]
	if !asked || !holds(a.prefix, addresses) {
		return netip.Prefix{}, false
	}
	return a.prefix, time.Since(a.asked) < subnetLife
}

// subnet asks for the range of a subnet, in which the addresses are: one that does not hold them is an answer about
// something else. One that is known is good also while it cannot be read again: it is fixed.
func (o *openAPI) subnet(ctx context.Context, id string, addresses []netip.Addr) (netip.Prefix, error) {
	a, asked := o.subnets[id]
	if !asked {
		a = &subnetAnswer{gate: newGate()}
		o.subnets[id] = a
	}
	err := a.try(ctx, func() error {
		prefix, err := o.describeSubnet(ctx, id)
		if err == nil && !holds(prefix, addresses) {
			err = &answerError{o.client.base, "describeSubnet " + id, fmt.Errorf("its range %s does not hold %v", prefix, addresses)}
		}
		if err == nil {
			a.prefix, a.asked = prefix, time.Now()
		}
		return err
	})
	if err == nil || holds(a.prefix, addresses) {
		return a.prefix, nil
	}
	return netip.Prefix{}, err
}

func holds(p netip.Prefix, addresses []netip.Addr) bool {
	return p.IsValid() && !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return !p.Contains(a) })
}
