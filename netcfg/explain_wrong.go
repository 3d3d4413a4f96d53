package netcfg

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"enid/metadata"
)

// findings adds what is wrong with a way, and what is worth knowing.
func (s *sight) findings(e *Explanation) {
	owner, because := s.expected()
	s.refusal(e)
	spoofed := e.Reverse.Drops && e.Reverse.Way.Type == "local" // it is refused before anybody asks by which NIC it leaves
	if owner != "" && !spoofed && s.wrongNIC(e, owner, because) {
		s.blame(e, owner)
	}
	if s.loopbackLeaves(e.Way) {
		e.wrong("loopback-source", "the kernel refuses it: nothing leaves this host from %s", s.packet.Src)
	}
	s.incomingFindings(e, owner)
	s.notes(e, owner)
}

func (e *Explanation) wrong(reason, format string, args ...any) {
	e.Wrong = append(e.Wrong, metadata.Problem{Reason: reason, Text: fmt.Sprintf(format, args...)})
}

func (e *Explanation) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}

// expected is the ENI's NIC by which the packet has to leave, and why; "" for any.
func (s *sight) expected() (nic, because string) {
	if slot := s.markedSlot(); slot != NoSlot {
		if nic = s.nicOfSlot(slot); nic != "" {
			return nic, fmt.Sprintf("the mark %#x is of connections that came in by %s", s.packet.Mark, s.called(nic))
		}
	}
	if nic = s.ownerOf(s.packet.Src); nic == "" || !s.isENI(nic) {
		return "", ""
	}
	return nic, fmt.Sprintf("%s is an address of %s", s.packet.Src, s.called(nic))
}

// markedSlot is the slot of the packet's connection mark, NoSlot for none.
func (s *sight) markedSlot() Slot {
	m := s.packet.Mark
	if m&othersMark != 0 || m&s.Mark == 0 {
		return NoSlot
	}
	return Slot(m&s.Mark>>s.markShift()) - 1
}

// wrongNIC: it leaves by another ENI's NIC, where it is a stranger.
func (s *sight) wrongNIC(e *Explanation, owner, because string) bool {
	if e.Way.Type != "unicast" || e.Way.leavesBy(owner) || !s.isENI(e.Way.Hops[0].NIC) {
		return false
	}
	hop := e.Way.Hops[0]
	if !hop.Via.IsValid() && s.subnetOwner(s.packet.Dst) == hop.NIC {
		e.wrong("sibling-subnet", "%s, but it goes straight into the subnet of %s, which drops packets of a source that is not its own; it should go through the gateway of %s", because, s.called(hop.NIC), owner)
		return true
	}
	e.wrong("wrong-nic", "%s, but it leaves by %s, where the cloud drops packets of a source that is not its own", because, s.called(hop.NIC))
	return true
}

// blame says which rule took a packet away from its ENI.
func (s *sight) blame(e *Explanation, owner string) {
	last := e.Steps[len(e.Steps)-1]
	own := slices.ContainsFunc(s.rules, s.owns)
	builtIn := last.By == "the kernel"
	switch {
	case last.Own:
	case !builtIn:
		e.wrong("foreign-rule", "%s stands in front of enid's and took it; enid does not move in front of others: give it a higher priority or narrow it", last.foreign())
	case own && s.nicHasRules(owner):
		e.wrong("no-selector", "no rule of enid's took it, so that it followed table %s; look at %s in enid status", e.Way.Name, owner)
	case own:
		e.wrong("not-configured", "enid has no rules for %s; enid status says why", owner)
	default:
		e.wrong("not-configured", "enid has no rules on this host; is it running? systemctl start enid, or enid apply")
	}
}

func (s *sight) nicHasRules(nic string) bool {
	return slices.ContainsFunc(s.rules, func(r hostRule) bool { return s.owns(r) && r.oif == nic })
}

// refusal says why a packet that enid's own rules refused has no way.
func (s *sight) refusal(e *Explanation) {
	if e.Way.Rule < 0 {
		e.wrong("no-route", "no rule has an answer for %s: main has no route to it", s.packet.Dst)
		return
	}
	last := e.Steps[len(e.Steps)-1]
	if !e.Way.refused() {
		return
	}
	if !last.Own {
		s.foreignRefusal(e, last)
		return
	}
	slot := s.slotOfBlock(last.Priority)
	switch {
	case last.Priority == s.wall():
		e.wrong("no-route", "main has no route to %s, and nobody walks on into enid's blocks", s.packet.Dst)
	case e.Way.Table == s.RefuseTable():
		e.wrong("gateway-missing", "%s lies in another ENI's subnet and the primary ENI's gateway is not to be had: its NIC is down, or its gateway is not known (enid status)", s.packet.Dst)
	case s.slotOfMark(Rule{Priority: last.Priority, Mark: s.packet.Mark & s.Mark, Mask: s.markMask()}) != NoSlot:
		e.wrong("detached", "the connection came in by an ENI that is gone (mark %#x); by no other NIC it could be answered", s.packet.Mark)
	case slot == Primary:
		e.wrong("policy-blocked", "a policy takes it whose ENI is not there, with when_absent: block; attach the ENI, or say when_absent: main")
	case slot != NoSlot:
		s.guarded(e, slot)
	}
}

// guarded: the ENI's table had no way.
func (s *sight) guarded(e *Explanation, slot Slot) {
	nic, table := s.nicOfSlot(slot), strconv.Itoa(s.TableOf(slot))
	switch l := s.link(nic); {
	case l.Name == "":
		e.wrong("nic-missing", "%s is not there, and by no other NIC the packet may leave", s.eniOfSlot(slot))
	case !l.Up:
		e.wrong("nic-down", "%s is down, and by no other NIC the packet may leave; ip link set %s up", s.called(nic), nic)
	default:
		e.wrong("gateway-missing", "table %s has no route to %s: the gateway of %s is not known (enid status says what is), or its routes are gone", table, s.packet.Dst, s.called(nic))
	}
}

func (s *sight) foreignRefusal(e *Explanation, last Step) {
	where := ""
	if e.Way.Table != 0 {
		where = fmt.Sprintf(", by the route %s %s in table %s", e.Way.Type, e.Way.Dst, e.Way.Name)
	}
	e.wrong("refused", "%s refuses it%s", last.foreign(), where)
}

// incomingFindings are about a packet that comes in by a NIC.
func (s *sight) incomingFindings(e *Explanation, owner string) {
	if s.packet.IIF == "" {
		return
	}
	if e.Reverse.Drops {
		reason, advice := "source-refused", ""
		if e.Reverse.RPFilter != 0 && e.Reverse.Way.Type != "local" {
			reason, advice = "rp-filter", fmt.Sprintf("; sysctl -w net.ipv4.conf.%s.rp_filter=2", s.packet.IIF)
			if s.in.rpFilter == 2 {
				advice = ""
			}
		}
		often := ""
		if e.Reverse.Partly {
			often = ", for some of its next hops,"
		}
		e.wrong(reason, "the kernel drops it%s when it comes in: %s%s", often, e.Reverse.Reason, advice)
	}
	if e.Way.Type == "unicast" && !s.forwards() {
		e.wrong("not-forwarding", "this host does not forward what comes in by %s: %s", s.packet.IIF,
			map[Family]string{V4: "sysctl -w net.ipv4.ip_forward=1", V6: "sysctl -w net.ipv6.conf.all.forwarding=1"}[s.family])
	}
}

// forwards: IPv6 asks all's setting; with it off, gateways are chosen by whether they answer.
func (s *sight) forwards() bool {
	if s.family == V6 {
		return !s.reachableFirst
	}
	return s.in.forwards
}

// marksToTry tells how to ask for replies.
func (s *sight) marksToTry() string {
	var marks []string
	for _, r := range s.rules {
		slot := s.slotOfMark(Rule{Priority: r.priority, Mark: r.mark, Mask: r.mask})
		if nic := s.nicOfSlot(slot); s.owns(r) && slot > Primary && nic != "" && len(marks) < 4 {
			marks = append(marks, fmt.Sprintf("--mark %#x for %s", r.mark, nic))
		}
	}
	if marks == nil || s.packet.Mark != 0 {
		return ""
	}
	return "; a reply has the mark of the ENI by which its connection came in: " + strings.Join(marks, ", ")
}

// connects: IPv4 gives a connecting socket the source that goes with the way, and looks again
// with it (ip_route_connect of net/route.h).
func (s *sight) connects(e *Explanation) {
	if s.packet.Src.IsValid() || s.family != V4 || !e.Kernel.Source.IsValid() || e.Way.Type != "unicast" {
		return
	}
	f := s.flow()
	f.src = e.Kernel.Source
	if _, again := s.walk(f); !again.leavesBy(e.Way.Hops[0].NIC) {
		e.note("a socket that connects gets the source %s and is looked up again with it: then it leaves by %s", f.src, again.nics())
	}
}

// loopbackLeaves: IPv4 lets nothing out from a loopback address.
func (s *sight) loopbackLeaves(w Way) bool {
	return w.Type == "unicast" && s.packet.Src.Is4() && s.packet.Src.IsLoopback() && !w.leavesBy("lo")
}

// notes are what is not wrong but may surprise.
func (s *sight) notes(e *Explanation, owner string) {
	f := s.flow()
	forLocal := 0
	for _, step := range e.Steps {
		if step.Own && !step.Matched && step.Reason == iifMisfit("lo", f) {
			forLocal++
		}
	}
	if forLocal > 0 && e.Way.Type != "local" {
		e.note("the packet is forwarded, so that enid's rules for what this host makes (iif lo) do not apply: without a mark or a policy it follows main%s", s.marksToTry())
	}
	s.connects(e)
	asked := map[string]bool{}
	for _, step := range e.Steps {
		asked[strconv.Itoa(step.Priority)+" "+step.Rule] = true
	}
	for _, r := range s.traffic(f) {
		if asked[strconv.Itoa(r.priority)+" "+r.String()] {
			e.note("some traffic between these addresses goes another way: rule %d, %s", r.priority, r)
		}
	}
	if owner == "" && s.packet.Src.IsValid() && s.packet.IIF != "" && e.Way.Type == "unicast" && s.isENI(e.Way.Hops[0].NIC) && s.ownerOf(s.packet.Src) == "" {
		e.note("%s is no address of %s: the cloud drops it there unless SNAT gives it another source", s.packet.Src, s.called(e.Way.Hops[0].NIC))
	}
	if len(e.Way.Hops) > 1 {
		e.note("the route has several next hops, of which each flow takes one; the kernel's answer shows one of them")
	}
}
