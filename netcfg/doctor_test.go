package netcfg

import (
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"enid/metadata"
)

// healthy is a checkup of a host with a primary, one ENI and nothing to complain about.
func healthy() ill {
	eth0, eth1 := Link{Index: 2, Name: "eth0", MAC: metadata.MAC{2, 0, 0, 0, 0, 1}}, Link{Index: 3, Name: "eth1", MAC: metadata.MAC{2, 0, 0, 0, 0, 2}}
	return ill{
		Checkup: Checkup{
			Scope: Scope{Numbers: DefaultNumbers, Protos: []int{225}, MACs: map[metadata.MAC]bool{eth0.MAC: true, eth1.MAC: true}},
			Seen: Observation{Host: Host{
				Links:    []Link{eth0, eth1},
				Routes:   []Route{{Table: MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.1"), Link: 2, Metric: 100, Proto: 16}},
				Firewall: Firewall{Backend: "nf_tables"},
			}},
			Target: Target{ReturnPath: map[Family]bool{}, ENIs: []Outcome{
				{Slot: Primary, Link: eth0, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.5")}},
				{Slot: 1, Link: eth1, Addrs: []netip.Addr{netip.MustParseAddr("10.0.1.5")}},
			}},
			ReturnPath: Auto,
		},
		rules: map[Family][]hostRule{V4: {
			{priority: 0, table: LocalTable, action: actionTable, proto: 2, suppressPrefix: -1, suppressGroup: -1},
			{priority: 20100, from: netip.MustParsePrefix("10.0.1.0/24"), iif: "lo", action: actionGoto, gotoPriority: 33010, proto: 225, suppressPrefix: -1, suppressGroup: -1},
			{priority: 32766, table: MainTable, action: actionTable, proto: 2, suppressPrefix: -1, suppressGroup: -1},
		}},
		strict: map[int]bool{},
	}
}

// foreign is a rule of somebody else's.
func (s *ill) foreign(priority int, change func(*hostRule)) {
	r := hostRule{priority: priority, table: 99, action: actionTable, proto: 3, suppressPrefix: -1, suppressGroup: -1}
	change(&r)
	s.rules[V4] = append(s.rules[V4], r)
}

func TestDiagnose(t *testing.T) {
	from := func(p string) func(*hostRule) { return func(r *hostRule) { r.from = netip.MustParsePrefix(p) } }
	for name, tt := range map[string]struct {
		spoil func(*ill)
		want  []string // severity and check
	}{
		"healthy":                    {func(*ill) {}, nil},
		"a rule among the selectors": {func(s *ill) { s.foreign(20150, from("192.0.2.0/24")) }, []string{"warning priority-overlap"}},
		"a rule among the blocks":    {func(s *ill) { s.foreign(33011, from("192.0.2.0/24")) }, []string{"error priority-overlap"}},
		"others elsewhere":           {func(s *ill) { s.foreign(5270, func(r *hostRule) { r.table = 52 }) }, nil},
		"ec2-net-utils":              {func(s *ill) { s.foreign(10001, from("10.0.1.5/32")) }, []string{"error another-agent"}},
		"cloud-init, the subnet":     {func(s *ill) { s.foreign(100, from("10.0.1.0/24")) }, []string{"error another-agent"}},
		"main for the primary":       {func(s *ill) { s.foreign(100, func(r *hostRule) { from("10.0.0.5/32")(r); r.table = MainTable }) }, nil},
		"behind enid's":              {func(s *ill) { s.foreign(30200, from("10.0.1.5/32")) }, nil},
		"routes in our tables": {func(s *ill) {
			s.tables = []foundRoute{{Route: Route{Table: 20001, Dst: netip.MustParsePrefix("192.0.2.0/24"), Link: 2, Proto: 4}}, {Route: Route{Table: 20002, Proto: 225}}}
		}, []string{"error table-overlap"}},
		"our protocol number elsewhere": {func(s *ill) { s.foreign(100, func(r *hostRule) { r.proto = 225 }) }, []string{"error protocol-taken"}},
		"a DHCP default that wins": {func(s *ill) {
			s.defaults = []foundRoute{{Route: Route{Table: MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 3, Proto: 16, Metric: 50}}}
		}, []string{"error default-route"}},
		"a DHCP default that waits": {func(s *ill) {
			s.defaults = []foundRoute{{Route: Route{Table: MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 3, Proto: 16, Metric: 200}}}
		}, []string{"warning default-route"}},
		"two NICs with one MAC": {func(s *ill) {
			s.Seen.Host.Links = append(s.Seen.Host.Links, Link{Index: 9, Name: "copy", MAC: s.Seen.Host.Links[1].MAC})
		}, []string{"error ambiguous-mac"}},
		"no iptables, not needed": {func(s *ill) { s.Seen.Host.Firewall = Firewall{Missing: "no program iptables"} }, []string{"warning iptables-missing"}},
		"no iptables, and forwards": {func(s *ill) {
			s.Seen.Host.Firewall, s.Seen.Host.Forwards = Firewall{Missing: "no program iptables"}, map[Family]bool{V4: true}
		}, []string{"error iptables-missing"}},
		"marks of others":           {func(s *ill) { s.Seen.Host.Firewall.Conflict = "somebody has them" }, []string{"error mark-collision"}},
		"forwards, return path off": {func(s *ill) { s.Seen.Host.Forwards, s.ReturnPath = map[Family]bool{V4: true}, Off }, []string{"warning forwarding-without-return-path"}},
		"strict":                    {func(s *ill) { s.strict[3] = true }, []string{"warning rp-filter-strict"}},
		"strict, enid sees to it":   {func(s *ill) { s.strict[3], s.Target.ReturnPath[V4] = true, true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			tt.spoil(&s)
			var got []string
			for _, f := range s.diagnose() {
				got = append(got, string(f.Severity)+" "+f.Check)
				if f.Evidence == "" || f.Remedy == "" {
					t.Errorf("not whole: %+v", f)
				}
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
