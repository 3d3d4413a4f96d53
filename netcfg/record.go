package netcfg

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"enid/metadata"
)

// recordVersion is the form of record.json. One of another version is discarded:
// it is gone with the next boot anyway.
const recordVersion = 1

// record says which addresses and settings are ours, which the kernel cannot
// say, which protocol numbers ever marked our rules and routes, and which backends of
// iptables ever had chains of ours. It claims too
// much at times (it is written before the change) and never too little.
type record struct {
	protocols map[int]bool
	chains    map[string]bool // backends
	addrs     map[ownedAddr]bool
	knobs     map[ownedKnob]change
}

// nicID is a NIC for as long as it lives: an ifindex may be used again, by another
// NIC.
type nicID struct {
	Link int
	MAC  metadata.MAC
}

type ownedAddr struct {
	nic    nicID
	prefix netip.Prefix
}

type ownedKnob struct {
	nic  nicID
	knob Knob
}

// change of a setting: the value found, and the one that enid set. While one replaces
// another, of ours or the one found, both are here, so that a crash in between
// loses neither.
type change struct {
	found string
	ours  []string
}

func newRecord() record {
	return record{protocols: map[int]bool{}, chains: map[string]bool{}, addrs: map[ownedAddr]bool{}, knobs: map[ownedKnob]change{}}
}

func (r record) clone() record {
	return record{maps.Clone(r.protocols), maps.Clone(r.chains), maps.Clone(r.addrs), maps.Clone(r.knobs)}
}

// forget drops what is no longer there: NICs that are gone, and addresses that
// somebody removed. If another puts the same one there later, it is theirs.
func (r record) forget(nics map[nicID]bool, present map[ownedAddr]bool) {
	maps.DeleteFunc(r.addrs, func(a ownedAddr, _ bool) bool { return !nics[a.nic] || !present[a] })
	maps.DeleteFunc(r.knobs, func(k ownedKnob, _ change) bool { return !nics[k.nic] })
}

// nics are the ifindexes of the NICs that something is recorded of.
func (r record) nics() map[int]bool {
	links := map[int]bool{}
	for a := range r.addrs {
		links[a.nic.Link] = true
	}
	for k := range r.knobs {
		links[k.nic.Link] = true
	}
	return links
}

// documents of record.json.
type (
	recordDocument struct {
		Version   int           `json:"version"`
		Boot      string        `json:"boot"`      // /proc/sys/kernel/random/boot_id
		Namespace string        `json:"namespace"` // of the network, such as net:[4026531840]
		Protocols []int         `json:"protocols"`
		Chains    []string      `json:"chains,omitempty"` // "nf_tables", "legacy"
		NICs      []nicDocument `json:"nics"`
	}
	nicDocument struct {
		Link     int               `json:"ifindex"`
		MAC      metadata.MAC      `json:"mac"`
		Addrs    []netip.Prefix    `json:"addresses,omitempty"`
		Settings []settingDocument `json:"settings,omitempty"`
	}
	settingDocument struct {
		Knob  Knob     `json:"knob"`
		Found string   `json:"found"`
		Ours  []string `json:"ours"`
	}
)

// encode is the file's content; equal records have equal content.
func (r record) encode(boot, namespace string) []byte {
	byNIC := map[nicID]nicDocument{}
	for a := range r.addrs {
		n := byNIC[a.nic]
		n.Addrs = append(n.Addrs, a.prefix)
		byNIC[a.nic] = n
	}
	for k, c := range r.knobs {
		n := byNIC[k.nic]
		n.Settings = append(n.Settings, settingDocument{k.knob, c.found, c.ours})
		byNIC[k.nic] = n
	}
	doc := recordDocument{Version: recordVersion, Boot: boot, Namespace: namespace,
		Protocols: slices.Sorted(maps.Keys(r.protocols)), Chains: slices.Sorted(maps.Keys(r.chains)), NICs: []nicDocument{}}
	for id, n := range byNIC {
		n.Link, n.MAC = id.Link, id.MAC
		slices.SortFunc(n.Addrs, netip.Prefix.Compare)
		slices.SortFunc(n.Settings, func(a, b settingDocument) int { return cmp.Compare(a.Knob, b.Knob) })
		doc.NICs = append(doc.NICs, n)
	}
	slices.SortFunc(doc.NICs, func(a, b nicDocument) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), bytes.Compare(a.MAC[:], b.MAC[:]))
	})
	content, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		panic("netcfg: the record of ownership does not encode: " + err.Error()) // strings and numbers always do
	}
	return append(content, '\n')
}

// errStale marks a record of another boot or network namespace, or of another
// version of enid: sound, and about nothing that is here.
var errStale = errors.New("record of ownership discarded")

// decodeRecord reads the file's content.
func decodeRecord(content []byte, boot, namespace string) (record, error) {
	var doc recordDocument
	if err := json.Unmarshal(content, &doc); err != nil {
		return newRecord(), err
	}
	switch {
	case doc.Version != recordVersion:
		return newRecord(), fmt.Errorf("%w: it has version %d and this enid writes version %d", errStale, doc.Version, recordVersion)
	case doc.Boot != boot:
		return newRecord(), fmt.Errorf("%w: it is of another boot (%s), nothing of it is left", errStale, doc.Boot)
	case doc.Namespace != namespace:
		return newRecord(), fmt.Errorf("%w: it is of another network namespace (%s, this is %s)", errStale, doc.Namespace, namespace)
	}
	return doc.record()
}

func (doc recordDocument) record() (record, error) {
	r := newRecord()
	for _, p := range doc.Protocols {
		r.protocols[p] = true
	}
	for _, backend := range doc.Chains {
		r.chains[backend] = true
	}
	for _, n := range doc.NICs {
		id := nicID{n.Link, n.MAC}
		if n.Link <= 0 || n.MAC == (metadata.MAC{}) {
			return newRecord(), fmt.Errorf("NIC %d %s: no such NIC can be", n.Link, n.MAC)
		}
		for _, p := range n.Addrs {
			if !p.IsValid() {
				return newRecord(), fmt.Errorf("NIC %d: an address is empty", n.Link)
			}
			r.addrs[ownedAddr{id, p}] = true
		}
		for _, s := range n.Settings {
			if !slices.Contains(Knobs, s.Knob) {
				return newRecord(), fmt.Errorf("NIC %d: %q is no setting that enid changes", n.Link, s.Knob)
			}
			r.knobs[ownedKnob{id, s.Knob}] = change{s.Found, s.Ours}
		}
	}
	return r, nil
}

// recordFile keeps a record in the runtime directory.
type recordFile struct {
	path            string
	boot, namespace string
	written         []byte // what the file holds, nil for unknown
	corrupt         bool   // to be moved aside, not overwritten
	unreadable      error  // nothing may be written over what nobody has read
}

// load reads the record. It always returns one that can be worked with; the error
// says why it is not the one in the file.
func (f *recordFile) load() (record, error) {
	content, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.written = newRecord().encode(f.boot, f.namespace) // as good as
		return newRecord(), nil
	}
	if err != nil {
		f.unreadable = fmt.Errorf("record of ownership: %w; without it enid does not know which addresses are its own: run it as root", err)
		return newRecord(), f.unreadable
	}
	r, err := decodeRecord(content, f.boot, f.namespace)
	switch {
	case errors.Is(err, errStale):
		return newRecord(), fmt.Errorf("%s: %w", f.path, err)
	case err != nil:
		f.corrupt = true
		return newRecord(), fmt.Errorf("record of ownership %s is damaged and not used: %w; addresses that enid added before now count as somebody else's, and the file is kept as %s",
			f.path, err, f.aside())
	}
	f.written = content
	return r, nil
}

func (f *recordFile) aside() string { return f.path + ".bad" }

// save writes the record unless the file holds it already. A crash leaves the old
// file or the new one. Nothing is synced to the disk: after a power failure the
// record is of another boot.
func (f *recordFile) save(r record) error {
	if f.unreadable != nil {
		return f.unreadable
	}
	content := r.encode(f.boot, f.namespace)
	if bytes.Equal(content, f.written) {
		return nil
	}
	if err := f.replace(content); err != nil {
		return fmt.Errorf("write the record of ownership: %w; nothing is changed without it: is runtime_dir there, writable and not full, and does enid run as root (CAP_NET_ADMIN)?", err)
	}
	f.written = content
	return nil
}

func (f *recordFile) replace(content []byte) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	if f.corrupt {
		if err := os.Rename(f.path, f.aside()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.corrupt = false
	}
	temporary := f.path + ".new"
	_ = os.Remove(temporary) // of a crash, or planted
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, f.path)
}
