package kernel

import (
	"net/netip"
	"slices"

	"enid/netcfg"
)

// Packet is what a route lookup is asked for. The zero Src is a socket that is bound to no
// address.
type Packet struct {
	Src, Dst netip.Addr
	IIF      string // "" for packets made on this host
	OIF      string // a socket bound to a NIC
	Mark     uint32
	UID      uint32 // of the process that sends; the kernel says 0 of forwarded packets
	IPProto  uint8
	Port     uint32 // destination port
}

// Way is a lookup's answer: the NIC, or none.
type Way struct {
	Link int // ifindex, 0 for none
	Via  netip.Addr
}

// Lookup walks the rules as the kernel does, with main at 32766.
func (k *Kernel) Lookup(p Packet) Way {
	f := netcfg.FamilyOf(p.Dst)
	asked := false // main
	for i := 0; i < len(k.Rules); i++ {
		r := k.Rules[i]
		if r.Priority > mainPriority && !asked {
			asked = true
			if way, final := k.table(netcfg.Rule{Table: netcfg.MainTable}, p); final {
				return way
			}
		}
		if r.Family != f || !matches(r, p) {
			continue
		}
		switch {
		case r.Nop:
		case r.Unreachable:
			return Way{}
		case r.Goto != 0:
			target := slices.IndexFunc(k.Rules, func(x netcfg.Rule) bool { return x.Family == f && x.Priority == r.Goto })
			if target > i {
				asked = asked || r.Goto > mainPriority
				i = target - 1
			}
		default:
			if way, final := k.table(r, p); final {
				return way
			}
		}
	}
	if !asked {
		way, _ := k.table(netcfg.Rule{Table: netcfg.MainTable}, p)
		return way
	}
	return Way{}
}

// mainPriority is where the kernel keeps its own rule for main.
const mainPriority = 32766

func matches(r netcfg.Rule, p Packet) bool { return fits(r, p) != r.Invert }

func fits(r netcfg.Rule, p Packet) bool {
	iif := p.IIF
	if iif == "" {
		iif = "lo"
	}
	return (!r.From.IsValid() || p.Src.IsValid() && r.From.Contains(p.Src)) &&
		(!r.To.IsValid() || r.To.Contains(p.Dst)) &&
		(r.IIF == "" || r.IIF == iif) && (r.OIF == "" || r.OIF == p.OIF) &&
		p.Mark&r.Mask == r.Mark && (r.UIDs == (netcfg.Span{}) || within(r.UIDs, p.UID)) &&
		(r.IPProto == 0 || r.IPProto == p.IPProto) && (r.Ports == (netcfg.Span{}) || within(r.Ports, p.Port))
}

func within(s netcfg.Span, n uint32) bool { return n >= s.First && n < s.End }

// table looks a packet up in one table: the longest prefix, then the lowest metric. A
// suppressed success is none; an unreachable route is an answer.
func (k *Kernel) table(rule netcfg.Rule, p Packet) (Way, bool) {
	best := -1
	for i, r := range k.Routes {
		if r.Table != rule.Table || !r.Dst.Contains(p.Dst) || p.OIF != "" && !r.Unreachable() && k.name(r.Link) != p.OIF {
			continue
		}
		if best < 0 || r.Dst.Bits() > k.Routes[best].Dst.Bits() || r.Dst.Bits() == k.Routes[best].Dst.Bits() && r.Metric < k.Routes[best].Metric {
			best = i
		}
	}
	if best < 0 {
		return Way{}, false
	}
	r := k.Routes[best]
	if r.Unreachable() {
		return Way{}, true
	}
	if rule.SuppressPrefix > 0 && r.Dst.Bits() <= rule.SuppressPrefix {
		return Way{}, false
	}
	if rule.SuppressGroup > 0 && k.setting(r.Link, netcfg.LinkGroup) == "225" {
		return Way{}, false
	}
	return Way{r.Link, r.Via}, true
}

func (k *Kernel) name(link int) string {
	l, err := k.link(link)
	if err != nil {
		return ""
	}
	return l.Name
}
