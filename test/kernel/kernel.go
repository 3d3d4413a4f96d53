// Package kernel is a kernel in memory: enough of Linux's addresses, routes, policy rules and
// NIC settings to test decisions without one. It keeps to what was seen of the real
// one where that matters: rules in order, the first of two twins deleted, a goto without a
// target skipped, suppressed routes, routes that go with the last address.
package kernel

import (
	"context"
	"maps"
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
	Addrs    []netcfg.Addr // everybody's
	Marks    map[netcfg.Addr]netcfg.Mark
	Routes   []netcfg.Route   // everybody's, main included
	Rules    []netcfg.Rule    // everybody's, in order, without the kernel's own three
	Settings []netcfg.Setting // present values
	Chains   []netcfg.Chain   // ours, the only ones that there are here

	// What Host says of the same names.
	Forwards  map[netcfg.Family]bool
	StrictAll string
	Firewall  netcfg.Firewall
	Carried   map[netcfg.Slot]bool

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

// protoRA marks routes that follow from router advertisements (RTPROT_RA).
const protoRA = 9

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
	return scope.Full || len(scope.Tables) == 0 || table == netcfg.MainTable || table == netcfg.LocalTable || slices.Contains(scope.Tables, table)
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
		netcfg.ARPIgnore: "0", netcfg.ARPAnnounce: "0", netcfg.RPFilter: "0", netcfg.AcceptRA: "1", netcfg.Promote: "0",
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
	o := netcfg.Observation{Host: netcfg.Host{Forwards: maps.Clone(k.Forwards), StrictAll: k.StrictAll, Carried: maps.Clone(k.Carried), RulesAmong: map[netcfg.Family][]int{}}}
	if scope.Chains || len(k.Chains) > 0 {
		o.Own.Chains, o.Host.Firewall = slices.Clone(k.Chains), k.Firewall
	}
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
		case k.Marks[a]&netcfg.Temporary != 0:
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
		case r.Table == netcfg.MainTable && inScope[r.Link] && r.Proto == protoRA:
			o.Host.RADefaults = append(o.Host.RADefaults, r)
		case r.Local() && slices.Contains(scope.Local, r.Dst):
			o.Host.Local = append(o.Host.Local, r)
		case r.Table == netcfg.MainTable && inScope[r.Link]:
			o.Host.Routes = append(o.Host.Routes, r)
		}
	}
	slices.SortFunc(o.Host.Routes, netcfg.ByNIC)
	o.Host.Marks = maps.Clone(k.Marks)
	for _, r := range k.Rules {
		if k.ours(scope, r.Proto) {
			o.Own.Rules = append(o.Own.Rules, r)
		} else if r.Priority >= scope.Numbers.Priority && r.Priority < scope.Numbers.Priority+400 {
			o.Host.RulesAmong[r.Family] = append(o.Host.RulesAmong[r.Family], r.Priority)
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
