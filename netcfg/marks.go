package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// Connection marks bring the replies of forwarded, DNAT'd and published-port connections
// back out by the ENI on which the connection came in: at that point of a packet's way its
// source is a container's, so no rule about sources can. A chain notes the ENI when the
// connection comes in and gives the replies its mark, and a rule leads the mark to the ENI's block.

// Switch says when something is done.
type Switch string

// The switches; the zero Switch is Off.
const (
	Auto Switch = "auto" // where the host forwards
	On   Switch = "on"
	Off  Switch = "off"
)

// othersMark is the bits in which others say that they use the upper ones for something else, as
// Cilium does for identities: such a packet's mark is none of ours.
const othersMark = 0xff00

// markMask is the bits that a packet's mark is compared in.
func (n Numbers) markMask() uint32 { return n.Mark | othersMark }

// slotOfMark is the slot of a mark rule, NoSlot where the rule is none.
func (n Numbers) slotOfMark(r Rule) Slot {
	if r.Mask != n.markMask() || r.Priority < n.Priority || r.Priority >= n.Priority+prefixSelectors {
		return NoSlot
	}
	return Slot(r.Mark>>n.markShift()) - 1
}

// WantsReturnPath reports whether the setting asks for it in a family.
func (h Host) WantsReturnPath(s Switch, f Family) bool {
	return s == On || s == Auto && h.Forwards[f]
}

// markedFamilies are the families in which connections are marked: where that is asked for,
// possible, and there is an ENI beside the primary to leave by.
func (b *builder) markedFamilies() map[Family]bool {
	marked := map[Family]bool{}
	for _, e := range b.enis {
		for f, n := range e.nets {
			if e.managed() && !e.primary() && len(n.subnets) > 0 && b.marksPossible(f) {
				marked[f] = true
			}
		}
	}
	return marked
}

func (b *builder) marksPossible(f Family) bool {
	return b.Seen.Host.WantsReturnPath(b.ReturnPath, f) && b.Seen.Host.Firewall.does(f)
}

// does reports whether it can be used in a family.
func (f Firewall) does(family Family) bool { return f.Backend != "" && !(family == V6 && f.NoIPv6) }

// markSelector leads the replies of an ENI's connections to its block.
func (b *builder) markSelector(e *eni, f Family) {
	if b.marked[f] {
		b.rule(Rule{Family: f, Priority: b.Priority + markSelectors, Mark: b.MarkOf(e.Slot), Mask: b.markMask(), Goto: b.blockOf(e.Slot)})
	}
}

// primaryMark leads the replies of the primary's connections past everything that could take
// them for another ENI's.
func (b *builder) primaryMark(f Family) {
	if b.marked[f] {
		b.rule(Rule{Family: f, Priority: b.Priority + markMain, Mark: b.MarkOf(Primary), Mask: b.markMask(), Table: MainTable})
	}
}

// tombstones refuse the packets of connections that came in on an ENI that is gone, until no
// connection carries its mark any more: by no other NIC they could be answered. Until then the
// slot is taken. Where the user told enid to ignore the ENI they are the user's.
func (b *builder) tombstones() {
	for _, r := range b.Seen.Own.Rules {
		slot := b.slotOfMark(r)
		if slot <= Primary || !b.marksPossible(r.Family) || b.ignored(slot) {
			continue
		}
		back := b.leads(r)
		refused := !back && (r.Goto != 0 || r.Unreachable && b.Seen.Host.Carried[slot])
		if refused || back && r.Unreachable { // held, without its ENI or from the time without it
			b.want.Rules = keep(b.want.Rules, func(x Rule) bool { return x.key() != r.key() })
		}
		if refused {
			b.rule(Rule{Family: r.Family, Priority: b.Priority + markSelectors, Mark: r.Mark, Mask: r.Mask, Unreachable: true})
		}
	}
	slices.SortFunc(b.want.Rules, compareRules)
	b.want.Rules = slices.Compact(b.want.Rules)
}

// leads reports whether a mark of ours still leads somewhere.
func (b *builder) leads(r Rule) bool {
	return slices.ContainsFunc(b.want.Rules, func(w Rule) bool {
		return w.Family == r.Family && w.Mark == r.Mark && w.Mask == r.Mask && w.Goto != 0
	})
}

func (b *builder) ignored(slot Slot) bool {
	return slices.ContainsFunc(b.ENIs, func(e ENI) bool { s, ok := b.Slots[e.MAC]; return ok && s == slot && e.Ignore })
}

// looseFilter makes strict reverse-path filtering of a NIC loose: a container's reply looks, the way
// it came in, as if it should have come by main's NIC.
func (b *builder) looseFilter(present string, ours bool) bool {
	strict := present == "1" || present == "0" && b.Seen.Host.StrictAll == "1"
	return b.marked[V4] && (strict || ours)
}

// markChains wants the chains that set and restore marks.
func (b *builder) markChains(f Family) {
	marks := keep(b.want.Rules, func(r Rule) bool { return r.Family == f && b.slotOfMark(r) != NoSlot })
	if len(marks) == 0 {
		return
	}
	nics := map[Slot]string{}
	for index, slot := range b.slots {
		nics[slot] = b.links[index].Name
	}
	all, match := hexMark(0, b.Mark), hexMark(0, b.markMask())
	// A packet of a connection without a mark fails the first comparison.
	restore := func(which string) string {
		return fmt.Sprintf("-m connmark ! --mark %s -m conntrack %s -m mark --mark %s -j CONNMARK --restore-mark --nfmask %#x --ctmask %#x", all, which, match, b.Mark, b.Mark)
	}
	var names, incoming []string
	for slot := Primary; slot < MaxSlots; slot++ {
		leads := func(r Rule) bool { return b.slotOfMark(r) == slot && !r.Unreachable }
		if name := nics[slot]; name != "" && slices.ContainsFunc(marks, leads) {
			names = append(names, name)
			incoming = append(incoming, fmt.Sprintf("-i %s -m conntrack --ctdir ORIGINAL -m connmark --mark %s -j CONNMARK --set-xmark %s", name, all, hexMark(b.MarkOf(slot), b.Mark)))
		}
	}
	lines := []string{restore("--ctdir REPLY")}
	if prefix := commonPrefix(names); len(names) > 2 && prefix != "" {
		lines = append(lines, "! -i "+prefix+"+"+returns) // what comes from containers is done here
	}
	b.chain(f, MarkIncoming, append(lines, incoming...)...)
	// Only what goes back to who connected: an error for the container goes the other way.
	b.chain(f, MarkLocal, restore("--ctstate DNAT --ctdir REPLY"))
}

// returns ends a chain's line for packets that its other lines cannot concern.
const returns = " -j RETURN"

// commonPrefix is how all names begin.
func commonPrefix(names []string) string {
	if len(names) == 0 {
		return ""
	}
	prefix := names[0]
	for _, name := range names {
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}

// hexMark is a mark and its mask as iptables and ip print them.
func hexMark(mark, mask uint32) string {
	if mask == wholeMark {
		return fmt.Sprintf("%#x", mark)
	}
	return fmt.Sprintf("%#x/%#x", mark, mask)
}

// wholeMark is the mask of who means all bits.
const wholeMark = 0xffffffff

// chain wants lines at a hook, after those that are wanted there already.
func (b *builder) chain(f Family, h Hook, lines ...string) {
	i := slices.IndexFunc(b.want.Chains, func(c Chain) bool { return c.Family == f && c.Hook == h })
	if i < 0 {
		i = len(b.want.Chains)
		b.want.Chains = append(b.want.Chains, Chain{Family: f, Hook: h})
	}
	b.want.Chains[i] = b.want.Chains[i].with(lines)
}

// holdChains keeps the lines that are there while the list of ENIs is in doubt, of what is still asked for.
func (b *builder) holdChains() {
	if b.Settled {
		return
	}
	translated := slices.ContainsFunc(b.Policies, Policy.Translates)
	for _, own := range b.Seen.Own.Chains {
		if own.translates() && !translated || own.marks() && !b.Seen.Host.WantsReturnPath(b.ReturnPath, own.Family) {
			continue
		}
		i := slices.IndexFunc(b.want.Chains, own.sameHook)
		if i < 0 {
			b.want.Chains = append(b.want.Chains, Chain{Family: own.Family, Hook: own.Hook, Rules: own.Rules})
		} else {
			b.want.Chains[i] = own.grown(b.want.Chains[i])
		}
	}
}

// lines are a chain's rules one by one.
func (c Chain) lines() []string {
	if c.Rules == "" {
		return nil
	}
	return strings.Split(c.Rules, "\n")
}

// with has more lines behind those that are there.
func (c Chain) with(lines []string) Chain {
	c.Rules = strings.Join(append(c.lines(), lines...), "\n")
	return c
}

// union has the lines of other, preceded by the lines of c that other lacks, but for those that would
// keep packets from the others.
func (c Chain) union(other Chain) Chain {
	theirs := other.lines()
	first := keep(c.lines(), func(line string) bool { return !slices.Contains(theirs, line) && !strings.HasSuffix(line, returns) })
	other.Rules = strings.Join(append(first, theirs...), "\n")
	return other
}

// grown is the chain with what w has and it lacks.
func (c Chain) grown(w Chain) Chain {
	if u := c.union(w); c.Stray || len(u.lines()) > len(c.lines()) {
		return u
	}
	return c
}

func (c Chain) sameHook(other Chain) bool { return c.Family == other.Family && c.Hook == other.Hook }

// Name is the chain's, without the number of its generation.
func (c Chain) Name() string { return "ENID-" + c.Hook.Chain }

// FirewallProblem says what is missing for what was asked of iptables, nil for nothing.
func (h Host) FirewallProblem() *metadata.Problem {
	switch f := h.Firewall; {
	case f.Missing != "":
		return &metadata.Problem{Reason: "iptables-missing", Text: "replies of forwarded connections and published ports may leave by another ENI than they came in by, and policies cannot translate addresses: " + f.Missing}
	case f.NoIPv6 && h.Forwards[V6]:
		return &metadata.Problem{Reason: "iptables-missing", Text: "no return path and no translation for IPv6: the host's iptables has no ip6tables of the same kind beside it; install it"}
	case f.Conflict != "":
		return &metadata.Problem{Reason: "mark-collision", Text: f.Conflict}
	}
	return nil
}

// iptables is the program for a family.
func (f Family) iptables() string {
	if f == V6 {
		return "ip6tables"
	}
	return "iptables"
}

func (c Chain) command(v Verb, _ string) string {
	at := c.Family.iptables() + " -t " + c.Hook.Table + " "
	call := " " + c.Hook.Chain + " -j " + c.Name()
	if v == Del {
		return strings.Join([]string{at + "-D" + call, at + "-F " + c.Name(), at + "-X " + c.Name()}, "\n")
	}
	commands := []string{at + "-N " + c.Name()}
	if v == Replace {
		commands = []string{at + "-F " + c.Name()}
	}
	for _, line := range c.lines() {
		commands = append(commands, at+"-A "+c.Name()+" "+line)
	}
	if v == Add {
		commands = append(commands, at+"-I"+call)
	}
	return strings.Join(commands, "\n")
}

// singleIP is the prefix of one address.
func singleIP(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
