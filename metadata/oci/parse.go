package oci

import (
	"encoding/json"
	"fmt"

	"enid/metadata"
)

// origin is what status shows as the source of each fact.
const origin = "oci"

// entry is a VNIC of the list. Its values are decoded one by one, so that one that cannot be read costs no other.
type entry struct {
	ID        json.RawMessage `json:"vnicId"`
	MAC       json.RawMessage `json:"macAddr"`
	Private   json.RawMessage `json:"privateIp"`
	Subnet    json.RawMessage `json:"subnetCidrBlock"`
	Router    json.RawMessage `json:"virtualRouterIp"`
	Addresses json.RawMessage `json:"ipv6Addresses"`
	Subnet6   json.RawMessage `json:"ipv6SubnetCidrBlock"`
	Router6   json.RawMessage `json:"ipv6VirtualRouterIp"`
	NIC       json.RawMessage `json:"nicIndex"` // on bare metal alone
	Tag       json.RawMessage `json:"vlanTag"`
}

// listed is an entry whose MAC can be read.
type listed struct {
	mac   metadata.MAC
	entry entry
	first bool // the list's first is the primary VNIC
}

// parse makes a Snapshot of the list of VNICs.
func parse(body string) (metadata.Snapshot, error) {
	entries, err := metadata.JSON[[]json.RawMessage](vnicsPath, json.RawMessage(body))
	if err != nil {
		return metadata.Snapshot{}, fmt.Errorf("%w (it says %.80q); check what answers at the metadata endpoint", err, body)
	}
	l := metadata.Listing{Snapshot: metadata.Snapshot{Provider: origin, Complete: true}}
	var all []listed
	for at, raw := range entries {
		mac, e, err := entryOf(fmt.Sprintf("vnics[%d]", at), raw)
		if err != nil {
			l.Incomplete(metadata.Unread("", "mac", err))
			continue
		}
		all = append(all, listed{mac, e, at == 0})
	}
	trunks := trunksOf(all)
	for _, v := range all {
		n := vnic{name: v.mac.String()}
		i := n.facts(v)
		i.VLAN = n.vlan(v.entry, trunks)
		l.Add(i, n.problems)
	}
	s, err := l.Done()
	if err != nil {
		return s, fmt.Errorf("%s: %w", vnicsPath, err)
	}
	return s, nil
}

// entryOf reads an entry as far as its MAC.
func entryOf(name string, raw json.RawMessage) (mac metadata.MAC, e entry, err error) {
	if e, err = metadata.JSON[entry](name, raw); err != nil {
		return mac, e, err
	}
	mac, err = text(name+".macAddr", e.MAC, metadata.ParseMAC)
	return mac, e, err
}

// text reads a text. One that is missing, null or "<null>", which was seen in place of an IPv4 subnet, is an error
// that matches metadata.ErrNotFound.
func text[T any](name string, raw json.RawMessage, parse func(string) (T, error)) (value T, err error) {
	s, err := metadata.JSON[string](name, raw)
	if err == nil && s == "<null>" {
		err = fmt.Errorf("%s is <null>: %w", name, metadata.ErrNotFound)
	}
	if err != nil {
		return value, err
	}
	if value, err = parse(s); err != nil {
		return value, &metadata.BadAnswerError{Path: name, Err: err}
	}
	return value, nil
}
