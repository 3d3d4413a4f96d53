package netcfg

import (
	"net/netip"

	"enid/metadata"
)

// Family is an address family: V4 or V6.
type Family uint8

// The two families, in the order in which they are worked on.
const (
	V4 Family = 4
	V6 Family = 6
)

// FamilyOf is the family of an address; an IPv4-mapped address is not used here.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return V4
	}
	return V6
}

// Slot is the small number that an ENI keeps for as long as it is attached,
// across restarts and reboots. Its table, block and mark follow from it.
type Slot int

// Primary is the primary ENI's slot; NoSlot marks what belongs to no ENI in
// particular (the wall).
const (
	Primary Slot = 0
	NoSlot  Slot = -1
)

// Link is a network interface of this namespace, as far as enid looks at it.
type Link struct {
	Index  int
	Name   string
	MAC    metadata.MAC // permanent address where the kernel knows one, else the current one
	Kind   string       // IFLA_INFO_KIND: "" for hardware, else veth, bridge, vlan, macvlan, …
	Master int          // ifindex of the bridge, bond or team that it is a port of, 0 for none
	Up     bool         // administratively
	Group  uint32
	MTU    int
	NoIPv6 bool // IPv6 is switched off for it, or on the whole host; told of the scope's NICs
}

// Addr is an address on a NIC. Prefix holds the address itself and the length
// it is configured with.
type Addr struct {
	Link   int // ifindex
	Prefix netip.Prefix
}

// Route is a route in one table. The zero Via means on link; Link 0 means
// unreachable: no other route without a device is ever ours. Those of LocalTable, and no others, are of type
// local: what is sent to them has arrived.
type Route struct {
	Table  int
	Dst    netip.Prefix // masked; 0.0.0.0/0 and ::/0 are the defaults
	Metric int          // IPv6: 1024 is the kernel's "none given"
	Via    netip.Addr
	Link   int // ifindex
	Proto  int
}

// Unreachable reports whether the route refuses instead of sending.
func (r Route) Unreachable() bool { return r.Link == 0 }

// Local reports whether the route makes its addresses this host's own.
func (r Route) Local() bool { return r.Table == LocalTable }

// effectiveMetric is the metric that the kernel gives a route: IPv6 takes 0 for
// IP6_RT_PRIO_USER.
func (r Route) effectiveMetric() int {
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		return 1024
	}
	return r.Metric
}

// Span is the numbers from First up to, not including, End; the zero Span is all of them.
type Span struct{ First, End uint32 }

// Rule is a policy rule. Exactly one of Table, Goto, Unreachable or Nop is the
// action; zero values of the selectors match everything.
type Rule struct {
	Family   Family
	Priority int
	Proto    int

	From    netip.Prefix
	To      netip.Prefix
	IIF     string
	OIF     string
	Mark    uint32
	Mask    uint32
	Invert  bool  // it is for packets that do not match all of this
	UIDs    Span  // of the process that owns the socket
	IPProto uint8 // the packet's protocol, such as 6 for TCP
	Ports   Span  // destination ports

	Table       int // lookup; 254 is main
	Goto        int // priority of a later rule
	Unreachable bool
	Nop         bool // does nothing: where a goto lands

	SuppressPrefix int    // with Table: ignore routes of this prefix length or shorter; 0 for not
	SuppressGroup  uint32 // with Table: ignore routes through NICs of this link group; 0 for not
}

// key is what the kernel tells two rules apart by: everything but a goto's
// target. It deletes the first rule that agrees in the key, so of two twins only
// the first can be removed.
func (r Rule) key() Rule {
	if r.Goto != 0 {
		r.Goto = 1
	}
	return r
}

// Knob names a setting of a NIC that enid may change, always with a record of the
// value found, which is put back when the NIC is released.
type Knob string

// The knobs. Sysctl knobs are the path below /proc/sys/net with the device
// name replaced by *.
const (
	LinkUp      Knob = "up"    // "0" or "1"
	LinkGroup   Knob = "group" // decimal
	LinkMTU     Knob = "mtu"   // bytes, decimal
	ARPIgnore   Knob = "ipv4/conf/*/arp_ignore"
	ARPAnnounce Knob = "ipv4/conf/*/arp_announce"
	AcceptRA    Knob = "ipv6/conf/*/accept_ra"
	// RPFilter is made loose where it is strict: replies to a container look as if they came in by the wrong NIC.
	RPFilter Knob = "ipv4/conf/*/rp_filter"
	// Promote keeps what others put beside an ENI's primary address, in the same subnet: the
	// kernel takes such addresses for secondary ones and would remove them with it.
	Promote Knob = "ipv4/conf/*/promote_secondaries"
)

// Knobs lists every knob in the order in which they are set: what must hold
// before a NIC comes up stands before LinkUp.
var Knobs = []Knob{LinkGroup, LinkMTU, ARPIgnore, ARPAnnounce, RPFilter, AcceptRA, Promote, LinkUp}

// Setting is a knob of a NIC with a value.
type Setting struct {
	Link  int // ifindex
	Knob  Knob
	Value string
}

// Hook says where a packet meets a chain: a built-in chain of an iptables table.
type Hook struct {
	Table string // "mangle" or "nat"
	Chain string // "PREROUTING", "FORWARD", "OUTPUT" or "POSTROUTING"
}

// The hooks at which enid has a chain of its own.
var (
	MarkIncoming  = Hook{"mangle", "PREROUTING"} // notes the ENI of a connection, and gives replies its mark
	MarkForwarded = Hook{"mangle", "FORWARD"}    // tells the packets of a policy for its SNAT
	MarkLocal     = Hook{"mangle", "OUTPUT"}     // replies and ICMP errors that this host makes for DNAT'd connections
	TranslateOut  = Hook{"nat", "POSTROUTING"}   // the policies' SNAT
	Hooks         = []Hook{MarkIncoming, MarkForwarded, MarkLocal, TranslateOut}
)

// Chain is an iptables chain of ours that is called from a hook. It is named "ENID-", the
// hook's chain, and its generation: "ENID-PREROUTING-0" or "ENID-PREROUTING-1". While packets go
// through one, the other is filled, then called, and the first one goes.
type Chain struct {
	Family Family
	Hook   Hook
	// Rules are its rules, one a line, as iptables -S prints them but without "-A" and the
	// chain's name.
	Rules string
	// Stray says of one observed that it is not whole: nothing calls it, it is called
	// twice, or something of ours from an interrupted change lies beside it. One
	// that is wanted never is.
	Stray bool
}

// State is a set of kernel objects: what is ours there, or what should be.
type State struct {
	Addrs    []Addr
	Routes   []Route
	Rules    []Rule // in the kernel's order where observed
	Settings []Setting
	Chains   []Chain // at most one of each family and hook
}

// Observation is what one look at the kernel shows. Own is what enid added, by
// protocol number and record; Host is everything else that a decision needs and
// that no plan may change.
type Observation struct {
	Own  State
	Host Host
}

// Host is what others own.
type Host struct {
	Links []Link // every link of the namespace
	// Addrs are the foreign addresses of all NICs, link-local and temporary ones left out.
	Addrs []Addr
	// Routes are main's foreign routes through the scope's NICs, the defaults
	// included, the kernel's own (protocol kernel) and router advertisements' left out.
	// They are sorted ByNIC.
	Routes []Route
	// RADefaults are main's IPv6 defaults through the scope's NICs that follow from router advertisements (protocol ra),
	// whoever put them there: the kernel, or a network manager that reads advertisements itself.
	RADefaults []Route
	// Marks are what the kernel says beside an IPv6 address, ours or not, of any NIC; link-local ones left out.
	Marks map[Addr]Mark
	// Local are others' routes of type local in LocalTable to the ranges of Scope.Local, whatever their NIC.
	Local []Route
	// Settings are the present values of all Knobs of the scope's NICs, the ones that
	// enid set included. A knob that the kernel lacks (IPv6 off) is absent.
	Settings []Setting
	// Found are the values that Own.Settings had before enid: what a Restore puts back.
	Found []Setting
	// RulesAmong are, of each family, the priorities of others' rules that stand between
	// enid's selectors.
	RulesAmong map[Family][]int
	// Forwards says of each family whether the host forwards (net.ipv4.ip_forward,
	// net.ipv6.conf.all.forwarding).
	Forwards map[Family]bool
	// StrictAll is net.ipv4.conf.all.rp_filter, which counts for a NIC where it is higher than its own.
	StrictAll string
	// Firewall is what can be said of iptables; zero where Scope.Chains did not ask.
	Firewall Firewall
	// Carried are the slots whose mark a connection still carries. Only slots are
	// asked about whose mark leads to an unreachable rule of ours.
	Carried map[Slot]bool
	// Unannounced says why the addresses that came last were not announced to their subnet; "" where they were.
	Unannounced string
}

// Firewall is the iptables of the host, as far as it concerns enid.
type Firewall struct {
	Backend string // "nf_tables" or "legacy", the one that the host uses; "" where Missing
	// Missing says why there is none to use, with a remedy; "" where there is. Beside a Backend it
	// says why that could not be read now: then the chains are those that were last seen.
	Missing string
	NoIPv6  bool // there is an IPv4 one alone, on a host with IPv6
	// Conflict says which foreign rule uses bits of our connection mark, "" for none.
	Conflict string
}

// Scope says which part of the kernel concerns enid in a pass.
type Scope struct {
	MACs   map[metadata.MAC]bool // NICs to look at
	Tables []int                 // tables of slots in use
	// Protos are the protocol numbers that mark our rules and routes: today's,
	// and those that the record names from earlier settings.
	Protos []int
	// Local are the ranges of which Host.Local is to say whether others have a local route to them.
	Local []netip.Prefix
	// Full reads everything again, whatever the watcher saw: all tables for
	// leftovers of ours, main, and the chains.
	Full bool
	// Chains looks for chains of ours. Without it they are looked for only where the
	// record says that there are some.
	Chains bool
	// Numbers tell what is where: for Carried, Firewall.Conflict and RulesAmong.
	Numbers Numbers
}
