package gcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"enid/metadata"
)

// origin is what status shows as the source of each fact.
const origin = "gcp"

// The keys of the instance's document that are read.
const (
	idKey    = "id"
	nicsKey  = "networkInterfaces"
	vlansKey = "vlanNetworkInterfaces"
)

// reader collects what the document says.
type reader struct {
	metadata.Snapshot
	macs []metadata.MAC // of networkInterfaces by index, zero where it could not be read
}

// parse makes a Snapshot of the document about the instance. Errors and problems never quote it: the user's
// attributes are in it.
func parse(body string) (metadata.Snapshot, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		return metadata.Snapshot{}, fmt.Errorf("metadata %s is not a JSON object: %w", instancePath, err)
	}
	var nics []json.RawMessage
	if err := json.Unmarshal(doc[nicsKey], &nics); err != nil || len(nics) == 0 {
		return metadata.Snapshot{}, fmt.Errorf("metadata %s: %s lists nothing, but an instance always has its first interface; check what answers at the metadata endpoint", instancePath, nicsKey)
	}
	r := reader{Snapshot: metadata.Snapshot{Provider: origin, Instance: number(doc[idKey]), Complete: true}}
	for n, raw := range nics {
		r.nic(n, raw)
	}
	if !slices.ContainsFunc(r.macs, func(m metadata.MAC) bool { return m != metadata.MAC{} }) {
		return metadata.Snapshot{}, fmt.Errorf("metadata %s: no entry of %s has a MAC address that can be read", instancePath, nicsKey)
	}
	r.vlans(doc[vlansKey])
	r.once()
	return r.Snapshot, nil
}

// nic reads an entry of the list. The first is the primary: its place says so, not its content.
func (r *reader) nic(index int, raw json.RawMessage) {
	e, mac, err := newEntry(fmt.Sprintf("%s[%d]", nicsKey, index), raw)
	r.macs = append(r.macs, mac)
	if err != nil {
		r.incomplete("mac", "bad-answer", err.Error())
		return
	}
	i := e.facts(mac, fmt.Sprintf("nic%d", index))
	i.Primary = metadata.Is(index == 0, origin)
	i.VLAN = metadata.IsNone[metadata.VLAN](origin)
	r.add(i, e.problems)
}

// vlans reads the dynamic interfaces: by the index of the interface whose NIC they share, by VLAN id. An instance
// that has none lacks the key, or has an empty one.
func (r *reader) vlans(raw json.RawMessage) {
	parents, err := object(raw)
	if err != nil {
		r.incomplete("mac", "bad-answer", vlansKey+": "+err.Error())
	}
	for _, parent := range slices.Sorted(maps.Keys(parents)) {
		path := vlansKey + "." + parent
		byID, err := object(parents[parent])
		if err != nil {
			r.incomplete("mac", "bad-answer", path+": "+err.Error())
		}
		for _, id := range slices.Sorted(maps.Keys(byID)) {
			r.vlan(parent, id, path+"."+id, byID[id])
		}
	}
}

func (r *reader) vlan(parent, id, path string, raw json.RawMessage) {
	e, mac, err := newEntry(path, raw)
	if err != nil {
		r.incomplete("mac", "bad-answer", err.Error())
		return
	}
	i := e.facts(mac, fmt.Sprintf("nic%s.%s", parent, id))
	i.Primary = metadata.Is(false, origin)
	// The keys that are known of dynamic interfaces are not those: that they are absent says nothing.
	if !e.says(localKeys...) {
		i.Local = metadata.Fact[[]netip.Prefix]{}
	}
	if !e.says("accessConfigs") {
		i.Public = metadata.Fact[map[netip.Addr]netip.Addr]{}
	}
	tag, err := r.tag(parent, id)
	if err != nil {
		e.unread("vlan", &metadata.BadAnswerError{Path: path, Err: err})
	} else {
		i.VLAN = metadata.Is(tag, origin)
	}
	r.add(i, e.problems)
}

// tag is the VLAN on the NIC of the interface with an index.
func (r *reader) tag(parent, id string) (metadata.VLAN, error) {
	index, err := strconv.ParseUint(parent, 10, 16)
	if err != nil || index >= uint64(len(r.macs)) || r.macs[index] == (metadata.MAC{}) {
		return metadata.VLAN{}, fmt.Errorf("interface %.20q, whose NIC it shares, is not listed", parent)
	}
	vlan, err := strconv.ParseUint(id, 10, 16)
	if err != nil || vlan < 1 || vlan > 4094 {
		return metadata.VLAN{}, fmt.Errorf("%.20q is no VLAN id, want 1 to 4094", id)
	}
	return metadata.VLAN{Parent: r.macs[index], ID: int(vlan)}, nil
}

func (r *reader) add(i metadata.Interface, problems []metadata.Problem) {
	r.Interfaces = append(r.Interfaces, i)
	r.Problems = append(r.Problems, problems...)
}

// incomplete says why the list of ENIs is not to be trusted.
func (r *reader) incomplete(field, reason, text string) {
	r.Complete = false
	r.Problems = append(r.Problems, metadata.Problem{Field: field, Reason: reason, Text: text + "; no ENI is taken for detached meanwhile"})
}

// once sorts the interfaces, and leaves of those with the same MAC only the MAC.
func (r *reader) once() {
	slices.SortStableFunc(r.Interfaces, func(a, b metadata.Interface) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
	var out []metadata.Interface
	for _, i := range r.Interfaces {
		last := len(out) - 1
		if last < 0 || out[last].MAC != i.MAC {
			out = append(out, i)
			continue
		}
		if out[last].ID.State != metadata.Unknown {
			r.incomplete("mac", metadata.ReasonDuplicateMAC, fmt.Sprintf("two interfaces are listed with the MAC %s; neither is believed until one of them has another", i.MAC))
		}
		out[last] = metadata.Interface{MAC: i.MAC}
	}
	r.Interfaces = out
}

// newEntry opens an interface's object, as far as its MAC.
func newEntry(path string, raw json.RawMessage) (*entry, metadata.MAC, error) {
	keys, err := object(raw)
	if err != nil {
		return nil, metadata.MAC{}, fmt.Errorf("%s: %w", path, err)
	}
	var text string
	if err := json.Unmarshal(keys["mac"], &text); err != nil {
		return nil, metadata.MAC{}, fmt.Errorf("%s has no MAC address", path)
	}
	mac, err := metadata.ParseMAC(text)
	if err != nil {
		return nil, metadata.MAC{}, fmt.Errorf("%s.mac: %w", path, err)
	}
	return &entry{path: path, name: mac.String(), keys: keys}, mac, nil
}

// object are the members of one; none where there is no value.
func object(raw json.RawMessage) (members map[string]json.RawMessage, err error) {
	if empty(raw) {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, errors.New("it is not a JSON object")
	}
	return members, nil
}

// empty reports whether nothing is said: the server leaves out what there is none of.
func empty(raw json.RawMessage) bool {
	text := strings.TrimSpace(string(raw))
	return text == "" || text == "null" || text == `""`
}

// number is a whole number, as its digits: an instance's id does not fit everywhere.
func number(raw json.RawMessage) string {
	n, err := strconv.ParseUint(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil {
		return "" // shown, never needed
	}
	return strconv.FormatUint(n, 10)
}
