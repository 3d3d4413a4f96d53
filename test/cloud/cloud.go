// Package cloud simulates a cloud's ENI service: instances, ENIs, subnets and
// addresses, and the metadata that an instance reads about itself, in the
// dialects jdcloud, ec2 and file. A lab follows its changes and moves NICs.
//
// The model and what the metadata shows of it are apart: a change is true at
// once, and seen after a delay, in steps, or through a fault, as on real clouds.
package cloud

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// EventKind says what happened to an attached ENI, or to an instance.
type EventKind string

// The kinds of Event.
const (
	Attached  EventKind = "attached"
	Detached  EventKind = "detached"
	Addresses EventKind = "addresses" // addresses, delegated prefixes, public addresses, security groups or MTU
	// Of an instance with all its ENIs; Event.ENI is the primary.
	PoweredOn  EventKind = "powered-on"
	PoweredOff EventKind = "powered-off"
)

// settings is what the metadata shows and no subscriber is told.
const settings EventKind = "settings"

// Event is a change of an attached ENI or of an instance. ENI is its new state, or for Detached
// the state that it left.
type Event struct {
	Kind     EventKind
	Instance string
	ENI      ENI
}

// Region is the region that every Cloud is, by its metadata and by its OpenAPI.
const Region = "cn-north-1"

// Cloud is one region. Make it with New or Open. All methods may be called from
// several goroutines.
type Cloud struct {
	mu        sync.Mutex
	vpcs      map[string]VPC
	subnets   map[string]Subnet
	enis      map[string]*ENI
	eips      map[string]ElasticIP
	holders   map[spot]string  // the ENI that has an address
	blocks    map[block]string // the ENI that a prefix is delegated to
	instances map[string]*instance
	made      map[string]int // made so far, by kind: ids and MACs are counted
	quotas    map[string]int

	file        string // where the state is kept, or "": nowhere
	stored      []byte // what the file says
	attachDelay time.Duration

	delay       time.Duration
	propagation Propagation
	faults      map[string]*Fault // by instance, "" for all
	tokenless   bool
	style       JDStyle
	azure       azureIMDS
	oci         OCIStyle
	openStack   OpenStackStyle
	roles       map[string]func(string) string // by instance, "" for all others

	news        chan struct{} // closed, and another one made, when metadata may show something else
	subscribers []func(Event)
	// following is held while a change is made and followed, so that events come in the order of the changes, and
	// nobody is told by metadata or OpenAPI what the fabric does not know yet. It is taken before mu.
	following sync.RWMutex
}

// New is a cloud with nothing in it but DefaultVPC, kept in memory only. Its metadata shows changes at once, the
// ec2 dialect requires a token, and the jdcloud dialect has the zero JDStyle.
func New() *Cloud {
	return &Cloud{
		vpcs:      map[string]VPC{DefaultVPC: {ID: DefaultVPC, Name: "default"}},
		subnets:   map[string]Subnet{},
		enis:      map[string]*ENI{},
		eips:      map[string]ElasticIP{},
		holders:   map[spot]string{},
		blocks:    map[block]string{},
		instances: map[string]*instance{},
		made:      map[string]int{},
		quotas:    maps.Clone(defaultQuotas),
		faults:    map[string]*Fault{},
		news:      make(chan struct{}),
	}
}

// Subscribe has f called after every change of an attached ENI and of an instance's power, in the order of
// the changes, before the method that made the change returns; for what takes
// time (SetAttachDelay), when it is done. f may read the cloud and must not change it.
func (c *Cloud) Subscribe(f func(Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribers = append(c.subscribers, f)
}

// change runs one operation whole or not at all: f checks everything before it
// touches anything, and returns what happened to attached ENIs. A change that
// cannot be stored is undone.
func (c *Cloud) change(f func() ([]Event, error)) error {
	c.following.Lock()
	defer c.following.Unlock()
	events, subscribers, err := c.apply(f)
	for _, e := range events {
		if e.Kind == settings {
			continue
		}
		for _, follow := range subscribers {
			follow(Event{e.Kind, e.Instance, e.ENI.Clone()})
		}
	}
	return err
}

// apply makes a change, which is to be followed by those who subscribed before.
func (c *Cloud) apply(f func() ([]Event, error)) ([]Event, []func(Event), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := maps.Clone(c.instances)
	events, err := f()
	if err == nil {
		err = c.store(before)
	}
	if err != nil {
		return nil, nil, err
	}
	c.remember(events)
	c.wake()
	return events, slices.Clone(c.subscribers), nil
}

// Settled runs read, which asks the cloud and does not change it, when every change is followed by all subscribers.
func (c *Cloud) Settled(read func()) {
	c.following.RLock()
	defer c.following.RUnlock()
	read()
}

// remember puts one record into the history of every instance concerned, so
// that one operation is seen in one step.
func (c *Cloud) remember(events []Event) {
	var done []string
	for _, e := range events {
		if slices.Contains(done, e.Instance) {
			continue
		}
		done = append(done, e.Instance)
		if in, there := c.instances[e.Instance]; there {
			c.record(in)
		} else {
			delete(c.faults, e.Instance)
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
