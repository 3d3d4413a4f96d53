package netcfg

import (
	"context"
	"fmt"
	"slices"
)

// look is what links and addresses are there, with the record cut down to it.
type look struct {
	links []Link
	addrs []presentAddr
	byID  map[int]Link
	conf  map[int]linkConf // by ifindex
}

// Observe returns what is ours and what decisions need, whole or not at all. It
// writes nothing, neither to the kernel nor to the record; announcements that waited for their NIC go out.
func (k *Kernel) Observe(ctx context.Context, s Scope) (Observation, error) {
	l, err := k.look()
	if err != nil {
		return Observation{}, err
	}
	k.announcer.tell(l)
	scoped, watched := k.nics(l, s)
	k.watch.narrow(interest{protos: sorted(s.Protos), tables: sorted(s.Tables), nics: watched})

	o := Observation{Host: Host{RulesAmong: map[Family][]int{}, Unannounced: k.announcer.trouble()}}
	for i, link := range l.links {
		l.links[i].NoIPv6 = slices.Contains(scoped, link.Index) && l.noIPv6(link)
	}
	o.Host.Links = l.links
	k.observeAddrs(l, &o)
	if err := k.observeSettings(l, scoped, &o); err != nil {
		return Observation{}, err
	}
	others, err := k.observeRules(ctx, s, &o)
	if err != nil {
		return Observation{}, err
	}
	if err := k.observeRoutes(ctx, s, scoped, watched, &o); err != nil {
		return Observation{}, err
	}
	k.observeChains(s, others, &o)
	o.Host.Carried = carried(s.Numbers, o.Own.Rules)
	if err := o.Host.observeForwarding(); err != nil {
		return Observation{}, err
	}
	return o, nil
}

// observeRules finds our rules, and where others' stand between them. It returns all of others'.
func (k *Kernel) observeRules(ctx context.Context, s Scope, o *Observation) (others []foreignRule, err error) {
	for _, f := range []Family{V4, V6} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		own, foreign, err := k.conn.rules(f, func(proto int) bool { return slices.Contains(s.Protos, proto) })
		if err != nil {
			return nil, fmt.Errorf("read the IPv%d policy rules: %w", f, err)
		}
		o.Own.Rules = append(o.Own.Rules, own...)
		for _, r := range foreign {
			if s.Numbers.inFront(r.priority) {
				o.Host.RulesAmong[f] = append(o.Host.RulesAmong[f], r.priority)
			}
		}
		others = append(others, foreign...)
	}
	return others, nil
}

// look reads links and addresses, and forgets what is recorded of ones that
// are gone: in memory, the file follows when something is applied.
func (k *Kernel) look() (look, error) {
	links, err := k.conn.confLinks()
	if err != nil {
		return look{}, fmt.Errorf("read the links: %w", err)
	}
	addrs, err := k.conn.addrs()
	if err != nil {
		return look{}, fmt.Errorf("read the addresses: %w", err)
	}
	l := look{addrs: addrs, byID: map[int]Link{}, conf: map[int]linkConf{}}
	nics := map[nicID]bool{}
	for _, link := range links {
		l.links = append(l.links, link.Link)
		l.byID[link.Index], l.conf[link.Index] = link.Link, link.conf
		nics[link.id()] = true
	}
	present := map[ownedAddr]bool{}
	for _, a := range addrs {
		present[l.owned(a.Addr)] = true
	}
	k.record.forget(nics, present)
	return l, nil
}

func (l Link) id() nicID { return nicID{l.Index, l.MAC} }

// owned is the address as the record would have it.
func (l look) owned(a Addr) ownedAddr { return ownedAddr{l.byID[a.Link].id(), a.Prefix} }

// nics are the ifindexes, in order, of the scope's NICs, and of these together
// with the ones that something of ours is recorded of.
func (k *Kernel) nics(l look, s Scope) (scoped, watched []int) {
	recorded := k.record.nics()
	for _, link := range l.links {
		in := s.MACs[link.MAC]
		if in {
			scoped = append(scoped, link.Index)
		}
		if in || recorded[link.Index] {
			watched = append(watched, link.Index)
		}
	}
	return scoped, watched
}

func (k *Kernel) observeAddrs(l look, o *Observation) {
	for _, a := range l.addrs {
		if a.mark != 0 {
			if o.Host.Marks == nil {
				o.Host.Marks = map[Addr]Mark{}
			}
			o.Host.Marks[a.Addr] = a.mark
		}
		switch {
		case k.record.addrs[l.owned(a.Addr)]:
			o.Own.Addrs = append(o.Own.Addrs, a.Addr)
		case !a.passing:
			o.Host.Addrs = append(o.Host.Addrs, a.Addr)
		}
	}
}

func (k *Kernel) observeSettings(l look, scoped []int, o *Observation) error {
	recorded := k.record.nics()
	for _, link := range l.links {
		in := slices.Contains(scoped, link.Index)
		if !in && !recorded[link.Index] {
			continue
		}
		for _, name := range Knobs {
			id := ownedKnob{link.id(), name}
			_, ours := k.record.knobs[id]
			if !in && !ours {
				continue
			}
			value, ok, err := l.knob(link, name)
			if err != nil {
				return fmt.Errorf("read the setting %s of %s: %w", name, link.Name, err)
			}
			if ok && ours && k.record.knobs[id].undone(name, value) {
				delete(k.record.knobs, id)
				ours = false
			}
			s := Setting{link.Index, name, value}
			if ok && in {
				o.Host.Settings = append(o.Host.Settings, s)
			}
			if ok && ours {
				o.Own.Settings = append(o.Own.Settings, s)
				o.Host.Found = append(o.Host.Found, Setting{link.Index, name, k.record.knobs[id].found})
			}
		}
	}
	return nil
}

func sorted(v []int) []int { return slices.Compact(slices.Sorted(slices.Values(v))) }
