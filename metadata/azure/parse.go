package azure

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"
)

// origin is what status shows as the source of each fact.
const origin = "azure"

// entry is a NIC of the list. Its values are decoded one by one, so that one that cannot be read costs no other.
type entry struct {
	MAC  json.RawMessage `json:"macAddress"`
	IPv4 json.RawMessage `json:"ipv4"`
	IPv6 json.RawMessage `json:"ipv6"`
}

// parse makes a Snapshot of the document about the NICs, which was asked for from an address of this host.
func parse(body string, from netip.Addr) (metadata.Snapshot, error) {
	document, err := metadata.JSON[struct{ Interface json.RawMessage }](networkPath, json.RawMessage(body))
	var entries []json.RawMessage
	if err == nil {
		entries, err = metadata.JSON[[]json.RawMessage](networkPath+": interface", document.Interface)
	}
	if err != nil {
		return metadata.Snapshot{}, fmt.Errorf("%w (it says %.80q); check what answers at the metadata endpoint", err, body)
	}
	l := metadata.Listing{Snapshot: metadata.Snapshot{Provider: origin, Complete: true}}
	for at, raw := range entries {
		mac, e, err := entryOf(fmt.Sprintf("interface[%d]", at), raw)
		if err != nil {
			l.Incomplete(metadata.Unread("", "mac", err))
			continue
		}
		n := nic{name: mac.String()}
		l.Add(n.facts(mac, e), n.problems)
	}
	s, err := l.Done()
	if err != nil {
		return s, fmt.Errorf("%s: %w", networkPath, err)
	}
	return markPrimary(s, from), nil
}

// entryOf reads an entry as far as its MAC, which here is written without separators.
func entryOf(name string, raw json.RawMessage) (mac metadata.MAC, e entry, err error) {
	if e, err = metadata.JSON[entry](name, raw); err != nil {
		return mac, e, err
	}
	name += ".macAddress"
	text, err := metadata.JSON[string](name, e.MAC)
	if err != nil {
		return mac, e, err
	}
	if mac, err = metadata.ParseMAC(text); err != nil {
		err = &metadata.BadAnswerError{Path: name, Err: err}
	}
	return mac, e, err
}

// markPrimary says who is the primary: the ENI that has the address from which the service was asked. Where none
// has it the list lacks the primary, and so is not believed to be whole.
func markPrimary(s metadata.Snapshot, from netip.Addr) metadata.Snapshot {
	var owners []metadata.MAC
	for _, i := range s.Interfaces {
		if slices.Contains(i.Addresses.Value, from) {
			owners = append(owners, i.MAC)
		}
	}
	if len(owners) != 1 {
		l := metadata.Listing{Snapshot: s}
		l.Incomplete(metadata.Problem{Field: "primary", Reason: "primary-unclear", Text: fmt.Sprintf(
			"which ENI is the primary is not known: it is the one whose address the service is asked from, but %s is an address of %d of those that it lists", from, len(owners))})
		return l.Snapshot
	}
	for n, i := range s.Interfaces {
		s.Interfaces[n].Primary = metadata.Is(i.MAC == owners[0], origin)
	}
	return s
}
