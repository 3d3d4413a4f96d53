package netcfg

import (
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"enid/metadata"
)

// anybodys is a rule of enid's kind as one that may be anybody's.
func anybodys(r Rule) hostRule {
	h := hostRule{priority: r.Priority, proto: r.Proto, from: r.From, to: r.To, iif: r.IIF, oif: r.OIF, mark: r.Mark, mask: r.Mask, uids: r.UIDs,
		action: actionTable, table: r.Table, gotoPriority: r.Goto, suppressPrefix: -1, suppressGroup: -1}
	if r.SuppressPrefix != 0 {
		h.suppressPrefix = r.SuppressPrefix
	}
	if r.SuppressGroup != 0 {
		h.suppressGroup = int64(r.SuppressGroup)
	}
	if r.IPProto != 0 {
		h.narrow = append(h.narrow, selector{text: "ipproto " + protoName(r.IPProto)})
	}
	switch {
	case r.Goto != 0:
		h.action = actionGoto
	case r.Nop:
		h.action = actionNop
	case r.Unreachable:
		h.action = "unreachable"
	}
	return h
}

// route is a unicast route.
func route(table int, dst, via, nic string) hostRoute {
	h := routeHop{nic: nic}
	if via != "" {
		h.via = ip(via)
	}
	return hostRoute{table: table, dst: pfx(dst), kind: "unicast", preference: 2, hops: []routeHop{h}}
}

// twoENIs is a host on which enid works: the primary ENI on eth0, a second one on eth1, containers on br0.
func twoENIs(p Packet) *sight {
	own := func(r Rule) hostRule { r.Proto = 225; return anybodys(r) }
	kernels := func(priority, table int) hostRule {
		return anybodys(Rule{Priority: priority, Table: table, Proto: 2})
	}
	s := &sight{Numbers: DefaultNumbers, packet: p, family: V4, in: incoming{forwards: true, hasAddresses: true}}
	s.rules = []hostRule{kernels(0, LocalTable),
		own(Rule{Priority: 20004, Mark: 0x2000000, Mask: 0x7f00ff00, Goto: 33010}),
		own(Rule{Priority: 20004, Mark: 0x3000000, Mask: 0x7f00ff00, Unreachable: true}),
		own(Rule{Priority: 20014, From: pfx("10.0.1.32/28"), Goto: 33010}),
		own(Rule{Priority: 20108, From: pfx("10.0.1.0/24"), IIF: "lo", Goto: 33010}),
		own(Rule{Priority: 20200, From: pfx("10.0.0.0/24"), IIF: "lo", Table: MainTable, SuppressPrefix: 1, SuppressGroup: 225}),
		own(Rule{Priority: 20201, From: pfx("10.0.0.0/24"), IIF: "lo", Table: 20000}),
		own(Rule{Priority: 20202, From: pfx("10.0.0.0/24"), IIF: "lo", Table: 20900}),
		own(Rule{Priority: 20300, OIF: "eth1", Goto: 33010}),
		kernels(32766, MainTable), kernels(32767, 253),
		own(Rule{Priority: 32768, Unreachable: true}),
		own(Rule{Priority: 33010, Table: MainTable, SuppressPrefix: 1, SuppressGroup: 225}),
		own(Rule{Priority: 33011, Table: 20001}), own(Rule{Priority: 33012, Unreachable: true})}
	for _, r := range []hostRoute{
		{table: LocalTable, dst: pfx("10.0.0.5/32"), kind: "local", hops: []routeHop{{nic: "eth0"}}},
		{table: LocalTable, dst: pfx("10.0.1.5/32"), kind: "local", hops: []routeHop{{nic: "eth1"}}},
		route(MainTable, "172.17.0.0/16", "", "br0"), route(MainTable, "10.0.0.0/24", "", "eth0"), route(MainTable, "0.0.0.0/0", "10.0.0.1", "eth0"),
		route(20000, "10.0.1.0/24", "10.0.0.1", "eth0"), {table: 20900, dst: pfx("10.0.1.0/24"), kind: "unreachable"},
		route(20001, "10.0.1.0/24", "", "eth1"), route(20001, "0.0.0.0/0", "10.0.1.1", "eth1"),
	} {
		s.add(r)
	}
	s.links = []Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "eth0", MAC: metadata.MAC{2, 1}, Group: 225, Up: true},
		{Index: 3, Name: "eth1", MAC: metadata.MAC{2, 2}, Group: 225, Up: true}, {Index: 4, Name: "br0", Kind: "bridge", MAC: metadata.MAC{2, 3}, Up: true}}
	s.addrs = []Addr{{2, pfx("10.0.0.5/24")}, {3, pfx("10.0.1.5/24")}, {4, pfx("172.17.0.1/16")}}
	s.enis = []NamedENI{{Name: "port-prim", NIC: "eth0", Slot: Primary, Subnets: []netip.Prefix{pfx("10.0.0.0/24")}},
		{Name: "port-abc", NIC: "eth1", Slot: 1, Subnets: []netip.Prefix{pfx("10.0.1.0/24")}, Prefixes: []netip.Prefix{pfx("10.0.1.32/28")}}}
	return s
}

func (s *sight) add(r hostRoute) {
	if s.routes == nil {
		s.routes = map[int][]hostRoute{}
	}
	s.routes[r.table] = append(s.routes[r.table], r)
	slices.SortStableFunc(s.routes[r.table], routeOrder)
}

// foreign puts somebody's rule among the others.
func (s *sight) foreign(r hostRule) {
	at := slices.IndexFunc(s.rules, func(x hostRule) bool { return x.priority > r.priority })
	s.rules = slices.Insert(s.rules, at, r)
}

// answered is the whole explanation, as if the kernel agreed.
func (s *sight) answered() Explanation {
	e := s.explain()
	e.Kernel = KernelWay{Agrees: true, Type: e.Way.Type, Table: e.Way.Table}
	switch {
	case e.Reverse.Drops:
		e.Kernel = KernelWay{Agrees: true, Error: "invalid argument"}
	case e.Way.refused():
		e.Kernel = KernelWay{Agrees: true, Error: "network is unreachable"}
	default:
		e.Kernel.NIC, e.Kernel.Via = e.Way.Hops[0].NIC, e.Way.Hops[0].Via
	}
	s.findings(&e)
	return e
}

func reasons(e Explanation) (all []string) {
	for _, p := range e.Wrong {
		all = append(all, p.Reason)
	}
	return all
}

// TestExplainFindings: what is right is not called wrong, and what is wrong is called by its name.
func TestExplainFindings(t *testing.T) {
	from := func(src, dst string) Packet { return Packet{Src: ip(src), Dst: ip(dst)} }
	by := func(nic, src, dst string, mark uint32) Packet {
		return Packet{Src: ip(src), Dst: ip(dst), IIF: nic, Mark: mark}
	}
	without := func(priority int) func(*sight) {
		return func(s *sight) {
			s.rules = slices.DeleteFunc(s.rules, func(r hostRule) bool { return r.priority == priority })
		}
	}
	noENID := func(s *sight) { s.rules = slices.DeleteFunc(s.rules, s.owns) }
	strict := func(s *sight) { s.in.rpFilter = 1 }
	for _, c := range []struct {
		name   string
		packet Packet
		change func(*sight)
		nic    string // "" for refused
		want   []string
	}{
		{"secondary to outside", from("10.0.1.5", "8.8.8.8"), nil, "eth1", nil},
		{"secondary to its own subnet", from("10.0.1.5", "10.0.1.77"), nil, "eth1", nil},
		{"secondary to a container", from("10.0.1.5", "172.17.0.2"), nil, "br0", nil},
		{"secondary to the primary's subnet", from("10.0.1.5", "10.0.0.77"), nil, "eth1", nil},
		{"primary to a sibling subnet", from("10.0.0.5", "10.0.1.77"), nil, "eth0", nil},
		{"primary to outside", from("10.0.0.5", "8.8.8.8"), nil, "eth0", nil},
		{"to this host", from("10.0.0.5", "10.0.1.5"), nil, "lo", nil},
		{"a selector is missing", from("10.0.1.5", "8.8.8.8"), without(20108), "eth0", []string{"wrong-nic", "no-selector"}},
		{"no enid at all", from("10.0.1.5", "8.8.8.8"), noENID, "eth0", []string{"wrong-nic", "not-configured"}},
		{"sibling reached directly", from("10.0.0.5", "10.0.1.77"), func(s *sight) {
			noENID(s)
			s.add(route(MainTable, "10.0.1.0/24", "", "eth1"))
		}, "eth1", []string{"sibling-subnet", "not-configured"}},
		{"a foreign rule in front", from("10.0.1.5", "8.8.8.8"), func(s *sight) {
			s.foreign(anybodys(Rule{Priority: 1536, Proto: 3, From: pfx("10.0.1.0/24"), Table: MainTable}))
		}, "eth0", []string{"wrong-nic", "foreign-rule"}},
		{"a foreign rule that refuses", from("10.0.1.5", "8.8.8.8"), func(s *sight) {
			s.foreign(anybodys(Rule{Priority: 50, Proto: 3, Unreachable: true}))
		}, "", []string{"refused"}},
		{"gateway missing", from("10.0.1.5", "8.8.8.8"), func(s *sight) { s.routes[20001] = s.routes[20001][:1] }, "", []string{"gateway-missing"}},
		{"the NIC is down", from("10.0.1.5", "8.8.8.8"), func(s *sight) { s.routes[20001], s.links[2].Up = nil, false }, "", []string{"nic-down"}},
		{"the NIC is gone", from("10.0.1.5", "8.8.8.8"), func(s *sight) { s.routes[20001], s.links = nil, s.links[:2] }, "", []string{"nic-missing"}},
		{"primary's way to a sibling is gone", from("10.0.0.5", "10.0.1.77"), func(s *sight) { s.routes[20000] = nil }, "", []string{"gateway-missing"}},
		{"main has no default", Packet{Dst: ip("8.8.8.8")}, func(s *sight) { s.routes[MainTable] = s.routes[MainTable][:2] }, "", []string{"no-route"}},
		{"no rule answers", Packet{Dst: ip("8.8.8.8")}, func(s *sight) { s.rules = s.rules[:1] }, "", []string{"no-route"}},
		{"loopback source", from("127.0.0.1", "8.8.8.8"), nil, "eth0", []string{"loopback-source"}},
		{"a container's reply, marked", by("br0", "172.17.0.2", "8.8.8.8", 0x2000000), nil, "eth1", nil},
		{"marked for a lost block", by("br0", "172.17.0.2", "8.8.8.8", 0x2000000), without(20004), "eth0", []string{"wrong-nic", "no-selector"}},
		{"marked for an ENI that is gone", by("br0", "172.17.0.2", "8.8.8.8", 0x3000000), nil, "", []string{"detached"}},
		{"somebody else's mark", by("br0", "172.17.0.2", "8.8.8.8", 0x2000f00), nil, "eth0", nil},
		{"a delegated prefix", by("br0", "10.0.1.33", "8.8.8.8", 0), nil, "eth1", nil},
		{"comes in, strict", by("eth1", "8.8.8.8", "172.17.0.2", 0), strict, "br0", []string{"rp-filter"}},
		{"comes in, strict, by the right NIC", by("eth0", "8.8.8.8", "172.17.0.2", 0), strict, "br0", nil},
		{"comes in, loose", by("eth1", "8.8.8.8", "172.17.0.2", 0), func(s *sight) { s.in.rpFilter = 2 }, "br0", nil},
		{"comes in, strict, with its mark", by("eth1", "8.8.8.8", "172.17.0.2", 0x2000000), func(s *sight) {
			strict(s)
			s.in.useMark = true
		}, "br0", nil},
		{"comes in, strict, and a rule for the NIC that it leaves by leads back", by("eth1", "8.8.8.8", "172.17.0.2", 0), func(s *sight) {
			strict(s)
			s.foreign(anybodys(Rule{Priority: 50, Proto: 3, IIF: "br0", To: pfx("8.8.8.8/32"), Table: 20001}))
		}, "br0", nil},
		{"comes in for this host, strict", by("eth1", "8.8.8.8", "10.0.1.5", 0), strict, "lo", nil},
		{"comes in with a source of ours", by("br0", "10.0.1.5", "8.8.8.8", 0), nil, "eth0", []string{"source-refused"}},
		{"does not forward", by("br0", "172.17.0.2", "8.8.8.8", 0), func(s *sight) { s.in.forwards = false }, "eth0", []string{"not-forwarding"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := twoENIs(c.packet)
			if c.change != nil {
				c.change(s)
			}
			e := s.answered()
			if nic := append(e.Way.Hops, Hop{})[0].NIC; nic != c.nic {
				t.Errorf("leaves by %q, want %q", nic, c.nic)
			}
			if diff := gocmp.Diff(c.want, reasons(e)); diff != "" {
				t.Errorf("what is wrong (-want +got):\n%s\n%s", diff, explained(e))
			}
		})
	}
}

// TestExplainFindingsWithoutDaemon: what the kernel shows is enough to tell a wrong way.
func TestExplainFindingsWithoutDaemon(t *testing.T) {
	s := twoENIs(Packet{Src: ip("10.0.1.33"), Dst: ip("8.8.8.8"), IIF: "br0"})
	s.enis = nil
	s.links[1].Kind, s.links[2].Kind = "veth", "veth" // their link group alone says that they are ENIs'
	s.foreign(anybodys(Rule{Priority: 10, Proto: 3, Table: MainTable}))
	e := s.answered()
	if diff := gocmp.Diff([]string{"wrong-nic", "foreign-rule"}, reasons(e)); diff != "" {
		t.Errorf("what is wrong (-want +got):\n%s", diff)
	}
	if name := s.tableName(20001); name != "20001 (the ENI of eth1)" {
		t.Errorf("table 20001 is called %q", name)
	}
}

// TestExplainPassed: each selector gives its reason.
func TestExplainPassed(t *testing.T) {
	local := flow{src: ip("10.0.1.5"), dst: ip("8.8.8.8"), iif: "lo", mark: 4, uid: 7}
	forwarded := local
	forwarded.iif, forwarded.uid = "eth1", 0
	unbound := local
	unbound.src = netip.Addr{}
	for _, c := range []struct {
		rule hostRule
		flow flow
		want string
	}{
		{hostRule{}, local, ""},
		{hostRule{from: pfx("10.0.1.0/24"), to: pfx("8.0.0.0/8"), iif: "lo", mark: 4, mask: 0xf, uids: Span{7, 8}}, local, ""},
		{hostRule{from: pfx("10.0.2.0/24")}, local, "from is 10.0.2.0/24, not 10.0.1.5"},
		{hostRule{from: pfx("10.0.2.0/24")}, unbound, "from is 10.0.2.0/24, the socket has no source"},
		{hostRule{from: pfx("0.0.0.0/1")}, unbound, ""},
		{hostRule{from: pfx("::/3")}, flow{dst: ip("2400::1"), iif: "lo"}, "from is ::/3, the socket has no source"},
		{hostRule{to: pfx("9.9.9.9/32")}, local, "to is 9.9.9.9/32, not 8.8.8.8"},
		{hostRule{iif: "lo"}, forwarded, "iif is lo, the packet is forwarded"},
		{hostRule{iif: "eth1"}, local, "iif is eth1, the packet is made on this host"},
		{hostRule{iif: "eth2"}, forwarded, "iif is eth2, not eth1"},
		{hostRule{oif: "eth1"}, local, "oif is eth1, the packet is bound to no NIC"},
		{hostRule{mark: 1, mask: 0xff}, local, "fwmark is 0x1/0xff, not 0x4"},
		{hostRule{uids: Span{8, 10}}, local, "uidrange is 8-9, not 7"},
		{hostRule{l3mdev: true}, local, "the packet belongs to no VRF"},
		{hostRule{narrow: []selector{{text: "ipproto tcp", kind: byTraffic}}}, local, "ipproto tcp: for this traffic alone"},
		{hostRule{narrow: []selector{{text: "tos 0x10", kind: byClass}}}, local, "tos 0x10: the packet has none"},
		{hostRule{narrow: []selector{{text: "dscp 0", fits: true, kind: byClass}}}, local, ""},
		{hostRule{narrow: []selector{{text: "attribute 99", kind: unknown}}}, local, "attribute 99: not known to this enid, taken for a mismatch"},
		{hostRule{invert: true}, local, "it says not, and everything that it says fits"},
		{hostRule{invert: true, from: pfx("10.0.2.0/24")}, local, ""},
	} {
		c.rule.suppressPrefix, c.rule.suppressGroup = -1, -1
		s := sight{}
		matched, why := s.matches(c.rule, c.flow)
		if why != c.want || matched != (c.want == "") {
			t.Errorf("%s: matched %t, %q; want %q", c.rule, matched, why, c.want)
		}
	}
}

// TestExplainVRF: a NIC in a VRF is looked up in its table, and a rule for the VRF is one for its NICs.
func TestExplainVRF(t *testing.T) {
	s := twoENIs(Packet{Src: ip("8.8.8.8"), Dst: ip("9.9.9.9"), IIF: "br0"})
	s.vrfs = map[string]int{"blue": 77}
	s.links = append(s.links, Link{Index: 9, Name: "blue", Kind: "vrf"})
	s.links[3].Master = 9
	s.add(route(77, "9.0.0.0/8", "10.0.0.9", "eth0"))
	s.foreign(hostRule{priority: 1000, l3mdev: true, action: actionTable, suppressPrefix: -1, suppressGroup: -1})
	if e := s.answered(); e.Way.Table != 77 || e.Way.Rule != 1000 {
		t.Errorf("way %+v, want table 77 by rule 1000", e.Way)
	}
	s.rules[1].l3mdev, s.rules[1].iif, s.rules[1].table = false, "blue", 77
	if e := s.answered(); e.Way.Table != 77 {
		t.Errorf("way %+v, want table 77", e.Way)
	}
}
