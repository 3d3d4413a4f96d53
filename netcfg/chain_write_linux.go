package netcfg

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// A chain is changed by filling the generation that nothing calls, calling it in front of the one
// in use, and taking that one away: whoever is killed in between, and whatever packet comes
// by, finds a whole chain. One line more or less is done in place, which is as good.

// claimChain notes the backend before anything of ours is in it.
func (b *batch) claimChain() {
	if b.firewall.host.Backend == "" {
		b.firewall.look(Scope{}, b.record.chains)
	}
	if backend := b.firewall.host.Backend; backend != "" {
		b.record.chains[backend] = true
	}
}

// doChain makes a chain be as wanted in the host's backend, and be nowhere else.
func (b *batch) doChain(v Verb, c Chain) error {
	f := &b.firewall
	f.fresh = false // the event of this may come after the next look
	if v != Del {
		p, ok := f.programs[f.host.Backend][c.Family]
		switch {
		case f.host.Backend == "":
			return errors.New(f.host.Missing)
		case !ok:
			return fmt.Errorf("the host's iptables has no %s of the same kind (%s); install it", c.Family.iptables(), f.host.Backend)
		}
		if err := f.put(p, c); err != nil {
			return err
		}
	}
	for backend, byFamily := range f.programs {
		p, ok := byFamily[c.Family]
		there := b.record.chains[backend] || f.found[backend]
		if !ok || !there || v != Del && backend == f.host.Backend {
			continue
		}
		if err := f.remove(p, c.Hook); err != nil {
			return err
		}
	}
	return nil
}

// put makes a chain be as wanted in a backend.
func (f *firewall) put(p program, c Chain) error {
	w, found, err := f.writer(p, c.Hook)
	if err != nil {
		return err
	}
	at := place{p.backend, c.Family, c.Hook}
	current, next := roles(found)
	whole := current.calls == 1 && !next.ours()
	if name := current.name; whole {
		present := printed(current.rules)
		if t := f.written[at]; t.printed == present {
			present = t.wanted
		}
		done, err := w.edit(name, Chain{Rules: present}.lines(), c.lines())
		if err != nil {
			return err
		}
		if done {
			return f.readBack(w, at, name, c)
		}
	}
	delete(f.written, at)
	steps := []func() error{
		func() error { return w.uncall(next) },
		func() error { return w.fill(next.name, c.lines()) },
		func() error { return f.readBack(w, at, next.name, c) },
		func() error { return w.Insert(c.Hook.Table, c.Hook.Chain, 1, "-j", next.name) },
		func() error { return w.uncall(current) },
		func() error { return w.discard(current) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// remove takes a chain of ours out of a backend.
func (f *firewall) remove(p program, h Hook) error {
	w, found, err := f.writer(p, h)
	if err != nil {
		return err
	}
	delete(f.written, place{p.backend, p.family, h})
	for _, g := range found {
		if err := errors.Join(w.uncall(g), w.discard(g)); err != nil {
			return err
		}
	}
	return nil
}

// readBack remembers what iptables makes of a text.
func (f *firewall) readBack(w chainWriter, at place, name string, c Chain) error {
	listed, err := w.List(c.Hook.Table, name)
	if err != nil {
		return err
	}
	var rules []string
	for _, line := range listed {
		if rule, ok := strings.CutPrefix(line, "-A "+name+" "); ok {
			rules = append(rules, rule)
		}
	}
	if len(rules) != len(c.lines()) {
		return fmt.Errorf("the chain %s has %d rules after %d were written: somebody else changes it", name, len(rules), len(c.lines()))
	}
	f.written[at] = text{printed(rules), c.Rules}
	return nil
}

// chainWriter changes what is at one hook, through go-iptables.
type chainWriter struct {
	*iptables.IPTables
	hook Hook
}

// writer is for a hook, with what is there of ours: as the last look saw it, if nothing was written
// there since. Should somebody else have been faster, the next look tells.
func (f *firewall) writer(p program, h Hook) (chainWriter, []generation, error) {
	at := place{p.backend, p.family, h}
	found, known := f.gens[at]
	delete(f.gens, at)
	if !known {
		set, err := p.save(h.Table)
		if err != nil {
			return chainWriter{}, nil, err
		}
		found = set.generationsOf(h)
	}
	t, err := f.tool(p)
	return chainWriter{t, h}, found, err
}

// roles tells the generation in use from the one to be filled. Where both are called, the first one
// counts; where none is, another's rule leads into the one that is not to be filled.
func roles(found []generation) (current, next generation) {
	a, b := found[0], found[1]
	switch {
	case a.calls > 0 && b.calls > 0 && b.first < a.first, a.calls == 0 && b.calls > 0:
		return b, a
	case a.calls == 0 && !a.held:
		return b, a
	}
	return a, b
}

// edit adds or takes one line in place; not done where that is not all of the difference.
func (w chainWriter) edit(name string, from, to []string) (done bool, err error) {
	if slices.Equal(from, to) {
		return true, nil
	}
	if at := lacks(from, to); at >= 0 {
		return true, w.Insert(w.hook.Table, name, at+1, strings.Fields(to[at])...)
	}
	if at := lacks(to, from); at >= 0 {
		return true, w.Delete(w.hook.Table, name, strings.Fields(from[at])...)
	}
	return false, nil
}

// lacks is the place of the one line of longer that shorter has not, -1 where they differ in more.
func lacks(shorter, longer []string) int {
	if len(longer) != len(shorter)+1 {
		return -1
	}
	at := 0
	for at < len(shorter) && shorter[at] == longer[at] {
		at++
	}
	if !slices.Equal(shorter[at:], longer[at+1:]) {
		return -1
	}
	return at
}

func (w chainWriter) fill(name string, lines []string) error {
	if err := w.ClearChain(w.hook.Table, name); err != nil {
		return err
	}
	for _, line := range lines {
		if err := w.Append(w.hook.Table, name, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// uncall takes away the calls of a generation.
func (w chainWriter) uncall(g generation) error {
	for range g.calls {
		err := w.Delete(w.hook.Table, w.hook.Chain, "-j", g.name)
		var failure *iptables.Error
		if errors.As(err, &failure) && failure.IsNotExist() {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// discard takes a generation away. One that another's rule leads into cannot go, and stays empty.
func (w chainWriter) discard(g generation) error {
	switch {
	case !g.there:
		return nil
	case g.held:
		return w.ClearChain(w.hook.Table, g.name)
	}
	return w.ClearAndDeleteChain(w.hook.Table, g.name)
}
