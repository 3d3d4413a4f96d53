// Package kernel is a kernel in memory: enough of Linux's addresses, routes, policy rules and
// NIC settings to test decisions without one. It keeps to what was seen of the real
// one where that matters: rules in order, the first of two twins deleted, a goto without a
// target skipped, suppressed routes, routes that go with the last address.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"

	"enid/netcfg"
)

// Kernel is one network namespace. The zero value is not ready, see New. All fields may be
// changed between calls, to play what others do to a host.
type Kernel struct {
	mu sync.Mutex

	Links    []netcfg.Link
	Addrs    []netcfg.Addr    // everybody's
	Routes   []netcfg.Route   // everybody's, main included
	Rules    []netcfg.Rule    // everybody's, in order, without the kernel's own three
	Settings []netcfg.Setting // present values

	Proto   int                   // the protocol number that marks what is ours
	Writes  int                   // operations that changed something
	Fail    func(netcfg.Op) error // which operations the kernel refuses
	Broken  error                 // what Observe answers instead of what is there
	OnWrite func(netcfg.Op)       // told of each operation that succeeded; may change what is here

	addrs map[netcfg.Addr]bool      // the record: addresses of ours
	found map[netcfg.Setting]string // the record: values before ours; key without Value
	set   map[netcfg.Setting]string // and ours

	protos map[int]bool // the record: numbers that ever marked rules and routes of ours
}

// New is a namespace with nothing in it.
func New(proto int) *Kernel {
	return &Kernel{Proto: proto, addrs: map[netcfg.Addr]bool{}, found: map[netcfg.Setting]string{}, set: map[netcfg.Setting]string{}, protos: map[int]bool{}}
}

// Protos is netcfg.Kernel.Protos.
func (k *Kernel) Protos() []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.protos))
}

// ours reports whether a protocol number marks what the scope calls its own.
func (k *Kernel) ours(scope netcfg.Scope, proto int) bool {
	return slices.Contains(scope.Protos, proto) || len(scope.Protos) == 0 && proto == k.Proto
}

// sees reports whether routes of ours in a table are looked for: a scope without tables means all.
func sees(scope netcfg.Scope, table int) bool {
	return scope.Full || len(scope.Tables) == 0 || table == netcfg.MainTable || slices.Contains(scope.Tables, table)
}

// Plug adds a NIC as the kernel shows a new one: down, bare, knobs at their defaults.
func (k *Kernel) Plug(l netcfg.Link) {
	k.Links = append(k.Links, l)
	up := "0"
	if l.Up {
		up = "1"
	}
	for knob, v := range map[netcfg.Knob]string{
		netcfg.LinkUp: up, netcfg.LinkGroup: strconv.Itoa(int(l.Group)), netcfg.LinkMTU: "1500",
		netcfg.ARPIgnore: "0", netcfg.ARPAnnounce: "0", netcfg.AcceptRA: "1", netcfg.Promote: "0",
	} {
		k.Settings = append(k.Settings, netcfg.Setting{Link: l.Index, Knob: knob, Value: v})
	}
}

// Unplug removes a NIC with its addresses, routes and settings. Rules stay.
func (k *Kernel) Unplug(index int) {
	k.Links = slices.DeleteFunc(k.Links, func(l netcfg.Link) bool { return l.Index == index })
	k.Addrs = slices.DeleteFunc(k.Addrs, func(a netcfg.Addr) bool { return a.Link == index })
	k.Routes = slices.DeleteFunc(k.Routes, func(r netcfg.Route) bool { return r.Link == index && index != 0 })
	k.Settings = slices.DeleteFunc(k.Settings, func(s netcfg.Setting) bool { return s.Link == index })
}

// Observe is netcfg.Kernel.Observe. Links show their settings.
func (k *Kernel) Observe(_ context.Context, scope netcfg.Scope) (netcfg.Observation, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Broken != nil {
		return netcfg.Observation{}, k.Broken
	}
	var o netcfg.Observation
	inScope := map[int]bool{}
	for _, l := range k.Links {
		l.Up = k.setting(l.Index, netcfg.LinkUp) == "1"
		o.Host.Links = append(o.Host.Links, l)
		inScope[l.Index] = scope.MACs[l.MAC]
	}
	for _, a := range k.Addrs {
		switch {
		case k.addrs[a]:
			o.Own.Addrs = append(o.Own.Addrs, a)
		default:
			o.Host.Addrs = append(o.Host.Addrs, a)
		}
	}
	for _, r := range k.Routes {
		switch {
		case k.ours(scope, r.Proto):
			if sees(scope, r.Table) {
				o.Own.Routes = append(o.Own.Routes, r)
			}
		case r.Table == netcfg.MainTable && inScope[r.Link]:
			o.Host.Routes = append(o.Host.Routes, r)
		}
	}
	slices.SortFunc(o.Host.Routes, netcfg.ByNIC)
	for _, r := range k.Rules {
		if k.ours(scope, r.Proto) {
			o.Own.Rules = append(o.Own.Rules, r)
		}
	}
	for _, s := range k.Settings {
		key := netcfg.Setting{Link: s.Link, Knob: s.Knob}
		if _, ours := k.found[key]; ours && s.Knob != netcfg.LinkUp && s.Value != k.set[key] {
			delete(k.found, key) // another has changed it since: theirs
		}
		if _, ours := k.found[key]; ours {
			o.Own.Settings = append(o.Own.Settings, s)
			o.Host.Found = append(o.Host.Found, netcfg.Setting{Link: s.Link, Knob: s.Knob, Value: k.found[key]})
		}
		if inScope[s.Link] {
			o.Host.Settings = append(o.Host.Settings, s)
		}
	}
	return o, nil
}

func (k *Kernel) setting(link int, knob netcfg.Knob) string {
	for _, s := range k.Settings {
		if s.Link == link && s.Knob == knob {
			return s.Value
		}
	}
	return ""
}

// Apply is netcfg.Kernel.Apply, with Fail deciding which operations go wrong.
func (k *Kernel) Apply(ctx context.Context, ops []netcfg.Op) []netcfg.Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	var results []netcfg.Result
	failed := map[netcfg.Slot]bool{}
	for _, op := range ops {
		res := netcfg.Result{Op: op}
		adds := op.Verb != netcfg.Del && op.Verb != netcfg.Restore
		switch {
		case ctx.Err() != nil:
			res.Err, res.Skipped = ctx.Err(), true
		case adds && (failed[op.Slot] || failed[netcfg.NoSlot]):
			res.Err, res.Skipped = netcfg.ErrSkipped, true
		default:
			if k.Fail != nil {
				res.Err = k.Fail(op)
			}
			if res.Err == nil {
				res.Err = k.do(op)
			}
			if res.Err != nil {
				failed[op.Slot] = true
				break
			}
			k.Writes++
			if k.OnWrite != nil {
				k.OnWrite(op)
			}
		}
		results = append(results, res)
	}
	return results
}

func (k *Kernel) do(op netcfg.Op) error {
	var err error
	switch o := op.Object.(type) {
	case netcfg.Addr:
		err = k.doAddr(op.Verb, o)
	case netcfg.Route:
		err = k.doRoute(op.Verb, o)
	case netcfg.Rule:
		err = k.doRule(op.Verb, o)
	case netcfg.Setting:
		err = k.doSetting(op.Verb, o)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func (k *Kernel) link(index int) (netcfg.Link, error) {
	for _, l := range k.Links {
		if l.Index == index {
			return l, nil
		}
	}
	return netcfg.Link{}, errors.New("no such device")
}

func (k *Kernel) doAddr(v netcfg.Verb, a netcfg.Addr) error {
	if v == netcfg.Del {
		delete(k.addrs, a)
		k.Addrs = slices.DeleteFunc(k.Addrs, func(x netcfg.Addr) bool { return x == a })
		if !slices.ContainsFunc(k.Addrs, func(x netcfg.Addr) bool {
			return x.Link == a.Link && netcfg.FamilyOf(x.Prefix.Addr()) == netcfg.FamilyOf(a.Prefix.Addr())
		}) && a.Prefix.Addr().Is4() {
			// The last IPv4 address takes the NIC's routes of every table with it.
			k.Routes = slices.DeleteFunc(k.Routes, func(r netcfg.Route) bool { return r.Link == a.Link && r.Dst.Addr().Is4() })
		}
		return nil
	}
	if _, err := k.link(a.Link); err != nil {
		return err
	}
	if slices.Contains(k.Addrs, a) {
		return nil // somebody else's
	}
	k.Addrs = append(k.Addrs, a)
	k.addrs[a] = true
	return nil
}

func (k *Kernel) doRoute(v netcfg.Verb, r netcfg.Route) error {
	k.protos[r.Proto] = true
	same := func(x netcfg.Route) bool { return x.Table == r.Table && x.Dst == r.Dst && x.Metric == r.Metric }
	at := slices.IndexFunc(k.Routes, same)
	switch v {
	case netcfg.Del:
		k.Routes = slices.DeleteFunc(k.Routes, func(x netcfg.Route) bool { return x == r })
		return nil
	case netcfg.Replace:
		if at < 0 || !k.protos[k.Routes[at].Proto] {
			return os.ErrExist
		}
		k.Routes[at] = r
		return nil
	}
	if at >= 0 {
		return os.ErrExist
	}
	if !r.Unreachable() {
		if _, err := k.link(r.Link); err != nil {
			return err
		}
		if k.setting(r.Link, netcfg.LinkUp) != "1" {
			return errors.New("network is down")
		}
	}
	k.Routes = append(k.Routes, r)
	return nil
}

// sameRule is the kernel's idea of it: everything but a goto's target.
func sameRule(a, b netcfg.Rule) bool {
	if a.Goto != 0 && b.Goto != 0 {
		a.Goto = b.Goto
	}
	return a == b
}

func (k *Kernel) doRule(v netcfg.Verb, r netcfg.Rule) error {
	k.protos[r.Proto] = true
	at := slices.IndexFunc(k.Rules, func(x netcfg.Rule) bool { return sameRule(x, r) })
	switch v {
	case netcfg.Del:
		if at >= 0 {
			k.Rules = slices.Delete(k.Rules, at, at+1)
		}
		return nil
	case netcfg.Add:
		if at >= 0 {
			return os.ErrExist
		}
	}
	k.InsertRule(r)
	return nil
}

// InsertRule puts a rule behind those of the same priority.
func (k *Kernel) InsertRule(r netcfg.Rule) {
	at := slices.IndexFunc(k.Rules, func(x netcfg.Rule) bool { return x.Priority > r.Priority })
	if at < 0 {
		at = len(k.Rules)
	}
	k.Rules = slices.Insert(k.Rules, at, r)
}

// inUse: a NIC that others use is not set down.
func (k *Kernel) inUse(s netcfg.Setting) bool {
	return s.Knob == netcfg.LinkUp && (slices.ContainsFunc(k.Addrs, func(a netcfg.Addr) bool { return a.Link == s.Link }) ||
		slices.ContainsFunc(k.Routes, func(r netcfg.Route) bool { return r.Link == s.Link && r.Proto != k.Proto }))
}

func (k *Kernel) doSetting(v netcfg.Verb, s netcfg.Setting) error {
	key := netcfg.Setting{Link: s.Link, Knob: s.Knob}
	at := slices.IndexFunc(k.Settings, func(x netcfg.Setting) bool { return x.Link == s.Link && x.Knob == s.Knob })
	if at < 0 {
		delete(k.found, key)
		return nil
	}
	if v == netcfg.Restore {
		if k.Settings[at].Value == k.set[key] && !k.inUse(s) {
			k.Settings[at].Value = k.found[key]
		}
		delete(k.found, key)
	} else {
		if _, recorded := k.found[key]; !recorded {
			k.found[key] = k.Settings[at].Value
		}
		k.Settings[at].Value, k.set[key] = s.Value, s.Value
	}
	if s.Knob == netcfg.LinkUp && k.Settings[at].Value == "0" {
		k.Routes = slices.DeleteFunc(k.Routes, func(r netcfg.Route) bool { return r.Link == s.Link })
		k.Addrs = slices.DeleteFunc(k.Addrs, func(a netcfg.Addr) bool { return a.Link == s.Link && a.Prefix.Addr().Is6() })
	}
	return nil
}
