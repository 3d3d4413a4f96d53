package metadata

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// MACTree is where a tree of text keys keeps an instance's ENIs, by MAC address. EC2 began
// it; Alibaba Cloud, Tencent Cloud and Volcengine have it with keys of their own. The
// paths are below Root, as they are in the Answers.
type MACTree struct {
	Origin   string // what status shows as the source of each fact
	Root     string // "/latest/meta-data/", to say in errors what was asked for
	Primary  string // the key that holds the primary ENI's MAC
	Instance string // the key that holds the instance's id
	MACs     string // the list of MACs
}

// ListedMAC is an entry of the list of MACs. Its directory is kept as listed, since
// some services compare paths letter by letter.
type ListedMAC struct {
	MAC MAC
	Dir string // with a slash at the end
}

// List reads the list of MACs: each once, in order, and the lines that are none.
func (t MACTree) List(body string) (listed []ListedMAC, bad []string) {
	base := strings.TrimSuffix(t.MACs, "/") + "/"
	for line := range strings.Lines(body) {
		name := strings.TrimSuffix(strings.TrimSpace(line), "/")
		mac, err := ParseMAC(name)
		switch {
		case name == "":
		case err != nil:
			bad = append(bad, name)
		default:
			listed = append(listed, ListedMAC{mac, base + name + "/"})
		}
	}
	slices.SortStableFunc(listed, func(a, b ListedMAC) int { return compareMAC(a.MAC, b.MAC) })
	return slices.CompactFunc(listed, func(a, b ListedMAC) bool { return a.MAC == b.MAC }), bad
}

// Dirs are the directories that the list in answers names.
func (t MACTree) Dirs(answers Answers) []string {
	listed, _ := t.List(answers.Of(t.MACs).Body)
	var dirs []string
	for _, m := range listed {
		dirs = append(dirs, m.Dir)
	}
	return dirs
}

// ToAsk are the paths to ask for below a MAC's directory: the keys that it lists;
// none where the directory itself is absent; and all where the listing was
// not readable or names nothing that we know, for then it may be at fault and the
// keys need not be.
func ToAsk(dir string, listing Answer, keys []string) []string {
	if listing.Absent() {
		return nil
	}
	names := map[string]bool{}
	for name := range strings.Lines(listing.Body) {
		names[strings.TrimSpace(name)] = true
	}
	var some, all []string
	for _, key := range keys {
		all = append(all, dir+key)
		if names[key] {
			some = append(some, dir+key)
		}
	}
	if len(some) == 0 {
		return all
	}
	return some
}

// Parse makes a Snapshot of what the service said: an interface for each listed MAC, of
// which facts reads what it finds, without Primary. It is an error where no list of
// MACs can be read, or an empty one.
func (t MACTree) Parse(answers Answers, facts func(e *Entry, mac MAC) Interface) (Snapshot, error) {
	list := answers.Of(t.MACs)
	if list.Err != nil {
		return Snapshot{}, list.Err
	}
	listed, bad := t.List(list.Body)
	if len(listed) == 0 {
		return Snapshot{}, fmt.Errorf("%s%s lists no MAC address (it says %.80q), but an instance always has its primary ENI; check what answers at the metadata endpoint", t.Root, t.MACs, list.Body)
	}
	s := Snapshot{Provider: t.Origin, Complete: true}
	incomplete := func(field, reason, text string) {
		s.Complete = false
		s.Problems = append(s.Problems, Problem{Field: field, Reason: reason, Text: text + "; no ENI is taken for detached meanwhile"})
	}
	if len(bad) > 0 {
		incomplete("mac", "bad-answer", fmt.Sprintf("%s%s lists %.80q, which is no MAC address", t.Root, t.MACs, bad[0]))
	}
	primary, err := t.primary(answers, listed)
	if err != nil {
		incomplete("primary", "primary-unclear", err.Error())
	}
	s.Instance, _ = Read(answers, t.Instance, Word) // shown, never needed
	for _, m := range listed {
		e := Entry{Dir: m.Dir, Origin: t.Origin, Answers: answers, Name: m.MAC.String()}
		i := facts(&e, m.MAC)
		if err == nil {
			i.Primary = Is(m.MAC == primary, t.Origin)
		}
		s.Interfaces = append(s.Interfaces, i)
		s.Problems = append(s.Problems, e.Problems...)
	}
	return s, nil
}

// primary is the only word on who is primary: the top-level key. Where it is not
// readable or not in the list, the list is not believed to be whole and nobody is
// called primary or secondary: the primary taken for a secondary would lose its host's
// traffic.
func (t MACTree) primary(answers Answers, listed []ListedMAC) (MAC, error) {
	mac, err := Read(answers, t.Primary, ParseMAC)
	if err != nil {
		return MAC{}, fmt.Errorf("which ENI is the primary is not known: %w", err)
	}
	if !slices.ContainsFunc(listed, func(m ListedMAC) bool { return m.MAC == mac }) {
		return MAC{}, fmt.Errorf("%s%s does not list %s, which %s%s calls the primary ENI", t.Root, t.MACs, mac, t.Root, t.Primary)
	}
	return mac, nil
}

// Entry reads the facts of one ENI from the keys below its directory, and collects what
// is wrong with them.
type Entry struct {
	Dir      string // with a slash at the end
	Origin   string
	Answers  Answers
	Name     string // what Problems call the ENI: its MAC until its id is known
	Problems []Problem
}

// Unread notes why a fact could not be read.
func (e *Entry) Unread(field string, err error) {
	e.Problems = append(e.Problems, Unread(e.Name, field, err))
}

// Absent reports that the service knows no such key; the key "" is the directory.
func (e *Entry) Absent(key string) bool { return e.Answers.Of(e.Dir + key).Absent() }

// Missing is the problem of a key that this ENI must have and has not.
func (e *Entry) Missing(field, key string) { e.Unread(field, e.Answers.Of(e.Dir+key).Err) }

// Scalar is a key with one value, such as Word reads. One that is absent is unknown and no
// problem: what every ENI has has not propagated, and the addresses say why.
func Scalar[T any](e *Entry, field, key string, parse func(body string) (T, error)) Fact[T] {
	value, err := Read(e.Answers, e.Dir+key, parse)
	if err == nil {
		return Is(value, e.Origin)
	}
	if !errors.Is(err, ErrNotFound) {
		e.Unread(field, err)
	}
	return Fact[T]{}
}

// List is a key with a list, such as Lines reads. Absent means none, and so does a list of which parse says that it
// is empty; a body that parse refuses is no answer at all.
func List[T any](e *Entry, field, key string, parse func(body string) ([]T, error)) Fact[[]T] {
	values, err := Read(e.Answers, e.Dir+key, parse)
	switch {
	case err == nil && len(values) > 0:
		return Is(values, e.Origin)
	case err == nil, errors.Is(err, ErrNotFound):
		return IsNone[[]T](e.Origin)
	}
	e.Unread(field, err)
	return Fact[[]T]{}
}

// Required turns "none" into unknown, and tells that the key is missing: for a list
// that this ENI must have, so that it has not propagated.
func Required[T any](e *Entry, f Fact[[]T], field, key string) Fact[[]T] {
	if f.State != None {
		return f
	}
	e.Missing(field, key)
	return Fact[[]T]{}
}

// PrimaryFirst puts first the address that key calls the ENI's primary one, where the service's list has no order.
// An only address is the primary one. Of several the list is unknown while the key cannot be read or is not in it:
// the first address is the one that traffic from this host begins with, and which it is nobody has said.
func PrimaryFirst(e *Entry, addresses Fact[[]netip.Addr], key string) Fact[[]netip.Addr] {
	if len(addresses.Value) < 2 {
		return addresses
	}
	primary, err := Read(e.Answers, e.Dir+key, IPv4)
	if err == nil && !slices.Contains(addresses.Value, primary) {
		err = &BadAnswerError{e.Dir + key, fmt.Errorf("%s is not among the ENI's addresses %v", primary, addresses.Value)}
	}
	if err != nil {
		e.Unread("addresses", err)
		return Fact[[]netip.Addr]{}
	}
	values := slices.DeleteFunc(slices.Clone(addresses.Value), func(a netip.Addr) bool { return a == primary })
	addresses.Value = slices.Insert(values, 0, primary)
	return addresses
}
