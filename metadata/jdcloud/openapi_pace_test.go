package jdcloud

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/metadata"
)

// said is the metadata's word about port-1, and about more ENIs of the same form.
func said(more ...string) metadata.Snapshot {
	s := metadata.Snapshot{Provider: origin, Complete: true}
	for n, id := range append([]string{"port-1"}, more...) {
		s.Interfaces = append(s.Interfaces, metadata.Interface{
			MAC: metadata.MAC{2, 0, 0, 0, 0, byte(n + 1)}, ID: metadata.Is(id, origin), Primary: metadata.Is(n == 0, origin),
			SubnetID: metadata.Is("subnet-1", origin), Addresses: metadata.HasAtLeast([]netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(n + 5)})}, origin),
		})
	}
	return s
}

func addressesOf(s metadata.Snapshot) string {
	var list []string
	for _, a := range s.Interfaces[0].Addresses.Value {
		list = append(list, a.String())
	}
	return strings.Join(append(list, s.Interfaces[0].Addresses.State.String()), " ")
}

// TestPollCost: while nothing changes the ENIs are asked for with every poll and the subnet once an hour.
func TestPollCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		for n := range 361 { // an hour of polls, which come up to a tenth early
			if got := o.complete(t.Context(), said()); !got.Interfaces[0].Whole() || len(got.Problems) > 0 {
				t.Fatalf("poll %d: %+v", n, got)
			}
			<-time.After(9500 * time.Millisecond)
		}
		if got := s.count(enisPath); got != 361 {
			t.Errorf("%d questions about ENIs in an hour", got)
		}
		if got := s.count("/v1/regions/cn-north-1/subnets/subnet-1"); got != 1 {
			t.Errorf("%d questions about the subnet in an hour", got)
		}
		if s.count(rolePath) != 1 || s.count(regionPath) != 1 {
			t.Errorf("%d questions about the role, %d about the region", s.count(rolePath), s.count(regionPath))
		}
		<-time.After(3 * time.Minute)
		o.complete(t.Context(), said())
		if got := s.count("/v1/regions/cn-north-1/subnets/subnet-1"); got != 2 {
			t.Errorf("%d questions about the subnet after an hour", got)
		}
	})
}

// TestNothingMissing: where everything is known, nothing is asked, not even for a role.
func TestNothingMissing(t *testing.T) {
	s := newService()
	known := said()
	i := &known.Interfaces[0]
	i.Addresses = metadata.Is(i.Addresses.Value, "overlay")
	i.Prefixes = metadata.IsNone[[]netip.Prefix]("overlay")
	i.Subnets = metadata.Is([]netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}, "overlay")
	i.Gateways = metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.1.1")}, "overlay")
	s.openAPI().complete(t.Context(), known)
	if len(s.asked) > 0 {
		t.Errorf("asked %v", s.asked)
	}
	// Only the subnet is.
	i.Subnets, i.Gateways = metadata.Fact[[]netip.Prefix]{}, metadata.Fact[[]netip.Addr]{}
	got := s.openAPI().complete(t.Context(), known)
	if s.count(enisPath) != 0 || !got.Interfaces[0].Whole() || got.Interfaces[0].Addresses.Origin != "overlay" {
		t.Errorf("asked %v, got %+v", s.asked, got)
	}
}

// TestFastPolls: a hundred polls in ten seconds, as when a NIC is awaited, are at most ten questions, also when a new ENI comes;
// that one is asked for within a second.
func TestFastPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		poll := func(n int, snapshot metadata.Snapshot) (got metadata.Snapshot) {
			for range n {
				got = o.complete(t.Context(), snapshot)
				<-time.After(100 * time.Millisecond)
			}
			return got
		}
		poll(70, said())
		if got := s.count(enisPath); got != 2 {
			t.Errorf("%d questions while nothing changed, want one and one more to confirm it", got)
		}
		s.set(enisPath, pageOf(eniOf("port-1", "10.0.1.5", "10.0.1.6"), eniOf("port-2", "10.0.1.6")))
		if got := poll(1, said("port-2")); !got.Interfaces[1].Whole() {
			t.Errorf("the new ENI is not whole at once: %+v", got)
		}
		if got := s.count(enisPath); got != 3 {
			t.Errorf("%d questions when an ENI had come", got)
		}
		// Answers that change all the time: as often as they may.
		for n := range 100 {
			s.says("10.0.1.6", fmt.Sprintf("10.0.1.%d", 10+n))
			poll(1, said())
		}
		if got := s.count(enisPath); got < 10 || got > 14 {
			t.Errorf("%d questions in ten seconds, want one a second", got-3)
		}
	})
}

// TestNotAskedYet: an ENI that the newest answer was not asked about is not missing in it.
func TestNotAskedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		o.complete(t.Context(), said())
		<-time.After(100 * time.Millisecond)
		if got := o.complete(t.Context(), said("port-2")); len(got.Problems) > 0 || got.Interfaces[1].Addresses.Whole() || s.count(enisPath) != 1 {
			t.Errorf("asked %d times, %+v", s.count(enisPath), got)
		}
	})
}

// TestLossIsAskedTwice: an address that is pre-empted away is believed to be gone when two answers of the OpenAPI agree, not
// when one of them was used twice.
func TestLossIsAskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		var b metadata.Belief
		poll := func(wait time.Duration) string {
			<-time.After(wait)
			got := metadata.Validate(o.complete(t.Context(), said()))
			b = b.Update(got, time.Now(), time.Minute)
			return addressesOf(metadata.Snapshot{Interfaces: []metadata.Interface{b.Interfaces()[0].Interface}})
		}
		poll(0)
		if poll(time.Second); b.Interfaces()[0].Hold || b.Pending() {
			t.Fatal("two answers that agree are not believed")
		}
		s.set(enisPath, pageOf(eniOf("port-1", "10.0.1.5")))
		if got := poll(5 * time.Second); got != "10.0.1.5 10.0.1.6 known" {
			t.Errorf("the old answer is good until the next poll: %s", got)
		}
		if got := poll(4 * time.Second); got != "10.0.1.5 10.0.1.6 known" || !b.Pending() {
			t.Errorf("after one answer: %s, pending %t", got, b.Pending())
		}
		asked := s.count(enisPath)
		<-time.After(100 * time.Millisecond)
		if again := o.complete(t.Context(), said()).Interfaces[0]; again.Addresses.Whole() || again.Prefixes.Whole() || again.Subnets.Whole() {
			t.Errorf("an answer that waits to be confirmed is whole when it is used again: %+v", again)
		}
		if got := poll(100 * time.Millisecond); !strings.HasPrefix(got, "10.0.1.5 10.0.1.6") || !b.Pending() || s.count(enisPath) != asked {
			t.Errorf("the same answer again: %s", got)
		}
		if got := poll(800 * time.Millisecond); got != "10.0.1.5 known" || b.Pending() || s.count(enisPath) != asked+1 {
			t.Errorf("after two answers: %s, pending %t", got, b.Pending())
		}
	})
}

// TestBackoff: an OpenAPI that throttles or fails is left alone, longer each time, and what it said before is not passed off
// as what it says.
func TestBackoff(t *testing.T) {
	for _, code := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusBadRequest} {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			o := s.openAPI()
			o.complete(t.Context(), said())
			s.fails = func(*http.Request) int { return code }
			<-time.After(30 * time.Second)
			for range 360 { // an hour
				got := o.complete(t.Context(), said())
				i := got.Interfaces[0]
				if addressesOf(got) != "10.0.1.5 at least" || i.Prefixes.State != metadata.Unknown || len(got.Problems) != 1 {
					t.Fatalf("%d: %+v", code, got)
				}
				if !slices.Equal(i.Subnets.Value, []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}) {
					t.Fatalf("%d: the subnet, which is fixed, is forgotten", code)
				}
				<-time.After(10 * time.Second)
			}
			// 10 s, 20 s, ... 5 minutes, of each at least half.
			if got := s.count(enisPath); got < 12 || got > 40 {
				t.Errorf("%d: %d questions in an hour", code, got)
			}
			s.fails = func(*http.Request) int { return 0 }
			<-time.After(5 * time.Minute)
			if got := o.complete(t.Context(), said()); addressesOf(got) != "10.0.1.5 10.0.1.6 known" || len(got.Problems) > 0 {
				t.Errorf("%d: afterwards: %+v", code, got)
			}
		})
	}
}

// TestOneFailure: what was said before it is not used after it either, and other ENIs that an answer is about are not kept.
func TestOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		o.complete(t.Context(), said())
		<-time.After(time.Second)
		o.complete(t.Context(), said())
		<-time.After(30 * time.Second)
		s.fails = func(*http.Request) int { return 503 }
		o.complete(t.Context(), said())
		s.fails = func(*http.Request) int { return 0 }
		s.set(enisPath, pageOf(eniOf("port-1", "10.0.1.5"), eniOf("port-9", "10.0.1.9")))
		<-time.After(10 * time.Second)
		if got := o.complete(t.Context(), said()); addressesOf(got) != "10.0.1.5 known" || len(got.Problems) > 0 {
			t.Errorf("got %+v", got)
		}
		if len(o.enis.enis) != 1 {
			t.Errorf("%d ENIs are kept", len(o.enis.enis))
		}
	})
}

// TestPublicOfTheHost: where an overlay says which addresses are public, that is all.
func TestPublicOfTheHost(t *testing.T) {
	s := newService()
	s.set(enisPath, pageOf(strings.Replace(eniOf("port-1", "10.0.1.5"), `"10.0.1.5"`, `"10.0.1.5","elasticIpAddress":"203.0.113.7"`, 1)))
	i := said()
	if got := s.openAPI().complete(t.Context(), i).Interfaces[0].Public; len(got.Value) != 1 || got.State != metadata.Known {
		t.Errorf("the OpenAPI's word: %+v", got)
	}
	i.Interfaces[0].Public = metadata.IsNone[map[netip.Addr]netip.Addr]("overlay")
	if got := s.openAPI().complete(t.Context(), i).Interfaces[0].Public; got.State != metadata.None {
		t.Errorf("the overlay's word: %+v", got)
	}
}

// TestServiceThatHangs costs a poll three seconds, and then nothing for a while.
func TestServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		o.client.http.Transport = getter(func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		began := time.Now()
		got := o.complete(t.Context(), said())
		if took := time.Since(began); took != apiRequest || len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Text, "no answer in time") {
			t.Errorf("took %v: %v", took, got.Problems)
		}
		if o.complete(t.Context(), said()); time.Since(began) != apiRequest {
			t.Error("asked again at once")
		}
		if n := o.client.requests()["openapi-timeout"]; n != 1 {
			t.Errorf("requests %v", o.client.requests())
		}
		// A caller that gives up is no failure of the service's.
		<-time.After(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o.complete(ctx, said())
		o.client.http.Transport = s
		if got := o.complete(t.Context(), said()); !got.Interfaces[0].Whole() {
			t.Errorf("after a question was given up: %v", got.Problems)
		}
	})
}

// TestNewSubnetWhileOneIsRefused: each subnet waits for itself.
func TestNewSubnetWhileOneIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		o := s.openAPI()
		s.set(enisPath, pageOf(eniOf("port-1", "10.0.1.5"), eniOf("port-2", "10.0.1.6")))
		two := said("port-2")
		two.Interfaces[1].SubnetID = metadata.Is("subnet-2", origin)
		if got := o.complete(t.Context(), two); len(got.Problems) != 1 || got.Problems[0].Interface != "port-2" || got.Problems[0].Field != "subnets" || !got.Interfaces[0].Whole() {
			t.Errorf("got %+v", got)
		}
		s.set("/v1/regions/cn-north-1/subnets/subnet-3", subnetAnswerOf("subnet-3", "10.0.1.0/25"))
		two.Interfaces[0].SubnetID = metadata.Is("subnet-3", origin)
		<-time.After(time.Second)
		if got := o.complete(t.Context(), two); !got.Interfaces[0].Whole() || len(got.Problems) != 1 {
			t.Errorf("got %+v", got)
		}
		if n := s.count("/v1/regions/cn-north-1/subnets/subnet-2"); n != 1 {
			t.Errorf("the subnet that is refused was asked for %d times", n)
		}
	})
}
