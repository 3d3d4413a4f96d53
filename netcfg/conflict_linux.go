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

// foreignMark is a policy rule of another's that matches a mark.
type foreignMark struct {
	markUse
	priority, proto int
}

// markConflict is the first foreign policy rule that matches bits of our mark, "" for none.
func (c *conn) markConflict(s Scope) (string, error) {
	for _, f := range []Family{V4, V6} {
		marks, err := dump(c, unix.RTM_GETRULE, parseRuleMark, &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(f)}})
		if err != nil && !(f == V6 && familyMissing(err)) {
			return "", fmt.Errorf("read the marks of the IPv%d policy rules: %w", f, err)
		}
		for _, m := range marks {
			if !slices.Contains(s.Protos, m.proto) && m.collides(s.Numbers.Mark) {
				words := "ip rule"
				if f == V6 {
					words = "ip -6 rule"
				}
				return conflictText(fmt.Sprintf("%s pref %d fwmark %#x/%#x", words, m.priority, m.value, m.mask), s.Numbers.Mark), nil
			}
		}
	}
	return "", nil
}

// parseRuleMark reads the mark of any RTM_NEWRULE; not ok for a rule without.
func parseRuleMark(b []byte) (m foreignMark, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return foreignMark{}, false
	}
	for typ, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch typ {
		case nl.FRA_FWMARK:
			m.value = u32(v)
		case nl.FRA_FWMASK:
			m.mask = u32(v)
		case nl.FRA_PRIORITY:
			m.priority = int(u32(v))
		case nl.FRA_PROTOCOL:
			if len(v) == 1 {
				m.proto = int(v[0])
			}
		}
	}
	return m, m.mask != 0
}
