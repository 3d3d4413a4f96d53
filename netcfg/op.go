package netcfg

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Verb is what an Op does with its object.
type Verb uint8

// The verbs. Add fails where the object exists; Replace puts a route of ours in
// the place of another of ours without a gap; Append adds a rule behind a twin; Set
// changes a knob, writing down the value found; Restore puts the recorded
// value back, if nobody else has changed the knob since.
const (
	Add Verb = iota
	Append
	Replace
	Del
	Set
	Restore
)

// Result is what became of an Op.
type Result struct {
	Op      Op
	Err     error // names the Op; wraps ErrSkipped where it was not tried
	Skipped bool
}

// ErrSkipped is the error of an operation that was not tried, because an earlier one of the same
// ENI failed: no address is added without its rules.
var ErrSkipped = errors.New("skipped, because an earlier operation failed")

// Object is an Addr, Route, Rule, Setting or Chain.
type Object interface {
	command(v Verb, dev string) string
}

// Op is one change to the kernel. It prints as the command that an operator
// would type.
type Op struct {
	Verb   Verb
	Slot   Slot // whose ENI it serves; after a failed Op the rest of that slot's are skipped
	Object Object
	Dev    string // name of the object's NIC, for printing and for sysctl paths
}

// String is the command, for example
// "ip addr add 10.0.1.5/24 dev eth1 noprefixroute".
func (o Op) String() string { return o.Object.command(o.Verb, o.Dev) }

// Name is the command, or for a chain, which takes several, the chain's name: for one line of a log.
func (o Op) Name() string {
	if c, ok := o.Object.(Chain); ok {
		return c.Family.iptables() + " -t " + c.Hook.Table + " chain " + c.Name()
	}
	return o.String()
}

func (v Verb) word() string {
	switch v {
	case Del:
		return "del"
	case Replace:
		return "replace"
	default:
		return "add"
	}
}

func (a Addr) command(v Verb, dev string) string {
	s := fmt.Sprintf("ip addr %s %s dev %s", v.word(), a.Prefix, dev)
	if v == Del {
		return s
	}
	if a.Prefix.Addr().Is6() {
		s += " nodad"
	}
	if !a.Prefix.IsSingleIP() {
		s += " noprefixroute"
	}
	return s
}

func (r Route) command(v Verb, dev string) string {
	words := []string{"ip"}
	if r.Dst.Addr().Is6() {
		words = append(words, "-6")
	}
	words = append(words, "route", v.word())
	switch {
	case r.Unreachable():
		words = append(words, "unreachable")
	case r.Local():
		words = append(words, "local")
	}
	if r.Dst.Bits() == 0 {
		words = append(words, "default")
	} else {
		words = append(words, r.Dst.String())
	}
	if r.Via.IsValid() {
		words = append(words, "via", r.Via.String())
	}
	if !r.Unreachable() {
		words = append(words, "dev", dev)
	}
	if r.Via.IsValid() {
		words = append(words, "onlink")
	}
	if r.Table != MainTable {
		words = append(words, "table", tableNumber(r.Table))
	}
	if r.Metric != 0 {
		words = append(words, "metric", strconv.Itoa(r.Metric))
	}
	return strings.Join(append(words, "proto", strconv.Itoa(r.Proto)), " ")
}

func (r Rule) command(v Verb, _ string) string {
	words := []string{"ip"}
	if r.Family == V6 {
		words = append(words, "-6")
	}
	words = append(words, "rule", v.word(), "pref", strconv.Itoa(r.Priority))
	if r.Invert {
		words = append(words, "not")
	}
	if r.From.IsValid() {
		words = append(words, "from", r.From.String())
	}
	if r.To.IsValid() {
		words = append(words, "to", r.To.String())
	}
	if r.IIF != "" {
		words = append(words, "iif", r.IIF)
	}
	if r.OIF != "" {
		words = append(words, "oif", r.OIF)
	}
	if r.Mask != 0 {
		words = append(words, "fwmark", fmt.Sprintf("%#x/%#x", r.Mark, r.Mask))
	}
	words = append(words, r.socketWords()...)
	switch {
	case r.Unreachable:
		words = append(words, "unreachable")
	case r.Nop:
		words = append(words, "nop")
	case r.Goto != 0:
		words = append(words, "goto", strconv.Itoa(r.Goto))
	case r.Table == MainTable:
		words = append(words, "lookup", "main")
	default:
		words = append(words, "lookup", strconv.Itoa(r.Table))
	}
	if r.SuppressPrefix != 0 {
		words = append(words, "suppress_prefixlength", strconv.Itoa(r.SuppressPrefix))
	}
	if r.SuppressGroup != 0 {
		words = append(words, "suppress_ifgroup", strconv.FormatUint(uint64(r.SuppressGroup), 10))
	}
	return strings.Join(append(words, "protocol", strconv.Itoa(r.Proto)), " ")
}

// socketWords are the selectors beyond the IP header.
func (r Rule) socketWords() (words []string) {
	if r.IPProto != 0 {
		words = append(words, "ipproto", strconv.Itoa(int(r.IPProto)))
	}
	if r.Ports != (Span{}) {
		words = append(words, "dport", r.Ports.String())
	}
	if r.UIDs != (Span{}) {
		words = append(words, "uidrange", fmt.Sprintf("%d-%d", r.UIDs.First, r.UIDs.End-1))
	}
	return words
}

// String is "80" or "8000-8100".
func (s Span) String() string {
	if s.End == s.First+1 {
		return strconv.FormatUint(uint64(s.First), 10)
	}
	return fmt.Sprintf("%d-%d", s.First, s.End-1)
}

func (s Setting) command(_ Verb, dev string) string {
	switch s.Knob {
	case LinkUp:
		if s.Value == "1" {
			return "ip link set dev " + dev + " up"
		}
		return "ip link set dev " + dev + " down"
	case LinkGroup, LinkMTU:
		return "ip link set dev " + dev + " " + string(s.Knob) + " " + s.Value
	}
	return "sysctl -w net." + s.Knob.dotted(dev) + "=" + s.Value
}

// Path is the knob's file below /proc/sys/net for a NIC of this name, "" for a
// knob that is set through netlink.
func (k Knob) Path(dev string) string {
	if !strings.Contains(string(k), "*") {
		return ""
	}
	return strings.ReplaceAll(string(k), "*", dev)
}

// dotted is the form that sysctl(8) takes, where a dot in a device's name is
// written as a slash.
func (k Knob) dotted(dev string) string {
	dotted := strings.ReplaceAll(string(k), "/", ".")
	return strings.ReplaceAll(dotted, "*", strings.ReplaceAll(dev, ".", "/"))
}
