package netcfg

import (
	"fmt"
	"slices"
	"strings"
)

// Severity is how much a Finding hurts.
type Severity string

// The severities, the worst first in the alphabet too.
const (
	SeverityError   Severity = "error"   // packets go wrong, or enid cannot do its work
	SeverityWarning Severity = "warning" // they will when something else happens
)

// Finding is a condition of the host that can hurt, with what shows it and what helps.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"` // a word for scripts
	Evidence string   `json:"evidence"`
	Remedy   string   `json:"remedy"`
}

// Checkup is what a Diagnosis needs to know beside the kernel.
type Checkup struct {
	Scope      Scope
	Seen       Observation
	Target     Target
	ReturnPath Switch
}

// ill is what Kernel.Diagnose reads for a Checkup.
type ill struct {
	Checkup
	rules    map[Family][]hostRule
	tables   []foundRoute // of anybody's, in the tables that are ours
	defaults []foundRoute // of others, by the NICs of secondary ENIs, in main
	strict   map[int]bool // NICs with strict reverse-path filtering, by ifindex
}

// diagnose is every finding about the kernel, the worst first.
func (s ill) diagnose() []Finding {
	f := slices.Concat(s.rulesAmongOurs(), s.otherAgents(), s.foreignTables(), s.protocolTaken(), s.defaultRoutes(),
		s.copiesOfMACs(), s.firewall(), s.strictFilter())
	SortFindings(f)
	return f
}

// SortFindings puts the worst first and leaves those of one severity in their order.
func SortFindings(f []Finding) {
	slices.SortStableFunc(f, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
}

func (s ill) numbers() Numbers { return s.Scope.Numbers }

// others calls do for every rule that is neither enid's nor the kernel's.
func (s ill) others(do func(f Family, r hostRule, by string)) {
	names := sight{Numbers: s.numbers()}
	for _, f := range []Family{V4, V6} {
		for _, r := range s.rules[f] {
			if !slices.Contains(s.Scope.Protos, r.proto) && !r.builtIn() {
				do(f, r, names.maker(r))
			}
		}
	}
}

// text is a rule as a finding shows it.
func (r hostRule) text(f Family, by string) string {
	text := fmt.Sprintf("IPv%d rule %d: %s, protocol %s", f, r.priority, r, protocolName(r.proto))
	if by != "" {
		text += " (usually of " + by + ")"
	}
	return text
}

// rulesAmongOurs are foreign rules at the priorities where enid's stand.
func (s ill) rulesAmongOurs() (found []Finding) {
	n := s.numbers()
	s.others(func(f Family, r hostRule, by string) {
		switch {
		case n.inFront(r.priority):
			found = append(found, Finding{SeverityWarning, "priority-overlap", r.text(f, by) + fmt.Sprintf(" stands among enid's selectors, %d to %d", n.Priority, n.Priority+prioritySpan-1),
				"give enid other numbers (routing.priority), or that program"})
		case n.behind(r.priority):
			found = append(found, Finding{SeverityError, "priority-overlap", r.text(f, by) + " stands among enid's blocks, where it takes ENIs' packets or is never asked: nobody else passes the wall at " + fmt.Sprint(n.wall()),
				"give enid other numbers (routing.block_priority), or that rule a priority below 32766"})
		}
	})
	return found
}

// otherAgents are foreign rules in front of enid's that decide for an ENI's own address.
func (s ill) otherAgents() (found []Finding) {
	n := s.numbers()
	s.others(func(f Family, r hostRule, by string) {
		if r.priority >= n.Priority || !r.from.IsValid() || r.invert || r.action == actionNop {
			return
		}
		for _, e := range s.Target.ENIs {
			i := slices.IndexFunc(e.Addrs, r.from.Contains)
			if i < 0 || e.Slot == Primary && r.table == MainTable {
				continue
			}
			found = append(found, Finding{SeverityError, "another-agent", fmt.Sprintf("%s decides for %s of %s before enid does", r.text(f, by), e.Addrs[i], e.Link.Name),
				"let only one program configure the ENI: switch the other off, or tell enid to ignore the ENI (interfaces: ignore)"})
			return
		}
	})
	return found
}

// foreignTables are routes of others in enid's tables.
func (s ill) foreignTables() (found []Finding) {
	seen := map[int]int{}
	first := map[int]foundRoute{}
	for _, r := range s.tables {
		if slices.Contains(s.Scope.Protos, r.Proto) {
			continue
		}
		if seen[r.Table]++; seen[r.Table] == 1 {
			first[r.Table] = r
		}
	}
	for _, table := range sorted(keys(seen)) {
		r := first[table]
		found = append(found, Finding{SeverityError, "table-overlap",
			fmt.Sprintf("table %d, which is enid's, has %d routes of somebody else, the first to %s with protocol %s", table, seen[table], r.Dst, protocolName(r.Proto)),
			"give enid other tables (routing.table), or that program"})
	}
	return found
}

func keys(m map[int]int) (k []int) {
	for key := range m {
		k = append(k, key)
	}
	return k
}

// protocolTaken are rules that bear enid's protocol number and that enid did not make.
func (s ill) protocolTaken() (found []Finding) {
	n := s.numbers()
	for _, f := range []Family{V4, V6} {
		for _, r := range s.rules[f] {
			if r.proto == n.Protocol && !n.holds(Rule{Priority: r.priority}) {
				found = append(found, Finding{SeverityError, "protocol-taken", r.text(f, "") + " bears the protocol number that marks what is enid's",
					"another program uses this number: give enid another one (routing.protocol) before it removes the rule"})
			}
		}
	}
	return found
}

// defaultRoutes are default routes of others by a secondary ENI's NIC, as a DHCP client or a router
// advertisement leaves them.
func (s ill) defaultRoutes() (found []Finding) {
	for _, r := range s.defaults {
		severity, consequence := SeverityWarning, "this host's own traffic takes it when the primary's default route goes"
		if s.beatsPrimary(r) {
			severity, consequence = SeverityError, "this host's own traffic leaves by the ENI"
		}
		found = append(found, Finding{severity, "default-route",
			fmt.Sprintf("main has a default route by %s, protocol %s, metric %d: %s", s.name(r.Link), protocolName(r.Proto), r.Metric, consequence),
			"keep DHCP and router advertisements off the NIC: let its network manager leave it alone, and delete the route"})
	}
	return found
}

// beatsPrimary reports whether main prefers the route to the primary's own default.
func (s ill) beatsPrimary(r foundRoute) bool {
	for _, e := range s.Target.ENIs {
		if e.Slot != Primary {
			continue
		}
		for _, own := range s.Seen.Host.within(e.Link.Index, defaultOf(FamilyOf(r.Dst.Addr()))) {
			if own.Dst.Bits() == 0 && own.Metric <= r.Metric {
				return false
			}
		}
	}
	return true
}

func (s ill) name(index int) string {
	for _, l := range s.Seen.Host.Links {
		if l.Index == index {
			return l.Name
		}
	}
	return fmt.Sprintf("if%d", index)
}

// copiesOfMACs are NICs that cannot be told apart.
func (s ill) copiesOfMACs() (found []Finding) {
	for mac := range s.Scope.MACs {
		if _, problem := MatchLink(mac, s.Seen.Host.Links); problem != nil && problem.Reason != "no-nic" {
			found = append(found, Finding{SeverityError, problem.Reason, problem.Text, "give every NIC a MAC address of its own, or take the NIC out of its bridge or bond; until then enid leaves the ENI as it is"})
		}
	}
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Evidence, b.Evidence) })
	return found
}

// firewall is what is wrong with connection marks.
func (s ill) firewall() (found []Finding) {
	host := s.Seen.Host
	wanted := host.WantsReturnPath(s.ReturnPath, V4) || host.WantsReturnPath(s.ReturnPath, V6)
	forwards, secondary := host.Forwards[V4] || host.Forwards[V6], slices.ContainsFunc(s.Target.ENIs, func(e Outcome) bool { return e.Slot > Primary && e.Link.Index != 0 })
	switch {
	case host.Firewall.Missing != "":
		severity := SeverityWarning
		if wanted && secondary {
			severity = SeverityError
		}
		found = append(found, Finding{severity, "iptables-missing", "no return path for forwarded connections, no translation for policies: " + host.Firewall.Missing, "install iptables"})
	case forwards && !wanted && secondary:
		found = append(found, Finding{SeverityWarning, "forwarding-without-return-path", "this host forwards, and return_path is off: replies of containers and forwarded connections follow main, whichever ENI they came in by",
			"set return_path: auto"})
	}
	if host.Firewall.Conflict != "" {
		found = append(found, Finding{SeverityError, "mark-collision", host.Firewall.Conflict, "give enid other bits (routing.mark: seven in a row)"})
	}
	return found
}

// strictFilter are NICs of ENIs on which the kernel drops what comes in by another NIC than main would
// answer by, as far as enid does not take care of it.
func (s ill) strictFilter() (found []Finding) {
	if s.Target.ReturnPath[V4] {
		return nil // enid makes them loose
	}
	for _, e := range s.Target.ENIs {
		if s.strict[e.Link.Index] && e.Link.Index != 0 {
			found = append(found, Finding{SeverityWarning, "rp-filter-strict",
				fmt.Sprintf("reverse-path filtering of %s is strict: packets for containers and hosts behind this one are dropped when main would answer them by another NIC", e.Link.Name),
				fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2, or return_path: auto, with which enid does so while the host forwards", e.Link.Name)})
		}
	}
	return found
}
