package netcfg

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// everything is one of each kind of object that Desired makes, on a NIC.
func everything(nic int) State {
	rule := func(f Family, r Rule) Rule {
		r.Family, r.Proto = f, testProto
		return r
	}
	s := State{
		Addrs: []Addr{{nic, pfx("10.0.1.5/24")}, {nic, pfx("10.0.1.6/32")}, {nic, pfx("2001:db8:1::5/64")}, {nic, pfx("2001:db8:1::6/128")}},
		Routes: []Route{
			{Table: 20001, Dst: pfx("10.0.1.0/24"), Link: nic},
			{Table: 20001, Dst: pfx("0.0.0.0/0"), Via: ip("10.0.1.1"), Link: nic},
			{Table: 20001, Dst: pfx("10.9.0.0/16"), Metric: 50, Via: ip("10.0.1.9"), Link: nic},
			{Table: 20900, Dst: pfx("10.0.1.0/24")},
			{Table: MainTable, Dst: pfx("10.0.1.0/24"), Metric: 7, Link: nic},
			{Table: 20001, Dst: pfx("2001:db8:1::/64"), Metric: 1024, Link: nic},
			{Table: 20001, Dst: pfx("::/0"), Metric: 1024, Via: ip("2001:db8:1::1"), Link: nic},
			{Table: 20001, Dst: pfx("fe80::/64"), Metric: 1024, Link: nic},
			{Table: 20900, Dst: pfx("2001:db8:1::/64"), Metric: 1024},
			{Table: 20900, Dst: pfx("::/0"), Metric: 9000},
		},
	}
	for i := range s.Routes {
		s.Routes[i].Proto = testProto
	}
	for _, f := range []Family{V4, V6} {
		from, to := pfx("10.0.1.0/24"), pfx("192.0.2.0/24")
		if f == V6 {
			from, to = pfx("2001:db8:1::/64"), pfx("2001:db8:2::/48")
		}
		s.Rules = append(s.Rules,
			rule(f, Rule{Priority: 20000, Mark: 0x02000000, Mask: 0x7f00ff00, Goto: 33010}),
			rule(f, Rule{Priority: 20001, Mask: 0x7f00ff00, Goto: 33010}),
			rule(f, Rule{Priority: 20010, From: netip.PrefixFrom(from.Addr(), from.Addr().BitLen()), Goto: 33010}),
			rule(f, Rule{Priority: 20099, Invert: true, IIF: "lo", Goto: 20308}),
			rule(f, Rule{Priority: 20100, From: from, IIF: "lo", Goto: 32800}),
			rule(f, Rule{Priority: 20200, From: from, IIF: "lo", Table: MainTable, SuppressPrefix: 1, SuppressGroup: 225}),
			rule(f, Rule{Priority: 20201, From: from, To: to, Table: 20000}),
			rule(f, Rule{Priority: 20300, OIF: "eth1", Goto: 33010}),
			rule(f, Rule{Priority: 20308, Nop: true}),
			rule(f, Rule{Priority: 20310, UIDs: Span{0, 1}, IPProto: 6, Ports: Span{80, 8001}, Goto: 33010}),
			rule(f, Rule{Priority: 32768, Unreachable: true}),
			rule(f, Rule{Priority: 33010, Table: MainTable, SuppressPrefix: 4}),
			rule(f, Rule{Priority: 33011, Table: 20001, SuppressGroup: 9}),
			rule(f, Rule{Priority: 33012, Unreachable: true}))
	}
	for _, k := range Knobs {
		value := map[Knob]string{LinkGroup: "225", LinkMTU: "1400", ARPIgnore: "1", ARPAnnounce: "2", RPFilter: "2", AcceptRA: "0", Promote: "1", LinkUp: "1"}[k]
		s.Settings = append(s.Settings, Setting{nic, k, value})
	}
	return s
}

// objects in an order in which they can be added.
func (s State) objects() (all []Object) {
	for _, x := range s.Settings {
		all = append(all, x)
	}
	for _, x := range s.Routes {
		all = append(all, x)
	}
	for _, x := range s.Rules {
		all = append(all, x)
	}
	for _, x := range s.Addrs {
		all = append(all, x)
	}
	return all
}

func (s State) addOps() (all []Op) {
	for _, o := range s.objects() {
		verb := Add
		if _, setting := o.(Setting); setting {
			verb = Set
		}
		all = append(all, Op{Verb: verb, Object: o, Dev: "eth1"})
	}
	return all
}

func (s State) delOps() (all []Op) {
	for _, op := range slices.Backward(s.addOps()) {
		op.Verb = map[Verb]Verb{Add: Del, Set: Restore}[op.Verb]
		all = append(all, op)
	}
	return all
}

// sortedState is a State in an order of its own, rules excepted: theirs is the kernel's.
func sortedState(s State) State {
	slices.SortFunc(s.Addrs, func(a, b Addr) int { return a.Prefix.Compare(b.Prefix) })
	slices.SortFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), a.Dst.Compare(b.Dst), cmp.Compare(a.Metric, b.Metric))
	})
	return s
}

func (h *host) wantOwn(s Scope, want State) {
	h.Helper()
	if diff := gocmp.Diff(sortedState(want), sortedState(h.see(s).Own), equate); diff != "" {
		h.Errorf("ours (-want +got):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	h := newHost(t)
	nic := h.plug("eth1", 1)
	before := h.see(h.scope(20001, 20900))
	want := everything(nic.Index)
	h.apply(want.addOps()...)
	for _, full := range []bool{false, true} {
		s := h.scope(20001, 20900)
		s.Full = full
		h.wantOwn(s, want)
	}
	h.apply(want.delOps()...)
	after := h.see(h.scope(20001, 20900))
	if diff := gocmp.Diff(before, after, equate); diff != "" {
		t.Errorf("the host before and after (-before +after):\n%s", diff)
	}
}

// TestRuleProperty: what a rule says is what the kernel says of it, and deleting it is exact.
func TestRuleProperty(t *testing.T) {
	h := newHost(t)
	optional := func(r *rapid.T, p netip.Prefix) netip.Prefix {
		if rapid.Bool().Draw(r, "any") {
			return netip.Prefix{}
		}
		return netip.PrefixFrom(p.Addr(), rapid.IntRange(1, p.Addr().BitLen()).Draw(r, "bits")).Masked()
	}
	rapid.Check(t, func(r *rapid.T) {
		want := Rule{Family: V4, Proto: rapid.IntRange(5, 255).Draw(r, "proto"), Priority: rapid.IntRange(1, 1<<31-1).Draw(r, "priority"),
			IIF: rapid.SampledFrom([]string{"", "lo", "eth9"}).Draw(r, "iif"), OIF: rapid.SampledFrom([]string{"", "eth8"}).Draw(r, "oif")}
		base := pfx("255.255.255.255/32")
		if rapid.Bool().Draw(r, "v6") {
			want.Family, base = V6, pfx("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
		}
		want.From, want.To = optional(r, base), optional(r, base)
		if rapid.Bool().Draw(r, "marked") {
			want.Mask = rapid.Uint32Min(1).Draw(r, "mask")
			want.Mark = rapid.Uint32().Draw(r, "mark")
		}
		want.Invert = rapid.Bool().Draw(r, "not")
		if rapid.Bool().Draw(r, "users") { // of those that there are in every user namespace
			want.UIDs = Span{0, 1}
		}
		if rapid.Bool().Draw(r, "ports") {
			first := rapid.Uint32Range(1, 65000).Draw(r, "first port")
			want.IPProto, want.Ports = rapid.SampledFrom([]uint8{6, 17, 132}).Draw(r, "protocol"), Span{first, first + rapid.Uint32Range(1, 500).Draw(r, "ports")}
		}
		switch rapid.IntRange(0, 3).Draw(r, "action") {
		case 0:
			want.Unreachable = true
		case 3:
			want.Nop = true
		case 1:
			if want.Priority == 1<<31-1 {
				want.Priority--
			}
			want.Goto = rapid.IntRange(want.Priority+1, 1<<31-1).Draw(r, "goto")
		default:
			want.Table = rapid.IntRange(1, 1<<31-1).Draw(r, "table")
			want.SuppressPrefix = rapid.IntRange(0, 128).Draw(r, "prefix")
			want.SuppressGroup = uint32(rapid.IntRange(0, 1<<31-1).Draw(r, "group"))
		}
		defer func() { // for the shorter cases that follow a failure
			for h.conn.setRule(Del, want) == nil {
			}
		}()
		for _, step := range []struct {
			verb Verb
			want []Rule
		}{{Add, []Rule{want}}, {Append, []Rule{want, want}}, {Del, []Rule{want}}, {Del, nil}} {
			if err := h.conn.setRule(step.verb, want); err != nil {
				r.Fatalf("%s: %v", Op{Verb: step.verb, Object: want}, err)
			}
			got, _, err := h.conn.rules(want.Family, func(p int) bool { return p == want.Proto && p != unix.RTPROT_KERNEL })
			if err != nil {
				r.Fatal(err)
			}
			if diff := gocmp.Diff(step.want, got, equate); diff != "" {
				r.Fatalf("%v (-want +got):\n%s", step.verb, diff)
			}
		}
	})
}

// TestForeign: what others have at our numbers is neither ours nor touched.
func TestForeign(t *testing.T) {
	h := newHost(t)
	nic := h.plugUp("eth1", 1)
	// The kernel takes a NIC's IPv4 routes away with its last IPv4 address, whosever they are.
	h.must(h.conn.setAddr(Add, Addr{nic.Index, pfx("192.0.2.1/32")}))
	foreign := everything(nic.Index)
	for i := range foreign.Routes {
		foreign.Routes[i].Proto = 4
		foreign.Routes[i].Metric += 100
		h.must(h.conn.setRoute(Add, foreign.Routes[i]))
	}
	for i := range foreign.Rules {
		foreign.Rules[i].Proto = 4
		h.must(h.conn.setRule(Add, foreign.Rules[i]))
	}
	// A rule of our number that says more than ours ever do.
	more := netlink.NewRule()
	more.Family, more.Priority, more.Table, more.Protocol = netlink.FAMILY_V4, 20100, 77, testProto
	more.Sport = netlink.NewRulePortRange(7, 7)
	h.must(netlink.RuleAdd(more))

	all := h.foreign()
	own := everything(nic.Index)
	own.Settings = nil
	h.apply(own.addOps()...)
	h.wantOwn(h.scope(20001, 20900), own)
	h.apply(own.delOps()...)
	h.wantOwn(h.scope(20001, 20900), State{})
	h.apply(own.delOps()...) // nothing of ours is left that could be meant
	if diff := gocmp.Diff(all, h.foreign(), equate); diff != "" {
		t.Errorf("others' (-before +after):\n%s", diff)
	}
}

// foreign is every route and rule of the host but the kernel's own, as text of the library's.
func (h *host) foreign() (all []string) {
	h.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		h.must(err)
		for _, r := range routes {
			if r.Protocol != unix.RTPROT_KERNEL { // these come late, when a veth has its carrier
				all = append(all, r.String())
			}
		}
		rules, err := netlink.RuleList(family)
		h.must(err)
		for _, r := range rules {
			all = append(all, r.String())
		}
	}
	return all
}

func TestHost(t *testing.T) {
	h := newHost(t)
	eth1, eth2 := h.plugUp("eth1", 1), h.plugUp("eth2", 2)
	delete(h.macs, eth2.MAC)
	h.must(h.conn.setAddr(Add, Addr{eth1.Index, pfx("10.0.1.5/24")}))
	h.must(h.conn.setAddr(Add, Addr{eth2.Index, pfx("10.0.2.5/24")}))
	for _, r := range []Route{
		{Table: MainTable, Dst: pfx("0.0.0.0/0"), Via: ip("10.0.1.1"), Link: eth1.Index, Proto: unix.RTPROT_DHCP, Metric: 100},
		{Table: MainTable, Dst: pfx("198.51.100.0/24"), Via: ip("10.0.2.1"), Link: eth2.Index, Proto: unix.RTPROT_STATIC},
		{Table: MainTable, Dst: pfx("2001:db8:9::/48"), Link: eth1.Index, Proto: unix.RTPROT_STATIC, Metric: 1024},
		{Table: MainTable, Dst: pfx("::/0"), Via: ip("fe80::1"), Link: eth1.Index, Proto: unix.RTPROT_RA, Metric: 1024},
		{Table: 77, Dst: pfx("198.51.100.0/24"), Link: eth1.Index, Proto: unix.RTPROT_STATIC},
	} {
		h.must(h.conn.setRoute(Add, r))
	}
	twoWays := &netlink.Route{Dst: &net4, MultiPath: []*netlink.NexthopInfo{{LinkIndex: eth1.Index}, {LinkIndex: eth2.Index}}}
	h.must(netlink.RouteAdd(twoWays))

	got := h.see(h.scope()).Host
	want := Host{
		Links: got.Links,
		Addrs: []Addr{{eth1.Index, pfx("10.0.1.5/24")}, {eth2.Index, pfx("10.0.2.5/24")}},
		Routes: []Route{
			{Table: MainTable, Dst: pfx("0.0.0.0/0"), Via: ip("10.0.1.1"), Link: eth1.Index, Proto: unix.RTPROT_DHCP, Metric: 100},
			{Table: MainTable, Dst: pfx("2001:db8:9::/48"), Link: eth1.Index, Proto: unix.RTPROT_STATIC, Metric: 1024},
		},
		RADefaults: []Route{{Table: MainTable, Dst: pfx("::/0"), Via: ip("fe80::1"), Link: eth1.Index, Proto: unix.RTPROT_RA, Metric: 1024}},
		Settings: []Setting{{eth1.Index, LinkGroup, "0"}, {eth1.Index, LinkMTU, "1500"}, {eth1.Index, ARPIgnore, "0"},
			{eth1.Index, ARPAnnounce, "0"}, {eth1.Index, RPFilter, "0"}, {eth1.Index, AcceptRA, "1"}, {eth1.Index, Promote, "0"}, {eth1.Index, LinkUp, "1"}},
		Forwards: map[Family]bool{V4: false, V6: false}, StrictAll: "0", RulesAmong: map[Family][]int{},
	}
	if diff := gocmp.Diff(want, got, equate); diff != "" {
		t.Errorf("host (-want +got):\n%s", diff)
	}
	if len(got.Links) != 5 || got.Links[0].Name != "lo" {
		t.Errorf("links: %+v", got.Links)
	}
	link := eth1
	link.Up = true
	if i := slices.Index(got.Links, link); i < 0 || link.Kind != "veth" || link.MTU != 1500 {
		t.Errorf("%+v is not among %+v", link, got.Links)
	}
}

var net4 = net.IPNet{IP: net.IPv4(203, 0, 113, 0), Mask: net.CIDRMask(24, 32)}
