package netcfg

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// markUse is the bits of a mark that a rule looks at or changes.
type markUse struct {
	value, mask uint32
	writes      bool // else it compares
}

// collides reports whether somebody's use of a mark gets in the way of ours. A comparison of the whole
// word concerns us only where its value could be one of our marks: it does not claim bits.
func (u markUse) collides(ours uint32) bool {
	if u.mask == wholeMark && !u.writes {
		return u.value&ours != 0 && u.value&othersMark == 0
	}
	return u.mask&ours != 0
}

// markConflict is the first foreign rule that uses bits of our mark, with a remedy; "" for none.
func (set ruleset) markConflict(f Family, ours uint32) string {
	for _, table := range slices.Sorted(maps.Keys(set)) {
		for _, chain := range slices.Sorted(maps.Keys(set[table])) {
			for _, rule := range set[table][chain] {
				if !isOurs(table, chain, rule) && slices.ContainsFunc(markUses(rule), func(u markUse) bool { return u.collides(ours) }) {
					return conflictText(fmt.Sprintf("%s -t %s -A %s %s", f.iptables(), table, chain, rule), ours)
				}
			}
		}
	}
	return ""
}

func conflictText(rule string, ours uint32) string {
	return fmt.Sprintf("somebody else's rule %q uses bits of the connection mark of enid (%#x): replies may leave by a wrong ENI; give enid seven bits in a row that nobody uses (routing.mark)", rule, ours)
}

// markUses are the uses of packet and connection marks in a rule as iptables prints it.
func markUses(rule string) (uses []markUse) {
	if !strings.Contains(rule, "mark") {
		return nil
	}
	words := strings.Fields(rule)
	after := func(i int) string {
		if i+1 < len(words) {
			return words[i+1]
		}
		return ""
	}
	for i, word := range words {
		switch word {
		case "--mark":
			uses = append(uses, parseMark(after(i), false))
		case "--set-xmark", "--set-mark", "--tproxy-mark":
			uses = append(uses, parseMark(after(i), true))
		case "--and-mark":
			u := parseMark(after(i), true)
			uses = append(uses, markUse{mask: ^u.value, writes: true})
		case "--or-mark", "--xor-mark":
			u := parseMark(after(i), true)
			uses = append(uses, markUse{value: u.value, mask: u.value, writes: true})
		case "--nfmask", "--ctmask", "--mask":
			uses = append(uses, markUse{mask: parseMark(after(i), true).value, writes: true})
		case "--save-mark", "--restore-mark":
			if next := after(i); next != "--nfmask" && next != "--ctmask" && next != "--mask" {
				uses = append(uses, markUse{mask: wholeMark, writes: true})
			}
		}
	}
	return uses
}

// parseMark reads "0x10/0xff", where no mask means all bits.
func parseMark(s string, writes bool) markUse {
	value, mask, masked := strings.Cut(s, "/")
	v, err := strconv.ParseUint(value, 0, 32)
	if err != nil {
		return markUse{}
	}
	u := markUse{uint32(v), wholeMark, writes}
	if masked {
		m, err := strconv.ParseUint(mask, 0, 32)
		if err != nil {
			return markUse{}
		}
		u.mask = uint32(m)
	}
	return u
}

// foreignRule is what matters of somebody else's policy rule: where it stands, and the bits of a
// mark that it matches.
type foreignRule struct {
	family   Family
	priority int
	markUse
}

// markConflict is the first of others' policy rules that matches bits of our mark, "" for none.
func markConflict(others []foreignRule, ours uint32) string {
	for _, r := range others {
		if r.mask != 0 && r.collides(ours) {
			words := "ip rule"
			if r.family == V6 {
				words = "ip -6 rule"
			}
			return conflictText(fmt.Sprintf("%s pref %d fwmark %#x/%#x", words, r.priority, r.value, r.mask), ours)
		}
	}
	return ""
}

// parseForeignRule reads an RTM_NEWRULE, whatever else it says. The kernel leaves out the priority of
// its first.
func parseForeignRule(b []byte) (r foreignRule, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return foreignRule{}, false
	}
	r.family = V4
	if b[0] == unix.AF_INET6 {
		r.family = V6
	}
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case nl.FRA_FWMARK:
			r.value = u32(v)
		case nl.FRA_FWMASK:
			r.mask = u32(v)
		case nl.FRA_PRIORITY:
			r.priority = int(u32(v))
		}
	}
	return r, true
}
