// Package cloud simulates a cloud's ENI service: instances, ENIs, subnets and
// addresses, and the metadata that an instance reads about itself, in the
// dialects jdcloud, ec2 and file. A lab follows its changes and moves NICs.
//
// The model and what the metadata shows of it are apart: a change is true at
// once, and seen after a delay, in steps, or through a fault, as on real clouds.
package cloud

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The kinds of refusal. Every error of a Cloud's methods wraps one of them, and
// then nothing has changed.
var (
	ErrNotFound     = errors.New("not found")
	ErrInvalid      = errors.New("invalid argument")
	ErrConflict     = errors.New("already in use")
	ErrPrecondition = errors.New("not allowed now")
)

// EventKind says what happened to an attached ENI.
type EventKind string

// The kinds of Event.
const (
	Attached  EventKind = "attached"
	Detached  EventKind = "detached"
	Addresses EventKind = "addresses" // addresses, delegated prefixes, public addresses or MTU
)

// Event is a change of an attached ENI. ENI is its new state, or for Detached
// the state that it left.
type Event struct {
	Kind     EventKind
	Instance string
	ENI      ENI
}

// Cloud is one region with one VPC. Make it with New. All methods may be called
// from several goroutines.
type Cloud struct {
	mu        sync.Mutex
	subnets   map[string]Subnet
	enis      map[string]*ENI
	holders   map[netip.Addr]string   // the ENI that has an address
	blocks    map[netip.Prefix]string // the ENI that a prefix is delegated to
	instances map[string]*instance
	made      int // ENIs made so far: ids and MACs are counted, so that tests can foretell them

	delay       time.Duration
	propagation Propagation
	faults      map[string]*Fault // by instance, "" for all
	tokenless   bool
	style       JDStyle

	subscribers []func(Event)
	pending     []Event
	delivery    sync.Mutex // keeps events in the order of the changes; taken before mu
}

// New is a cloud with nothing in it. Its metadata shows changes at once, the
// ec2 dialect requires a token, and the jdcloud dialect has the zero JDStyle.
func New() *Cloud {
	return &Cloud{
		subnets:   map[string]Subnet{},
		enis:      map[string]*ENI{},
		holders:   map[netip.Addr]string{},
		blocks:    map[netip.Prefix]string{},
		instances: map[string]*instance{},
		faults:    map[string]*Fault{},
	}
}

// Subscribe has f called after every change of an attached ENI, in the order of
// the changes, before the method that made the change returns. f may read the
// cloud and must not change it.
func (c *Cloud) Subscribe(f func(Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribers = append(c.subscribers, f)
}

// change runs one operation whole or not at all: f checks everything before it
// touches anything, and returns what happened to attached ENIs.
func (c *Cloud) change(f func() ([]Event, error)) error {
	c.mu.Lock()
	events, err := f()
	if err == nil {
		c.remember(events)
		c.pending = append(c.pending, events...)
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.deliver()
	return nil
}

// remember puts one record into the history of every instance concerned, so
// that one operation is seen in one step.
func (c *Cloud) remember(events []Event) {
	var done []string
	for _, e := range events {
		if !slices.Contains(done, e.Instance) {
			done = append(done, e.Instance)
			c.record(c.instances[e.Instance])
		}
	}
}

func (c *Cloud) deliver() {
	c.delivery.Lock()
	defer c.delivery.Unlock()
	c.mu.Lock()
	events, subscribers := c.pending, slices.Clone(c.subscribers)
	c.pending = nil
	c.mu.Unlock()
	for _, e := range events {
		for _, f := range subscribers {
			f(Event{e.Kind, e.Instance, e.ENI.Clone()})
		}
	}
}

// changed is the event of an ENI whose addresses or settings are new; none
// where it is not attached, because nobody can see it.
func changed(e *ENI) []Event {
	if e.Instance == "" {
		return nil
	}
	return []Event{{Addresses, e.Instance, e.Clone()}}
}
