package jdcloud

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"enid/metadata"
)

// view is what the OpenAPI says at the moment about what is missing in a snapshot.
type view struct {
	asked    []string          // ids of the ENIs in question
	enis     map[string]apiENI // nil where nothing is known
	whole    bool              // enis may take something away
	subnets  map[string]netip.Prefix
	refused  map[string]error // subnets that are not known, and why
	problems []metadata.Problem
}

// missingLists is the ids of the ENIs whose addresses or prefixes are not known. One without an id cannot be
// asked about; that its id is not known is the metadata's problem.
func missingLists(all []metadata.Interface) (ids []string) {
	for _, i := range all {
		if i.ID.State == metadata.Known && !(i.Addresses.Whole() && i.Prefixes.Whole()) {
			ids = append(ids, i.ID.Value)
		}
	}
	return ids
}

// missingSubnets is the ids of the subnets whose ranges are not known, and what is said to be in them.
func missingSubnets(all []metadata.Interface, enis map[string]apiENI) map[string][]netip.Addr {
	need := map[string][]netip.Addr{}
	for _, i := range all {
		if i.Subnets.Whole() && i.Gateways.Whole() {
			continue
		}
		e := enis[i.ID.Value]
		if id := ownSubnet(i, e); id != "" {
			need[id] = append(need[id], primaryOf(i, e)...)
		}
		for id, addresses := range e.foreign {
			need[id] = append(need[id], addresses...)
		}
	}
	return need
}

// ownSubnet is the id of the subnet that an ENI is in, "" where unknown.
func ownSubnet(i metadata.Interface, e apiENI) string {
	if i.SubnetID.State == metadata.Known {
		return i.SubnetID.Value
	}
	return e.subnet
}

// primaryOf is the ENI's primary address of IPv4, if it is known.
func primaryOf(i metadata.Interface, e apiENI) []netip.Addr {
	if n := slices.IndexFunc(i.Addresses.Value, netip.Addr.Is4); n >= 0 {
		return i.Addresses.Value[n : n+1]
	}
	if e.primary.IsValid() {
		return []netip.Addr{e.primary}
	}
	return nil
}

// fail notes why the OpenAPI could not be asked. One reason is told once.
func (v *view) fail(err error) {
	if err == nil {
		return
	}
	p := metadata.Problem{Reason: "openapi", Text: err.Error() + "; what is configured is kept until it answers"}
	if errors.Is(err, errNoRole) {
		p = metadata.Problem{Reason: "no-role", Text: errNoRole.Error()}
	}
	if !slices.Contains(v.problems, p) {
		v.problems = append(v.problems, p)
	}
}

func (v *view) problem(i metadata.Interface, field, reason, format string, args ...any) {
	v.problems = append(v.problems, metadata.Problem{Interface: i.Name(), Field: field, Reason: reason, Text: fmt.Sprintf(format, args...)})
}

// complete adds what is known to the snapshot.
func (v *view) complete(s metadata.Snapshot) metadata.Snapshot {
	var layer []metadata.Interface
	public := map[metadata.MAC]metadata.Fact[map[netip.Addr]netip.Addr]{}
	for _, i := range s.Interfaces {
		l := metadata.Interface{MAC: i.MAC}
		e, found := v.enis[i.ID.Value]
		if v.enis != nil && slices.Contains(v.asked, i.ID.Value) {
			if found {
				v.lists(i, e, &l)
				public[i.MAC] = v.public(i, e)
			} else {
				v.problem(i, "addresses", "openapi-missing", "the OpenAPI's answer lacks this ENI; what is configured is kept until it is in it")
			}
		}
		v.network(i, e, &l)
		layer = append(layer, l)
	}
	out := metadata.Complete(s, layer)
	for n, i := range out.Interfaces {
		if f, ok := public[i.MAC]; ok {
			out.Interfaces[n].Public = f
		}
	}
	out.Problems = append(out.Problems, v.problems...)
	return out
}

// lists adds the addresses and prefixes of an ENI to l.
func (v *view) lists(i metadata.Interface, e apiENI, l *metadata.Interface) {
	if e.subnet != "" {
		l.SubnetID = metadata.Is(e.subnet, apiOrigin)
	}
	for _, p := range e.problems {
		told := p.Field == "addresses" && i.Addresses.Whole() || p.Field == "prefixes" && i.Prefixes.Whole() || p.Field == "subnetId" && i.SubnetID.Whole()
		if !told {
			p.Interface = i.Name()
			v.problems = append(v.problems, p)
		}
	}
	whole := v.whole && e.whole && e.primary.IsValid()
	addresses := slices.Clone(e.addresses)
	if e.primary.IsValid() {
		addresses = slices.Insert(addresses, 0, e.primary)
		if other := primaryOf(i, e)[0]; other != e.primary && !i.Addresses.Whole() {
			whole = false
			v.problem(i, "addresses", "primary-unclear", "the primary address is %s by the metadata and %s by the OpenAPI; both are taken, and none is taken away, until they agree", other, e.primary)
		}
	}
	l.Addresses = listFact(addresses, whole)
	l.Prefixes = e.prefixes
	if !v.whole {
		l.Prefixes = listFact(e.prefixes.Value, false)
	}
}

// public is which private addresses have a public one. The metadata knows it of the primary address only.
func (v *view) public(i metadata.Interface, e apiENI) metadata.Fact[map[netip.Addr]netip.Addr] {
	if i.Public.Whole() {
		return i.Public
	}
	all := maps.Clone(e.public)
	maps.Copy(all, i.Public.Value)
	switch {
	case len(all) > 0 && e.whole && e.primary.IsValid():
		return metadata.Is(all, apiOrigin)
	case len(all) > 0:
		return metadata.HasAtLeast(all, apiOrigin)
	case e.whole && e.primary.IsValid():
		return metadata.IsNone[map[netip.Addr]netip.Addr](apiOrigin)
	}
	return i.Public
}

// network adds an ENI's subnets to l, and its gateway: the first host of its own subnet (the comment at startIp in
// the SDK's models.Subnet). Subnets of single addresses have none of their own.
func (v *view) network(i metadata.Interface, e apiENI, l *metadata.Interface) {
	if i.Subnets.Whole() && i.Gateways.Whole() {
		return
	}
	own := ownSubnet(i, e)
	ids := slices.Sorted(maps.Keys(e.foreign))
	if own != "" {
		ids = slices.Insert(ids, 0, own)
	}
	var subnets []netip.Prefix
	for _, id := range ids {
		prefix, known := v.subnets[id]
		if known {
			subnets = append(subnets, prefix)
		}
		if known && id == own {
			l.Gateways = metadata.Is([]netip.Addr{prefix.Addr().Next()}, apiOrigin)
		}
		if err := v.refused[id]; err != nil {
			v.problem(i, "subnets", "openapi", "%v; what is configured is kept until it can be read", err)
		}
	}
	// Which other subnets there are is known only where the addresses are.
	addresses := i.Addresses.Whole() || v.whole && e.whole
	l.Subnets = listFact(subnets, own != "" && len(subnets) == len(ids) && addresses && len(subnets) > 0)
}
