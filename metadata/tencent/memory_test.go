package tencent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

const eniDir = "network/interfaces/macs/52:54:00:BF:B3:51/"

// texts are the answers of a service with one ENI of two addresses.
func texts() map[string]string {
	return map[string]string{
		"mac": "52:54:00:BF:B3:51", "instance-id": "ins-1", tree.MACs: "52:54:00:BF:B3:51/",
		eniDir + listKey: "10.0.0.5/\n10.0.0.6/\n", eniDir + primaryKey: "10.0.0.5", eniDir + subnetKey: "subnet-1",
		eniDir + publicsKey:                           "203.0.113.7",
		eniDir + "local-ipv4s/10.0.0.5/" + maskKey:    "255.255.255.0",
		eniDir + "local-ipv4s/10.0.0.5/" + gatewayKey: "10.0.0.1",
		eniDir + "local-ipv4s/10.0.0.6/" + maskKey:    "255.255.255.0",
		eniDir + "local-ipv4s/10.0.0.6/" + gatewayKey: "10.0.0.1",
		eniDir + "local-ipv4s/10.0.0.6/" + publicKey:  "203.0.113.7",
	}
}

// service answers from texts and counts what it is asked.
type service struct {
	texts map[string]string
	asked map[string]int
	fault map[string]error
}

func (s *service) fetch(t *testing.T, m *memory) metadata.Interface {
	t.Helper()
	s.asked = map[string]int{}
	lock := make(chan struct{}, 1)
	got, err := parse(m.gather(t.Context(), func(_ context.Context, path string) (string, error) {
		lock <- struct{}{}
		defer func() { <-lock }()
		s.asked[path]++
		if err := s.fault[path]; err != nil {
			return "", err
		}
		if text, ok := s.texts[path]; ok {
			return text, nil
		}
		return "", fmt.Errorf("%s: %w", path, metadata.ErrNotFound)
	}))
	if err != nil || len(got.Interfaces) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	return got.Interfaces[0]
}

// settled is a service of which everything is remembered.
func settled(t *testing.T) (*service, *memory) {
	t.Helper()
	s, m := &service{texts: texts()}, &memory{}
	for range 3 {
		s.fetch(t, m)
	}
	return s, m
}

func TestOnlyWhatCanChangeIsAsked(t *testing.T) {
	s, m := settled(t)
	s.fetch(t, m)
	want := map[string]int{"mac": 1, tree.MACs: 1, eniDir + listKey: 1, eniDir + publicsKey: 1}
	for _, a := range []string{"10.0.0.5", "10.0.0.6"} {
		want[eniDir+listKey+a+"/"+publicKey] = 1 // the only ENI has its turn each time
	}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Error(diff)
	}
}

// A list that reads differently may have another primary address, also where it has the same addresses.
func TestPrimaryIsAskedForWithEachList(t *testing.T) {
	s, m := settled(t)
	s.texts[eniDir+listKey], s.texts[eniDir+primaryKey] = "10.0.0.6/\n10.0.0.5/\n", "10.0.0.6"
	i := s.fetch(t, m)
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("10.0.0.5")}; !cmp.Equal(want, i.Addresses.Value, metadatatest.Compare) {
		t.Errorf("got %v, want %v", i.Addresses, want)
	}
}

// Everything heals by itself, also what was remembered wrong.
func TestMemoryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := settled(t)
		s.texts[eniDir+primaryKey], s.texts[eniDir+subnetKey] = "10.0.0.6", "subnet-2"
		s.texts[eniDir+"local-ipv4s/10.0.0.5/"+maskKey] = "255.255.0.0"
		s.texts[eniDir+"local-ipv4s/10.0.0.6/"+maskKey] = "255.255.0.0"
		if i := s.fetch(t, m); i.Addresses.Value[0].String() != "10.0.0.5" || i.SubnetID.Value != "subnet-1" {
			t.Errorf("nothing is remembered: %v", i)
		}
		time.Sleep(10 * time.Minute)
		if i := s.fetch(t, m); i.Addresses.Value[0].String() != "10.0.0.6" || i.SubnetID.Value != "subnet-2" || i.Subnets.Value[0].Bits() != 16 {
			t.Errorf("still %v", i)
		}
	})
}

func TestPublicsInTurn(t *testing.T) {
	_, m := settled(t)
	const other = "network/interfaces/macs/52:54:00:BF:B3:52/"
	p := &m.publics
	answers := metadata.Answers{}
	for _, dir := range []string{eniDir, other} {
		answers[dir+listKey] = metadata.Answer{Body: "10.0.0.5/"}
		answers[dir+primaryKey] = metadata.Answer{Body: "10.0.0.5"}
	}
	var mu sync.Mutex // several are asked for side by side
	var asked []string
	down := false
	get := func(_ context.Context, path string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, path)
		if down {
			return "", errors.New("down")
		}
		return "", metadata.ErrNotFound
	}
	step := func(want ...string) {
		t.Helper()
		asked = nil
		got := p.gather(t.Context(), []string{eniDir, other}, answers, get)
		slices.Sort(asked)
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Error(diff)
		}
		if len(got) != 2 {
			t.Errorf("something is not said any more: %v", maps.Collect(maps.All(got)))
		}
	}
	clear(p.last)
	p.turn = 1
	p.gather(t.Context(), []string{eniDir, other}, answers, get)
	step(other + publicsKey)
	step(eniDir + publicsKey)
	answers[eniDir+listKey] = metadata.Answer{Body: "10.0.0.5/\n10.0.0.6/"}
	down = true
	asked = nil
	p.gather(t.Context(), []string{eniDir, other}, answers, get)
	if len(asked) != 2 {
		t.Errorf("a changed list and a turn: asked %v", asked)
	}
	down = false
	step(eniDir+publicsKey, other+publicsKey) // failures were not remembered
}
