// Package metadata knows what a cloud says about an instance's ENIs: one answer
// is a Snapshot, whatever the dialect. It knows no Linux.
package metadata

import (
	"maps"
	"net/netip"
	"slices"
)

// State says how far a Fact may be trusted. The zero value is Unknown, so that
// what nobody filled in is never mistaken for "there is none".
type State uint8

const (
	Unknown State = iota // not said, not readable, or not believed
	None                 // the cloud says that there is none
	Known                // Value is the whole truth
	AtLeast              // a list: Value is true, and there may be more
)

// String is the word used in status and in errors.
func (s State) String() string {
	return [...]string{"unknown", "none", "known", "at least"}[s]
}

// MarshalText makes a State a word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Fact is one thing that is said about an ENI, and who said it.
type Fact[T any] struct {
	State  State  `json:"state"`
	Value  T      `json:"value,omitempty,omitzero"`
	Origin string `json:"origin,omitempty"` // "ec2", "overlay /etc/enid/interfaces.d/a.yaml", "custom-metadata enid"
}

// Is is a known fact.
func Is[T any](v T, origin string) Fact[T] { return Fact[T]{Known, v, origin} }

// IsNone is the fact that there is none.
func IsNone[T any](origin string) Fact[T] { return Fact[T]{State: None, Origin: origin} }

// HasAtLeast is a list that may be longer than v.
func HasAtLeast[T any](v T, origin string) Fact[T] { return Fact[T]{AtLeast, v, origin} }

// Whole reports whether nothing more is to be learnt: the value is known, or
// known not to exist. What is not whole may gain but never lose.
func (f Fact[T]) Whole() bool { return f.State == Known || f.State == None }

// Interface is an ENI as the metadata shows it.
type Interface struct {
	MAC      MAC          `json:"mac"`
	ID       Fact[string] `json:"id"`
	Primary  Fact[bool]   `json:"primary"`
	SubnetID Fact[string] `json:"subnetId"`
	// Subnets are the ENI's own, at most a few, of both families.
	Subnets Fact[[]netip.Prefix] `json:"subnets"`
	// Gateways holds at most one address a family; IPv6 may be link-local.
	Gateways Fact[[]netip.Addr] `json:"gateways"`
	// Addresses are the ENI's private addresses; the first of a family is that
	// family's primary. Never Known and empty: that is not an answer.
	Addresses Fact[[]netip.Addr] `json:"addresses"`
	// Prefixes are delegated blocks: routed by source, not configured as addresses.
	Prefixes Fact[[]netip.Prefix] `json:"prefixes"`
	// Local are ranges that the cloud delivers to this ENI whole: each of their addresses is the host's own, though
	// none is configured on a NIC (GCP's alias ranges and forwarded addresses). Routed by source, like Prefixes.
	Local Fact[[]netip.Prefix] `json:"local"`
	// VLAN says whose NIC the ENI shares where it has none of its own (GCP's dynamic NICs, OCI's VNICs on bare metal).
	VLAN Fact[VLAN] `json:"vlan"`
	MTU  Fact[int]  `json:"mtu"` // bytes
	// Public maps private to public addresses; shown, never configured.
	Public Fact[map[netip.Addr]netip.Addr] `json:"public"`
	// ByDHCP says that the cloud leaves it to a DHCP server of the ENI's network to tell its IPv4 network, its primary
	// address too where Addresses has none (OpenStack).
	ByDHCP bool `json:"byDHCP,omitempty"`
}

// VLAN is an 802.1Q tag on another ENI's NIC.
type VLAN struct {
	Parent MAC `json:"parent"` // of the ENI whose NIC carries the tagged frames
	ID     int `json:"id"`     // 1 to 4094
}

// Name is what people call the ENI: its id, else its MAC.
func (i Interface) Name() string {
	if i.ID.State == Known && i.ID.Value != "" {
		return i.ID.Value
	}
	return i.MAC.String()
}

// Whole reports whether the answer about this ENI may take something away:
// everything that decides its addresses and routes was readable. Local and VLAN are no part of it, as most
// dialects have no such thing and never say so: of them each is believed, and loses, by its own State.
func (i Interface) Whole() bool {
	return i.Addresses.Whole() && i.Prefixes.Whole() && i.Subnets.Whole() && i.Gateways.Whole()
}

// Clone is a copy that shares no memory with i.
func (i Interface) Clone() Interface {
	i.Subnets.Value = slices.Clone(i.Subnets.Value)
	i.Gateways.Value = slices.Clone(i.Gateways.Value)
	i.Addresses.Value = slices.Clone(i.Addresses.Value)
	i.Prefixes.Value = slices.Clone(i.Prefixes.Value)
	i.Local.Value = slices.Clone(i.Local.Value)
	i.Public.Value = maps.Clone(i.Public.Value)
	return i
}

// Snapshot is one answer of the metadata.
type Snapshot struct {
	Provider   string      `json:"provider"`
	Instance   string      `json:"instance,omitempty"` // the instance's id, "" where the dialect has none
	Interfaces []Interface `json:"interfaces"`         // by MAC, no two alike
	// Complete says that Interfaces lists every attached ENI: one that is not
	// in it is not attached. Where it is false, absence means nothing.
	Complete bool      `json:"complete"`
	Problems []Problem `json:"problems,omitempty"`
	// Custom is what the cloud carries for its users about these ENIs, an interfaces document of
	// theirs: it completes the answer after everything that is set on the host.
	Custom []Interface `json:"-"`
}

// Problem is something in the metadata that is wrong or missing. It never
// stops the other interfaces.
type Problem struct {
	Interface string `json:"interface,omitempty"` // Interface.Name, or "" for the whole answer
	Field     string `json:"field,omitempty"`     // as the interfaces document spells it: "addresses", "gateway"
	Reason    string `json:"reason"`              // a short stable word for metrics: "address-outside-subnet"
	Text      string `json:"text"`                // a sentence: what is wrong, and what to do
}

// String is one line for a log or a terminal.
func (p Problem) String() string {
	s := p.Text
	if p.Field != "" {
		s = p.Field + ": " + s
	}
	if p.Interface != "" {
		s = p.Interface + ": " + s
	}
	return s
}
