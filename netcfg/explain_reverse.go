package netcfg

import (
	"fmt"
	"slices"
	"strings"
)

// reverse asks for the way back, as __fib_validate_source of net/ipv4/fib_frontend.c does: from
// the packet's destination to its source, as if it came in by the NIC that it leaves by. Where that is
// one of several, the first that has the packet dropped is told.
func (s *sight) reverse(f flow, w Way) Reverse {
	froms := []string{"lo"}
	if w.Type == "unicast" {
		froms = nil
		for _, h := range w.Hops {
			froms = append(froms, h.NIC)
		}
	}
	var told Reverse
	dropped := 0
	for i, from := range froms {
		r := s.reverseFrom(f, from)
		if i == 0 || r.Drops && !told.Drops {
			told = r
		}
		if r.Drops {
			dropped++
		}
	}
	told.Partly = dropped > 0 && dropped < len(froms)
	return told
}

func (s *sight) reverseFrom(f flow, nic string) Reverse {
	back := flow{src: f.dst, dst: f.src, iif: nic, vrf: f.vrf}
	if s.in.useMark {
		back.mark = f.mark
	}
	r := Reverse{RPFilter: s.in.rpFilter}
	r.Steps, r.Way = s.walk(back)
	r.Drops, r.Reason = s.judge(r.Way)
	return r
}

// judge says whether the packet is dropped for its way back.
func (s *sight) judge(w Way) (drops bool, reason string) {
	iif, strict := s.packet.IIF, s.in.rpFilter == 1
	switch {
	case w.refused() && s.in.rpFilter != 0:
		return true, fmt.Sprintf("rp_filter of %s is %d and there is no way back to %s", iif, s.in.rpFilter, s.packet.Src)
	case w.refused():
		return false, "there is no way back, which rp_filter 0 does not ask for"
	case s.in.acceptLocal && s.in.rpFilter == 0:
		return false, "neither rp_filter nor accept_local asks for the way back"
	case w.Type == "local" && !s.in.acceptLocal:
		return true, fmt.Sprintf("%s is an address of this host, and nobody else may send from it (accept_local of %s is 0)", s.packet.Src, iif)
	case w.Type != "unicast" && w.Type != "local":
		return true, fmt.Sprintf("%s is no host's address but %s", s.packet.Src, w.Type)
	case slices.Contains(w.devs, iif):
		return false, "answers leave by the same NIC"
	case strict:
		return true, fmt.Sprintf("rp_filter of %s is 1 (strict) and answers to %s leave by %s", iif, s.packet.Src, strings.Join(w.devs, " or "))
	case s.in.rpFilter != 0 && !s.in.hasAddresses:
		return true, fmt.Sprintf("rp_filter of %s is %d, answers to %s leave by %s, and %s has no IPv4 address", iif, s.in.rpFilter, s.packet.Src, w.nics(), iif)
	}
	return false, fmt.Sprintf("answers leave by %s, which rp_filter %d allows", w.nics(), s.in.rpFilter)
}
