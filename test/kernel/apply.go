package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"enid/netcfg"
)

// Apply is netcfg.Kernel.Apply, with Fail deciding which operations go wrong.
func (k *Kernel) Apply(ctx context.Context, ops []netcfg.Op) []netcfg.Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	var results []netcfg.Result
	failed := map[netcfg.Slot]bool{}
	for _, op := range ops {
		res := netcfg.Result{Op: op}
		adds := op.Verb != netcfg.Del && op.Verb != netcfg.Restore
		_, chain := op.Object.(netcfg.Chain) // holds up nothing, and nothing holds it up
		switch {
		case ctx.Err() != nil:
			res.Err, res.Skipped = ctx.Err(), true
		case adds && !chain && (failed[op.Slot] || failed[netcfg.NoSlot]):
			res.Err, res.Skipped = netcfg.ErrSkipped, true
		default:
			if k.Fail != nil {
				res.Err = k.Fail(op)
			}
			if res.Err == nil {
				res.Err = k.do(op)
			}
			if res.Err != nil {
				failed[op.Slot] = failed[op.Slot] || !chain
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
	case netcfg.Chain:
		err = k.doChain(op.Verb, o)
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
		if k.setting(r.Link, netcfg.LinkUp) != "1" && !survives(r) {
			return errors.New("network is down")
		}
	}
	k.Routes = append(k.Routes, r)
	return nil
}

// survives: the kernel keeps an IPv4 route of type local on a NIC that is down.
func survives(r netcfg.Route) bool { return r.Local() && r.Dst.Addr().Is4() }

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
		k.Routes = slices.DeleteFunc(k.Routes, func(r netcfg.Route) bool { return r.Link == s.Link && !survives(r) })
		k.Addrs = slices.DeleteFunc(k.Addrs, func(a netcfg.Addr) bool { return a.Link == s.Link && a.Prefix.Addr().Is6() })
	}
	return nil
}

func (k *Kernel) doChain(v netcfg.Verb, c netcfg.Chain) error {
	if k.Firewall.Backend == "" && v != netcfg.Del {
		return errors.New("iptables is not there")
	}
	k.Chains = slices.DeleteFunc(k.Chains, func(x netcfg.Chain) bool { return x.Family == c.Family && x.Hook == c.Hook })
	if v != netcfg.Del {
		k.Chains = append(k.Chains, c)
	}
	return nil
}
