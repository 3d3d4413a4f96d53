package agent

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"enid/metadata"
	"enid/netcfg"
)

// look observes the kernel: in full where slots were forgotten, and with iptables where it turns
// out to be needed.
func (a *Agent) look(ctx context.Context, full bool) (netcfg.Observation, error) {
	seen, err := a.kernel.Observe(ctx, a.scope(full))
	if err == nil && !full && a.slots.Forgot(seen, a.config.Routing) {
		seen, err = a.kernel.Observe(ctx, a.scope(true))
	}
	if err != nil || a.chains == a.needsChains(seen.Host) {
		return seen, err
	}
	a.chains = !a.chains
	if a.chains {
		return a.kernel.Observe(ctx, a.scope(full))
	}
	return seen, nil
}

// needsChains reports whether something is configured that iptables does.
func (a *Agent) needsChains(h netcfg.Host) bool {
	for _, f := range []netcfg.Family{netcfg.V4, netcfg.V6} {
		if h.WantsReturnPath(a.returnPath(), f) {
			return true
		}
	}
	return slices.ContainsFunc(a.config.Policies, func(p PolicyRule) bool { return p.Translates() })
}

func (a *Agent) returnPath() netcfg.Switch { return netcfg.Switch(a.config.ReturnPath.String()) }

// input is what the desired state follows from.
func (a *Agent) input(enis []netcfg.ENI, seen netcfg.Observation) netcfg.Input {
	return netcfg.Input{Numbers: a.config.Routing, ENIs: enis, Slots: a.slots, Settled: a.belief.Settled(),
		ReturnPath: a.returnPath(), Policies: a.policies(enis, seen.Host.Links), Seen: seen}
}

// policies are the configured ones, each with the MAC of the ENI that it names. Where several fit, it is
// the one with the lowest slot, so that it stays the same one.
func (a *Agent) policies(enis []netcfg.ENI, links []netcfg.Link) []netcfg.Policy {
	ids := map[metadata.MAC]string{}
	for _, e := range enis {
		ids[e.MAC] = e.ID.Value
	}
	bySlot := slices.SortedFunc(maps.Keys(a.slots), func(x, y metadata.MAC) int { return int(a.slots[x] - a.slots[y]) })
	var policies []netcfg.Policy
	for _, rule := range a.config.Policies {
		p := rule.Policy
		fits := slices.IndexFunc(bySlot, func(mac metadata.MAC) bool {
			link, _ := netcfg.MatchLink(mac, links)
			return rule.Match.matches(mac, ids[mac], link.Name)
		})
		if fits >= 0 {
			p.MAC = bySlot[fits]
		}
		policies = append(policies, p)
	}
	return policies
}

// ReturnPathStatus is whether replies of forwarded connections leave by the ENI they came in by.
type ReturnPathStatus struct {
	Setting string `json:"setting"` // auto, on, off
	IPv4    bool   `json:"ipv4"`    // connections are marked
	IPv6    bool   `json:"ipv6"`
	Backend string `json:"backend,omitempty"` // of iptables: nf_tables or legacy; "" where it is not needed or not there
}

// PolicyStatus is how a policy does.
type PolicyStatus struct {
	Name     string             `json:"name"`
	ENI      string             `json:"eni"` // as the configuration names it
	NIC      string             `json:"nic,omitempty"`
	State    netcfg.PolicyState `json:"state"`
	Problems []metadata.Problem `json:"problems"`
}

// waysOut puts return path and policies into a status.
func (a *Agent) waysOut(s *Status, r report) {
	host, target := r.seen.Host, r.target
	s.ReturnPath = ReturnPathStatus{Setting: a.config.ReturnPath.String(), IPv4: target.ReturnPath[netcfg.V4], IPv6: target.ReturnPath[netcfg.V6], Backend: host.Firewall.Backend}
	s.Policies = []PolicyStatus{} // in JSON a list, also where it is empty
	for _, p := range target.Policies {
		s.Policies = append(s.Policies, PolicyStatus{p.Name, p.ENI, p.NIC, p.State, append([]metadata.Problem{}, p.Problems...)})
	}
	if p := host.FirewallProblem(); p != nil && a.needsChains(host) {
		s.Problems = append(s.Problems, *p)
	}
}

func (s *Status) printReturnPath(w io.Writer) {
	var families []string
	if s.ReturnPath.IPv4 {
		families = append(families, "IPv4")
	}
	if s.ReturnPath.IPv6 {
		families = append(families, "IPv6")
	}
	if len(families) > 0 {
		paragraph(w, "", fmt.Sprintf("return path: on for %s (iptables, %s)", strings.Join(families, " and "), s.ReturnPath.Backend))
	}
}

func (s *Status) printPolicies(w io.Writer) error {
	if len(s.Policies) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "POLICY\tENI\tNIC\tSTATE")
	for _, p := range s.Policies {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", p.Name, p.ENI, dash(p.NIC), p.State)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, p := range s.Policies {
		printProblems(w, "  ", p.Problems)
	}
	return nil
}

// logPolicies logs the policies that changed their state. Before the metadata has answered for the first time
// it is no news that an ENI is not known.
func (a *Agent) logPolicies(now []PolicyStatus) {
	if a.outage.lastAnswer.IsZero() && a.LastGood().IsZero() {
		return
	}
	before := a.policyStates
	a.policyStates = map[string]netcfg.PolicyState{}
	for _, p := range now {
		a.policyStates[p.Name] = p.State
		if before[p.Name] == p.State {
			continue
		}
		attrs := []any{"policy", p.Name, "state", p.State}
		if p.NIC != "" {
			attrs = append(attrs, "nic", p.NIC)
		}
		if len(p.Problems) == 0 {
			a.log.Info("policy", attrs...)
			continue
		}
		for _, problem := range p.Problems {
			a.log.Warn(problem.Text, append(attrs, "reason", problem.Reason)...)
		}
	}
}
