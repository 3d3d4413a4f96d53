package agent

import (
	"net/netip"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// Phases of an ENI beside those that netcfg knows.
const (
	PhaseConfigured netcfg.Phase = "configured" // everything that should be is there
	PhaseFailed     netcfg.Phase = "failed"     // the kernel refused something
)

// Status is what enid knows and did, as of one pass. It is never changed once published.
type Status struct {
	Version    string             `json:"version"`
	Instance   string             `json:"instance,omitempty"`
	Converged  bool               `json:"converged"` // the kernel is as the metadata wants it, as far as that is known
	Metadata   MetadataStatus     `json:"metadata"`
	ENIs       []ENIStatus        `json:"enis"`
	ReturnPath ReturnPathStatus   `json:"returnPath"`
	Policies   []PolicyStatus     `json:"policies"`
	Problems   []metadata.Problem `json:"problems"` // of no ENI in particular
	LastPass   time.Time          `json:"lastPass"`
	// LastChange is when enid last wrote to the kernel, zero for never.
	LastChange time.Time `json:"lastChange,omitzero"`
}

// MetadataStatus is how the source of truth does.
type MetadataStatus struct {
	Provider   string    `json:"provider"`
	OK         bool      `json:"ok"`
	Error      string    `json:"error,omitempty"`
	Since      time.Time `json:"since,omitzero"`      // of the present OK or error
	LastAnswer time.Time `json:"lastAnswer,omitzero"` // of the newest answer that was one
	Settled    bool      `json:"settled"`             // the list of ENIs is beyond doubt
	// NoCloud says that this host is in no cloud that enid knows; Error says what was looked at.
	NoCloud bool `json:"noCloud,omitempty"`
	// LastGood is the time of the last good answer that is in use because none has come since the start,
	// zero where none is.
	LastGood time.Time `json:"lastGood,omitzero"`
}

// ENIStatus is one ENI as people want to see it.
type ENIStatus struct {
	Name       string             `json:"name"` // id, or MAC where there is none
	MAC        metadata.MAC       `json:"mac"`
	NIC        string             `json:"nic,omitempty"`
	Primary    bool               `json:"primary"`
	Slot       netcfg.Slot        `json:"slot"` // -1 for none
	Table      int                `json:"table,omitempty"`
	Phase      netcfg.Phase       `json:"phase"`
	Since      time.Time          `json:"since"`               // of the phase
	LastChange time.Time          `json:"lastChange,omitzero"` // in the kernel, by enid, for this ENI
	Addresses  []AddressStatus    `json:"addresses"`
	Prefixes   []netip.Prefix     `json:"prefixes,omitempty"`
	Local      []netip.Prefix     `json:"local,omitempty"`
	VLAN       *metadata.VLAN     `json:"vlan,omitempty"` // whose NIC it shares, where it has none of its own
	Subnets    []netip.Prefix     `json:"subnets,omitempty"`
	Gateways   []netip.Addr       `json:"gateways,omitempty"`
	Origins    map[string]string  `json:"origins"` // fact: who said it
	Problems   []metadata.Problem `json:"problems"`
	// AbsentSince is when the metadata stopped listing the ENI, zero while it is listed.
	AbsentSince time.Time `json:"absentSince,omitzero"`
	// StaleSince is the time of the answer by which the ENI is known, where the metadata has not spoken of it since the
	// start, else zero.
	StaleSince time.Time `json:"staleSince,omitzero"`
}

// AddressStatus is an address that should be on a NIC.
type AddressStatus struct {
	Address netip.Addr `json:"address"`
	Present bool       `json:"present"`
	Public  netip.Addr `json:"public,omitzero"`
}

// origins says who told each fact of an ENI.
func origins(i metadata.Interface) map[string]string {
	o := map[string]string{}
	add := func(name string, state metadata.State, origin string) {
		if state == metadata.Unknown {
			origin = "unknown"
		}
		o[name] = origin
	}
	add("primary", i.Primary.State, i.Primary.Origin)
	add("subnets", i.Subnets.State, i.Subnets.Origin)
	add("gateway", i.Gateways.State, i.Gateways.Origin)
	add("addresses", i.Addresses.State, i.Addresses.Origin)
	add("prefixes", i.Prefixes.State, i.Prefixes.Origin)
	if len(i.Local.Value) > 0 { // most dialects have no such thing
		add("local", i.Local.State, i.Local.Origin)
	}
	if i.VLAN.State == metadata.Known {
		add("vlan", i.VLAN.State, i.VLAN.Origin)
	}
	return o
}
