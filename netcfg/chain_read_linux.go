package netcfg

import (
	"slices"
	"strings"
)

// ruleset is what iptables-save prints of one backend and family: the chains of each table.
type ruleset map[string]map[string][]string // table, chain: rules without "-A" and the chain's name

// parseRuleset reads the output of iptables-save. What it cannot place it leaves out: comments, and
// tables that only nft can read.
func parseRuleset(text string) ruleset {
	set := ruleset{}
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch rest, isRule := strings.CutPrefix(line, "-A "); {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
			if set[table] == nil {
				set[table] = map[string][]string{}
			}
		case set[table] == nil:
		case strings.HasPrefix(line, ":"):
			chain, _, _ := strings.Cut(line[1:], " ")
			set[table][chain] = slices.Clip(set[table][chain])
		case isRule:
			chain, rule, _ := strings.Cut(rest, " ")
			set[table][chain] = append(set[table][chain], rule)
		}
	}
	return set
}

// generations are the numbers of a chain's generations: while one is called, the other is filled.
var generations = []string{"-0", "-1"}

// generation is one generation of a chain of ours as it is found.
type generation struct {
	name  string
	there bool
	rules []string
	calls int  // from its hook, by nothing but a jump
	first int  // the place of the first of them in the hook
	held  bool // by another's rule that leads into it, so that it cannot be deleted
}

// ours reports whether it has anything that is ours to remove: the empty rest of a chain that
// somebody else's rule leads into cannot be.
func (g generation) ours() bool { return g.calls > 0 || g.there && (!g.held || len(g.rules) > 0) }

// generationsOf finds the generations of a hook's chain.
func (set ruleset) generationsOf(h Hook) (found []generation) {
	table := set[h.Table]
	for _, suffix := range generations {
		g := generation{name: Chain{Hook: h}.Name() + suffix}
		g.rules, g.there = table[g.name]
		for chain, rules := range table {
			for at, rule := range rules {
				switch {
				case chain == h.Chain && rule == "-j "+g.name:
					if g.calls == 0 {
						g.first = at
					}
					g.calls++
				case leadsTo(rule, g.name):
					g.held = true
				}
			}
		}
		found = append(found, g)
	}
	return found
}

// leadsTo reports whether a rule jumps or goes to a chain.
func leadsTo(rule, chain string) bool {
	if !strings.Contains(rule, chain) {
		return false
	}
	words := strings.Fields(rule)
	for i := range len(words) - 1 {
		if (words[i] == "-j" || words[i] == "-g") && words[i+1] == chain {
			return true
		}
	}
	return false
}

// isOurs reports whether a rule of a chain is ours.
func isOurs(table, chain, rule string) bool {
	for _, h := range Hooks {
		for _, suffix := range generations {
			name := Chain{Hook: h}.Name() + suffix
			if table == h.Table && (chain == name || chain == h.Chain && rule == "-j "+name) {
				return true
			}
		}
	}
	return false
}

// foreign calls do with every rule that is not ours, until it returns false.
func (set ruleset) foreign(do func(table, chain, rule string) bool) {
	for table, chains := range set {
		for chain, rules := range chains {
			for _, rule := range rules {
				if !isOurs(table, chain, rule) && !do(table, chain, rule) {
					return
				}
			}
		}
	}
}

// used reports whether there are rules of others.
func (set ruleset) used() (used bool) {
	set.foreign(func(string, string, string) bool { used = true; return false })
	return used
}

// chainsOf are the chains of ours of a family: what lies in another backend than the host's is left
// over. remember says what was written of what is printed.
func (f *firewall) chainsOf(family Family, backends []string, remember func(Hook, string) string) (found []Chain) {
	for _, h := range Hooks {
		var called, rest []generation
		for _, backend := range backends {
			for _, g := range f.gens[place{backend, family, h}] {
				switch {
				case backend == f.host.Backend && g.calls > 0:
					called = append(called, g)
				case g.ours():
					rest = append(rest, g)
				}
			}
		}
		if len(called)+len(rest) == 0 {
			continue
		}
		c := Chain{Family: family, Hook: h, Stray: len(called) != 1 || called[0].calls != 1 || len(rest) > 0}
		if len(called) > 0 {
			c.Rules = remember(h, printed(called[0].rules))
		}
		found = append(found, c)
	}
	return found
}

// printed is the text of rules, where iptables gives a protocol a name from a list on the host
// with its number.
func printed(rules []string) string {
	var lines []string
	for _, rule := range rules {
		words := strings.Split(rule, " ")
		for i := range len(words) - 1 {
			if number, listed := protocolNames[words[i+1]]; listed && words[i] == "-p" {
				words[i+1] = protoName(number)
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n")
}

// protocolNames are names that iptables prints where /etc/protocols has them. iptables knows the
// others of protoName by itself.
var protocolNames = map[string]uint8{
	"igmp": 2, "ipencap": 4, "ipip": 4, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ipv6-crypt": 50, "ah": 51,
	"ipv6-auth": 51, "icmpv6": 58, "ospf": 89, "ospfigp": 89, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "udplite": 136,
}
