package agent

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"enid/netcfg"
)

// PolicyRule is an entry of policies: traffic, and the ENI that it leaves by. MAC of its
// Policy is not set: who fits Match may change while enid runs.
type PolicyRule struct {
	Match Match
	netcfg.Policy
}

// maxPolicyRules bounds the policy rules of one policy: every packet that nobody else takes
// walks past them.
const maxPolicyRules = 256

func (s setting) policies(list *[]PolicyRule) error {
	return s.list("entries that begin with name", func(s setting) error {
		if len(*list) == netcfg.MaxPolicies {
			return s.fail("there is no room for more than %d policies; join some", netcfg.MaxPolicies)
		}
		var p PolicyRule
		err := s.mapping(keys{
			"name":        into(&p.Name, policyName),
			"eni":         func(s setting) error { return s.match(&p.Match) },
			"from":        func(s setting) error { return s.addresses(&p.From) },
			"to":          func(s setting) error { return s.addresses(&p.To) },
			"iif":         into(&p.IIF, nicName),
			"uids":        func(s setting) error { return s.spans(&p.UIDs, math.MaxUint32-1) },
			"mark":        func(s setting) error { return s.mark(&p.Policy) },
			"protocol":    into(&p.IPProto, ipProtocol),
			"ports":       func(s setting) error { return s.spans(&p.Ports, math.MaxUint16) },
			"snat":        func(s setting) error { return s.snat(&p.Policy) },
			"when_absent": into(&p.FollowMain, whenAbsent),
		})
		if err == nil {
			err = s.policy(p, *list)
		}
		p.ENI = p.Match.String()
		*list = append(*list, p)
		return err
	})
}

// policy checks the keys of a policy against each other.
func (s setting) policy(p PolicyRule, others []PolicyRule) error {
	ports := p.IPProto == 6 || p.IPProto == 17 || p.IPProto == 132
	local := len(p.UIDs) > 0
	rules := max(1, len(p.From)) * max(1, len(p.To)) * max(1, len(p.UIDs)) * max(1, len(p.Ports))
	switch {
	case p.Name == "":
		return s.fail("it has no name; want name, by which status and log call it")
	case slices.ContainsFunc(others, func(o PolicyRule) bool { return o.Name == p.Name }):
		return s.find("name").fail("%q is the name of another policy too; want each name once", p.Name)
	case p.Match == (Match{}):
		return s.find("eni").fail("nothing says which ENI the traffic leaves by; want eni with at least one of mac, id and name")
	case len(p.From)+len(p.To)+len(p.UIDs) == 0 && p.IIF == "" && p.Mask == 0 && p.IPProto == 0:
		return s.fail("nothing says which traffic is meant; want at least one of from, to, iif, uids, mark and protocol")
	case len(p.Ports) > 0 && !ports:
		return s.find("ports").fail("ports are of tcp, udp and sctp; want protocol with one of them")
	case local && p.IIF != "":
		return s.find("uids").fail("users have sockets on this host, and what comes in by a NIC (iif) has none; want only one of the two")
	case local && (p.Masquerade || len(p.SNAT) > 0):
		return s.find("snat").fail("snat is for forwarded packets; sockets of this host have the ENI's address anyway")
	case len(p.Families()) == 0:
		return s.find("to").fail("from and to have no address family in common, so nothing can match")
	case rules > maxPolicyRules:
		return s.fail("its combinations of from, to, uids and ports make %d policy rules; want %d at most", rules, maxPolicyRules)
	}
	return nil
}

// marks checks the policies' marks against the bits that are enid's own.
func (s setting) marks(c Config) error {
	for i, p := range c.Policies {
		if p.Mask&c.Routing.Mark != 0 {
			return s.find("policies").fail("policies[%d] (%s): its mark mask %#x shares bits with routing.mark %#x, in which enid keeps connections; want other bits, or another routing.mark", i, p.Name, p.Mask, c.Routing.Mark)
		}
	}
	return nil
}

// String is the match as it is written, for messages.
func (m Match) String() string {
	var words []string
	if m.MAC != (Match{}).MAC {
		words = append(words, "mac "+m.MAC.String())
	}
	if m.ID != "" {
		words = append(words, m.ID)
	}
	if m.Name != "" {
		words = append(words, m.Name)
	}
	return strings.Join(words, ", ")
}

func policyName(s setting) (string, error) {
	const want = "a name of at most 40 letters, digits, -, _ and ."
	text, err := s.text(want)
	if err != nil {
		return "", err
	}
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}
	if text == "" || len(text) > 40 || strings.ContainsFunc(text, odd) {
		return "", s.wrong("is not a name", want)
	}
	return text, nil
}

// nicName is the name of one NIC. It stands in rules of iptables, where + is a pattern.
func nicName(s setting) (string, error) {
	const want = "the name of a NIC, such as docker0"
	text, err := s.text(want)
	if err != nil {
		return "", err
	}
	if text == "" || len(text) > 15 || strings.ContainsAny(text, "/ +:!\t\n") || text == "." || text == ".." {
		return "", s.wrong("is not the name of a NIC", want)
	}
	return text, nil
}

// spans reads numbers and ranges of numbers.
func (s setting) spans(list *[]netcfg.Span, most uint64) error {
	return s.list("numbers and ranges, such as [80, 8000-8100]", func(s setting) error {
		want := fmt.Sprintf("a number from 0 to %d, or a range such as 10-20", most)
		text, err := s.text(want)
		if err != nil {
			return err
		}
		low, high, isRange := strings.Cut(text, "-")
		if !isRange {
			high = low
		}
		first, err1 := strconv.ParseUint(low, 10, 64)
		last, err2 := strconv.ParseUint(high, 10, 64)
		if err1 != nil || err2 != nil || first > last || last > most {
			return s.wrong("", want)
		}
		*list = append(*list, netcfg.Span{First: uint32(first), End: uint32(last + 1)})
		return nil
	})
}

// mark reads a mark, with a mask or without.
func (s setting) mark(p *netcfg.Policy) error {
	const want = `a mark with its mask, such as "0x10/0xff", or a mark that is not 0`
	text, err := s.text(want)
	if err != nil {
		return err
	}
	value, mask, masked := strings.Cut(text, "/")
	if !masked {
		mask = "0xffffffff"
	}
	v, err1 := strconv.ParseUint(value, 0, 32)
	m, err2 := strconv.ParseUint(mask, 0, 32)
	switch {
	case err1 != nil || err2 != nil || m == 0 || v == 0 && !masked:
		return s.wrong("is not a mark", want)
	case v&^m != 0:
		return s.wrong("has bits outside of its mask", fmt.Sprintf("%#x/%#x", v&m, m))
	}
	p.Mark, p.Mask = uint32(v), uint32(m)
	return nil
}

// ipProtocol reads a protocol by name or number, as of the IANA.
func ipProtocol(s setting) (uint8, error) {
	const want = "tcp, udp, icmp, ipv6-icmp, sctp, or a number from 1 to 255"
	text, err := s.text(want)
	if err != nil {
		return 0, err
	}
	if n, ok := netcfg.ProtocolNumber(text); ok {
		return n, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n == 0 {
		return 0, s.wrong("is not a protocol", want)
	}
	return uint8(n), nil
}

// snat reads where forwarded packets get their source from: the word primary, or one address
// of each family.
func (s setting) snat(p *netcfg.Policy) error {
	if n, ok := s.node.(*ast.StringNode); ok && n.Value == "primary" {
		p.Masquerade = true
		return nil
	}
	if _, isList := s.node.(*ast.SequenceNode); !isList {
		return s.snatAddress(p)
	}
	return s.list("addresses, one of each family", func(s setting) error { return s.snatAddress(p) })
}

func (s setting) snatAddress(p *netcfg.Policy) error {
	const want = "primary, or an address of the ENI"
	text, err := s.text(want)
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return s.wrong("is not an address", want)
	}
	if slices.ContainsFunc(p.SNAT, func(x netip.Addr) bool { return x.Is4() == a.Is4() }) {
		return s.wrong("is the second of its family", "one address of each")
	}
	p.SNAT = append(p.SNAT, a)
	return nil
}

func whenAbsent(s setting) (followMain bool, err error) {
	word, err := s.word([]string{"block", "main"})
	return word == "main", err
}
