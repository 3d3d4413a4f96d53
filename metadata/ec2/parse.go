package ec2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// origin is what status shows as the source of each fact.
const origin = "ec2"

// listedMAC is an entry of macsPath. Its directory is kept as listed, since
// look-alikes of EC2 compare paths letter by letter.
type listedMAC struct {
	mac metadata.MAC
	dir string
}

// macs reads the list of MACs: each once, in order, and the lines that are none.
func macs(body string) (listed []listedMAC, bad []string) {
	for line := range strings.Lines(body) {
		name := strings.TrimSuffix(strings.TrimSpace(line), "/")
		mac, err := metadata.ParseMAC(name)
		switch {
		case name == "":
		case err != nil:
			bad = append(bad, name)
		default:
			listed = append(listed, listedMAC{mac, macsPath + name + "/"})
		}
	}
	slices.SortStableFunc(listed, func(a, b listedMAC) int { return slices.Compare(a.mac[:], b.mac[:]) })
	return slices.CompactFunc(listed, func(a, b listedMAC) bool { return a.mac == b.mac }), bad
}

// parse makes a Snapshot of what the service said.
func parse(answers metadata.Answers) (metadata.Snapshot, error) {
	list := answers.Of(macsPath)
	if list.Err != nil {
		return metadata.Snapshot{}, list.Err
	}
	listed, bad := macs(list.Body)
	if len(listed) == 0 {
		return metadata.Snapshot{}, fmt.Errorf("%s%s lists no MAC address (it says %.80q), but an instance always has its primary ENI; check what answers at the metadata endpoint", root, macsPath, list.Body)
	}
	s := metadata.Snapshot{Provider: origin, Complete: true}
	incomplete := func(field, reason, text string) {
		s.Complete = false
		s.Problems = append(s.Problems, metadata.Problem{Field: field, Reason: reason, Text: text + "; no ENI is taken for detached meanwhile"})
	}
	if len(bad) > 0 {
		incomplete("mac", "bad-answer", fmt.Sprintf("%s%s lists %.80q, which is no MAC address", root, macsPath, bad[0]))
	}
	primary, err := primaryMAC(answers, listed)
	if err != nil {
		incomplete("primary", "primary-unclear", err.Error())
	}
	s.Instance, _ = metadata.Read(answers, instancePath, metadata.Word) // shown, never needed
	for _, m := range listed {
		e := eni{dir: m.dir, answers: answers, name: m.mac.String()}
		i := e.facts(m.mac)
		if err == nil {
			i.Primary = metadata.Is(m.mac == primary, origin)
		}
		s.Interfaces = append(s.Interfaces, i)
		s.Problems = append(s.Problems, e.problems...)
	}
	return s, nil
}

// primaryMAC is the only word on who is primary: the top-level mac. Where it is not
// readable or not in the list, the list is not believed to be whole and nobody is
// called primary or secondary: the primary taken for a secondary would lose its host's
// traffic.
func primaryMAC(answers metadata.Answers, listed []listedMAC) (metadata.MAC, error) {
	mac, err := metadata.Read(answers, macPath, metadata.ParseMAC)
	if err != nil {
		return metadata.MAC{}, fmt.Errorf("which ENI is the primary is not known: %w", err)
	}
	if !slices.ContainsFunc(listed, func(m listedMAC) bool { return m.mac == mac }) {
		return metadata.MAC{}, fmt.Errorf("%s%s does not list %s, which %s%s calls the primary ENI", root, macsPath, mac, root, macPath)
	}
	return mac, nil
}

// eni reads the facts of one ENI.
type eni struct {
	dir      string
	answers  metadata.Answers
	name     string
	problems []metadata.Problem
}

func (e *eni) unread(field string, err error) {
	e.problems = append(e.problems, metadata.Unread(e.name, field, err))
}

// missing is the problem of a key that this ENI must have and has not.
func (e *eni) missing(field, key string) {
	e.unread(field, e.answers.Of(e.dir+key).Err)
}

func (e *eni) facts(mac metadata.MAC) metadata.Interface {
	i := metadata.Interface{MAC: mac}
	if e.answers.Of(e.dir).Absent() {
		e.missing("", "")
		return i
	}
	i.ID = scalar(e, "id", "interface-id")
	e.name = i.Name()
	i.SubnetID = scalar(e, "subnetId", "subnet-id")

	v4, v6 := list(e, "addresses", "local-ipv4s", ipv4), list(e, "addresses", "ipv6s", ipv6)
	net4, net6 := list(e, "subnets", "subnet-ipv4-cidr-block", prefix4), list(e, "subnets", "subnet-ipv6-cidr-blocks", prefix6)
	e.requireV4(&v4, &net4, v6)
	if v6.State == metadata.Known && net6.State == metadata.None {
		net6 = metadata.Fact[[]netip.Prefix]{}
		e.missing("subnets", "subnet-ipv6-cidr-blocks")
	}
	i.Addresses = join(v4, v6)
	i.Subnets = join(net4, net6)
	i.Gateways = join(gateway(net4, firstHost), gateway(net6, router6))
	i.Prefixes = join(list(e, "prefixes", "ipv4-prefix", prefix4), list(e, "prefixes", "ipv6-prefix", prefix6))
	i.Public = e.public()
	return i
}

// requireV4 turns "none" into unknown for the IPv4 addresses and subnet, except on an ENI
// that evidently has IPv6 alone: it has ipv6s, and both of the others are absent.
// Anything else that lacks them is still propagating (or for EFA alone, and
// then there is nothing to configure).
func (e *eni) requireV4(v4 *metadata.Fact[[]netip.Addr], net4 *metadata.Fact[[]netip.Prefix], v6 metadata.Fact[[]netip.Addr]) {
	noV4, noNet := v4.State == metadata.None, net4.State == metadata.None
	if noV4 && noNet && v6.State == metadata.Known {
		return
	}
	if noV4 {
		*v4 = metadata.Fact[[]netip.Addr]{}
		e.missing("addresses", "local-ipv4s")
	}
	if noNet {
		*net4 = metadata.Fact[[]netip.Prefix]{}
		e.missing("subnets", "subnet-ipv4-cidr-block")
	}
}

// public maps private to public addresses: each entry of the directory is a public
// address, and its value the private ones that it stands for.
func (e *eni) public() metadata.Fact[map[netip.Addr]netip.Addr] {
	listed := list(e, "public", associationsPath, ipv4)
	if listed.State != metadata.Known {
		return metadata.Fact[map[netip.Addr]netip.Addr]{State: listed.State, Origin: listed.Origin}
	}
	whole, byPrivate := true, map[netip.Addr]netip.Addr{}
	for _, public := range listed.Value {
		private := list(e, "public", associationsPath+public.String(), ipv4)
		whole = whole && private.State == metadata.Known
		for _, p := range private.Value {
			byPrivate[p] = public
		}
	}
	switch {
	case whole:
		return metadata.Is(byPrivate, origin)
	case len(byPrivate) > 0:
		return metadata.HasAtLeast(byPrivate, origin)
	}
	return metadata.Fact[map[netip.Addr]netip.Addr]{}
}
