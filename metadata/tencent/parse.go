package tencent

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// parse makes a Snapshot of what the service said.
func parse(answers metadata.Answers) (metadata.Snapshot, error) { return tree.Parse(answers, facts) }

func facts(e *metadata.Entry, mac metadata.MAC) metadata.Interface {
	i := metadata.Interface{MAC: mac}
	if e.Absent(listKey) {
		// An ENI has its list as soon as it has anything. It is not asked for more meanwhile.
		e.Missing("addresses", listKey)
		return i
	}
	i.SubnetID = metadata.Scalar(e, "subnetId", subnetKey, metadata.Word)
	// The cloud has no delegated prefixes: not because of a key that is absent.
	i.Prefixes = metadata.IsNone[[]netip.Prefix](origin)
	a := addressesOf(e.Answers, e.Dir)
	for _, err := range a.errs {
		e.Unread("addresses", err)
	}
	i.Addresses = metadata.Fact[[]netip.Addr]{State: a.state}
	if a.state != metadata.Unknown {
		i.Addresses.Value, i.Addresses.Origin = a.values, origin
		i.Subnets = subnetsFact(e, a)
		i.Gateways = gateway(e, a.values[0], i.Subnets.Value)
		i.Public = publicFact(e, a)
	}
	return i
}

// addresses are an ENI's, the primary first.
type addresses struct {
	state  metadata.State // Known, AtLeast or Unknown
	values []netip.Addr
	errs   []error
}

func (a addresses) first(n int) []netip.Addr { return a.values[:min(n, len(a.values))] }

// addressesOf puts the primary address before the others. The order of the list is not documented and says
// nothing: where the primary address is not readable, a list of several is not believed, because the first would be taken for it.
func addressesOf(answers metadata.Answers, dir string) addresses {
	list, listErr := metadata.Read(answers, dir+listKey, addressLines)
	primary, err := metadata.Read(answers, dir+primaryKey, metadata.IPv4)
	if err == nil && listErr == nil && !slices.Contains(list, primary) {
		err = &metadata.BadAnswerError{Path: dir + primaryKey, Err: fmt.Errorf("%s is not one of the listed addresses", primary)}
		list = nil
	}
	switch {
	case err == nil && listErr == nil:
		others := slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return a == primary })
		return addresses{metadata.Known, append([]netip.Addr{primary}, others...), nil}
	case err == nil:
		return addresses{metadata.AtLeast, []netip.Addr{primary}, []error{listErr}}
	case listErr == nil && len(list) == 1:
		return addresses{metadata.AtLeast, list, []error{err}}
	case listErr == nil:
		return addresses{metadata.Unknown, nil, []error{err}}
	}
	return addresses{metadata.Unknown, nil, []error{listErr, err}}
}

// addressLines reads a list of directories, one an address. One line that lacks the slash of the others is the
// rest of a list that was cut: 10.0.0.2 of 10.0.0.20/.
func addressLines(body string) ([]netip.Addr, error) {
	lines := slices.DeleteFunc(strings.Split(body, "\n"), func(s string) bool { return strings.TrimSpace(s) == "" })
	slashes := 0
	for _, line := range lines {
		if strings.HasSuffix(strings.TrimSpace(line), "/") {
			slashes++
		}
	}
	if slashes != 0 && slashes != len(lines) {
		return nil, fmt.Errorf("the list ends with %.80q without a slash: it is cut off", lines[len(lines)-1])
	}
	return metadata.Lines(metadata.IPv4)(body)
}

// subnets are those that the masks of the ENI's addresses tell.
func (a addresses) subnets(answers metadata.Answers, dir string) []netip.Prefix {
	var out []netip.Prefix
	for _, address := range a.values {
		mask, err := metadata.Read(answers, addressDir(dir, address)+maskKey, maskBits)
		if err != nil || inAny(out, address) {
			continue
		}
		out = append(out, netip.PrefixFrom(address, mask).Masked())
	}
	return out
}

// maskBits reads a netmask that a subnet can have: 255.255.192.0 is 18.
func maskBits(body string) (int, error) {
	a, err := metadata.IPv4(body)
	if err != nil {
		return 0, fmt.Errorf("%.80q is not a subnet mask", strings.TrimSpace(body))
	}
	four := a.As4()
	mask := binary.BigEndian.Uint32(four[:])
	ones := bits.LeadingZeros32(^mask)
	if ones < 1 || ones > 30 || mask<<ones != 0 {
		return 0, fmt.Errorf("%s is not the mask of a subnet", a)
	}
	return ones, nil
}

// subnetsFact is whole where each address is in one of the subnets.
func subnetsFact(e *metadata.Entry, a addresses) metadata.Fact[[]netip.Prefix] {
	known := a.subnets(e.Answers, e.Dir)
	for _, address := range a.values {
		if inAny(known, address) {
			continue
		}
		e.Unread("subnets", noSubnet(e.Answers, e.Dir, address))
		if len(known) == 0 {
			return metadata.Fact[[]netip.Prefix]{}
		}
		return metadata.HasAtLeast(known, origin)
	}
	if a.state != metadata.Known {
		return metadata.HasAtLeast(known, origin)
	}
	return metadata.Is(known, origin)
}

// noSubnet is why an address is in none of the subnets that are known.
func noSubnet(answers metadata.Answers, dir string, a netip.Addr) error {
	path := addressDir(dir, a) + maskKey
	if _, asked := answers[path]; !asked {
		return &metadata.BadAnswerError{Path: dir + listKey, Err: fmt.Errorf("%s is of none of the first %d subnets that the masks tell", a, maxSubnets)}
	}
	_, err := metadata.Read(answers, path, maskBits)
	return err
}

// gateway is the primary address's, for all of the ENI: the cloud gives it one subnet. It is believed only where it is a host of
// that subnet, since the document's own example has one that is not.
func gateway(e *metadata.Entry, primary netip.Addr, subnets []netip.Prefix) metadata.Fact[[]netip.Addr] {
	router, err := metadata.Read(e.Answers, addressDir(e.Dir, primary)+gatewayKey, metadata.IPv4)
	if err != nil {
		e.Unread("gateway", err)
		return metadata.Fact[[]netip.Addr]{}
	}
	n := slices.IndexFunc(subnets, func(p netip.Prefix) bool { return p.Contains(primary) })
	if n < 0 {
		return metadata.Fact[[]netip.Addr]{} // cannot be judged; the subnet's problem has been told
	}
	if router == primary || router == subnets[n].Addr() || !subnets[n].Contains(router) || !subnets[n].Contains(router.Next()) {
		e.Problems = append(e.Problems, metadata.Problem{
			Interface: e.Name, Field: "gateway", Reason: metadata.ReasonGatewayOffLink,
			Text: fmt.Sprintf("the gateway %s of %s is no router's address in the subnet %s; it is left out, state the right one in an overlay document", router, primary, subnets[n]),
		})
		return metadata.Fact[[]netip.Addr]{}
	}
	return metadata.Is([]netip.Addr{router}, origin)
}

// publicFact maps private to public addresses. It is whole where each public address was found.
func publicFact(e *metadata.Entry, a addresses) metadata.Fact[map[netip.Addr]netip.Addr] {
	listed := metadata.List(e, "public", publicsKey, metadata.Lines(metadata.IPv4))
	if listed.State != metadata.Known {
		return metadata.Fact[map[netip.Addr]netip.Addr]{State: listed.State, Origin: listed.Origin}
	}
	found, err := publicOf(e.Dir, a.values, e.Answers)
	lost := len(listed.Value) > len(found)
	if err == nil && lost && a.state == metadata.Known {
		err = &metadata.BadAnswerError{Path: e.Dir + publicsKey, Err: fmt.Errorf("it lists %d public addresses, and %d addresses have one", len(listed.Value), len(found))}
	}
	if err != nil {
		e.Unread("public", err)
	}
	switch {
	case err == nil && !lost:
		return metadata.Is(found, origin)
	case len(found) > 0:
		return metadata.HasAtLeast(found, origin)
	}
	return metadata.Fact[map[netip.Addr]netip.Addr]{}
}
