package netcfg

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// firewall is what was last seen of iptables. Reading it costs processes, so it is read again
// only when something may have changed.
type firewall struct {
	events *chainEvents

	commands  []command // by which the programs were found
	programs  programs
	preferred string // the backend of plain iptables
	tools     map[program]*iptables.IPTables

	fresh  bool // nothing of ours was written since
	gens   map[place][]generation
	sizes  []legacySize
	mark   uint32 // the mask that conflicts were looked for
	chains []Chain
	found  map[string]bool // backends in which something of ours lies
	host   Firewall

	// written is the text that a chain was written from, by what iptables prints of it. Where
	// the two differ, a fresh process does not know and writes once more.
	written map[place]text
}

// place is where a chain of ours is.
type place struct {
	backend string
	family  Family
	hook    Hook
}

type text struct{ printed, wanted string }

func newFirewall() firewall {
	return firewall{events: newChainEvents(), tools: map[program]*iptables.IPTables{}, written: map[place]text{}}
}

const noIPTables = "there is no iptables command in PATH; install the package iptables (with ip6tables)"

// observeChains looks for chains of ours where the scope asks for them, or there were some.
func (k *Kernel) observeChains(s Scope, others []foreignRule, o *Observation) {
	if !s.Chains && len(k.record.chains) == 0 {
		return
	}
	k.firewall.look(s, k.record.chains)
	o.Own.Chains = slices.Clone(k.firewall.chains)
	o.Host.Firewall = k.firewall.host
	if o.Host.Firewall.Backend != "" && o.Host.Firewall.Conflict == "" {
		o.Host.Firewall.Conflict = markConflict(others, s.Numbers.Mark)
	}
}

// look reads again unless everything is as it was. Where that fails for the host's backend it keeps
// what it knew and says so: to know too little of chains loses nothing, as one is always written whole.
func (f *firewall) look(s Scope, recorded map[string]bool) {
	unchanged := f.events.unchanged()
	sizes, err := legacySizes()
	if err == nil && unchanged && f.fresh && !s.Full && f.mark == s.Numbers.Mark && slices.Equal(sizes, f.sizes) {
		return
	}
	f.sizes, f.mark, f.fresh = sizes, s.Numbers.Mark, false
	if now := installedCommands(); !slices.Equal(now, f.commands) {
		f.commands, f.tools = now, map[program]*iptables.IPTables{}
		f.programs, f.preferred = programsOf(now)
	}
	if len(f.programs) == 0 {
		f.chains, f.found, f.gens, f.host = nil, nil, nil, Firewall{Missing: noIPTables}
		return
	}
	sets, failed := f.read()
	f.assume(recorded)
	if len(failed) == len(f.programs) || failed[f.host.Backend] != nil {
		f.host.Missing = missingText(failed)
		return
	}
	f.fresh = len(failed) == 0
	f.understand(sets, failed)
}

// missingText says which backends could not be read.
func missingText(failed map[string]error) string {
	if len(failed) == 0 {
		return ""
	}
	err := errors.Join(slices.Collect(maps.Values(failed))...)
	return fmt.Sprintf("%s; enid goes on with what it knew (is enid root, with CAP_NET_ADMIN and CAP_NET_RAW, and does the command work by hand?)",
		strings.ReplaceAll(err.Error(), "\n", "; "))
}

// assume takes a recorded backend for the host's where none is known yet: what was there
// before this process began goes on.
func (f *firewall) assume(recorded map[string]bool) {
	if f.host.Backend != "" {
		return
	}
	for _, backend := range slices.Sorted(maps.Keys(recorded)) {
		if f.programs[backend] != nil && (f.host.Backend == "" || backend == f.preferred) {
			f.host.Backend = backend
		}
	}
}

// rulesets are those of every backend of a family.
type rulesets map[Family]map[string]ruleset

// read reads all that is there, and says which backends cannot be read.
func (f *firewall) read() (sets rulesets, failed map[string]error) {
	sets, failed = rulesets{V4: {}, V6: {}}, map[string]error{}
	for backend, byFamily := range f.programs {
		for family, p := range byFamily {
			if backend == backendLegacy && f.idle(family) || family == V6 && !hasIPv6() {
				continue
			}
			set, err := p.save()
			if err != nil {
				failed[backend] = err
				break
			}
			sets[family][backend] = set
		}
	}
	return sets, failed
}

// idle reports whether there is nothing in a family's legacy tables, which then are not worth a
// process.
func (f *firewall) idle(family Family) bool {
	if tables, err := legacyTables(family); err == nil && len(tables) == 0 {
		return true
	}
	some := func(s legacySize) bool { return s.family == family && !s.bare }
	return f.sizes != nil && !slices.ContainsFunc(f.sizes, some)
}

// understand chooses the backend and finds what is ours, and whose marks collide with ours.
func (f *firewall) understand(sets rulesets, failed map[string]error) {
	f.host = Firewall{Backend: f.choose(sets, failed), Missing: missingText(failed)}
	_, six := f.programs[f.host.Backend][V6]
	f.host.NoIPv6 = !six && hasIPv6()
	f.chains, f.found, f.gens = nil, map[string]bool{}, map[place][]generation{}
	for _, family := range []Family{V4, V6} {
		remember := func(h Hook, printed string) string {
			if t := f.written[place{f.host.Backend, family, h}]; t.printed == printed && t.wanted != "" {
				return t.wanted
			}
			return printed
		}
		for backend, set := range sets[family] {
			for _, h := range Hooks {
				gens := set.generationsOf(h)
				f.gens[place{backend, family, h}] = gens
				f.found[backend] = f.found[backend] || slices.ContainsFunc(gens, generation.ours)
			}
		}
		f.chains = append(f.chains, f.chainsOf(family, slices.Sorted(maps.Keys(sets[family])), remember)...)
		if f.host.Conflict == "" {
			f.host.Conflict = sets[family][f.host.Backend].markConflict(family, f.mark)
		}
	}
}

// choose is the backend that the host uses: the one that has others' rules; where that does not tell,
// the one that is called iptables. One that cannot be read is none.
func (f *firewall) choose(sets rulesets, failed map[string]error) string {
	there := func(backend string) bool { return f.programs[backend] != nil && failed[backend] == nil }
	var used []string
	for _, backend := range slices.Sorted(maps.Keys(f.programs)) {
		if sets[V4][backend].used() || sets[V6][backend].used() {
			used = append(used, backend)
		}
	}
	switch {
	case len(used) == 1:
		return used[0]
	case there(f.preferred):
		return f.preferred
	case there(backendNFT):
		return backendNFT
	}
	return backendLegacy
}

// tool is a program behind go-iptables.
func (f *firewall) tool(p program) (*iptables.IPTables, error) {
	if t, ok := f.tools[p]; ok {
		return t, nil
	}
	t, err := p.open()
	if err == nil {
		f.tools[p] = t
	}
	return t, err
}
