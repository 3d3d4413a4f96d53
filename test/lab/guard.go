package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// guardTable is the fabric's firewall. Every frame that enters a bridge goes to the chain of its
// port, which either accepts it or lets it go on to "spoofed", where the evidence is kept
// and the frame ends. A port without a chain gets nothing through.
const guardTable = `
table bridge lab {
	map ports { type ifname : verdict; }
	set spoof4 { type ifname . ether_addr . ipv4_addr . ipv4_addr; size 65536; flags dynamic; counter; }
	set spoof6 { type ifname . ether_addr . ipv6_addr . ipv6_addr; size 65536; flags dynamic; counter; }
	set spoofarp { type ifname . ether_addr . ether_addr . ipv4_addr . ipv4_addr; size 65536; flags dynamic; counter; }
	set spoofother { type ifname . ether_addr . ether_type; size 65536; flags dynamic; counter; }
	counter spoofs {}
	chain spoofed {
		ether type ip add @spoof4 { iifname . ether saddr . ip saddr . ip daddr }
		ether type ip6 add @spoof6 { iifname . ether saddr . ip6 saddr . ip6 daddr }
		ether type arp add @spoofarp { iifname . ether saddr . arp saddr ether . arp saddr ip . arp daddr ip }
		ether type != { ip, ip6, arp } add @spoofother { iifname . ether saddr . ether type }
		counter name spoofs drop
	}
	chain entry {
		type filter hook prerouting priority -300; policy drop;
		iifname vmap @ports
		goto spoofed
	}
}
`

// guardReset forgets the evidence.
const guardReset = `
flush set bridge lab spoof4
flush set bridge lab spoof6
flush set bridge lab spoofarp
flush set bridge lab spoofother
reset counters bridge
`

// nft runs a script in the fabric as one transaction.
func (l *Lab) nft(script string) error {
	_, err := l.fabric.runInput(context.Background(), script, "nft", "-f", "-")
	return err
}

func guardAdd(p port) string {
	return fmt.Sprintf("add chain bridge lab %[1]s\n%[2]sadd element bridge lab ports { %[1]q : goto %[1]s }\n", p.name, guardRules(p))
}

func guardSet(p port) string {
	return fmt.Sprintf("flush chain bridge lab %s\n%s", p.name, guardRules(p))
}

func guardDel(p port) string {
	return fmt.Sprintf("delete element bridge lab ports { %[1]q }\nflush chain bridge lab %[1]s\ndelete chain bridge lab %[1]s\n", p.name)
}

// guardRules say what a port may send. The raw expressions are fields of neighbour
// discovery that nft 1.0.6 has no names for: the target (RFC 4861, 4.4) and the
// first option, a link-layer address.
func guardRules(p port) string {
	mac := p.nic.MAC.String()
	bare := fmt.Sprintf("0x%x", p.nic.MAC[:])
	v4, v6 := sources(p.nic.Allowed)
	// A tag would hide what is behind it from the bridge, not from the rules below.
	rules := []string{"ether saddr != " + mac + " goto spoofed", "ether type { 8021q, 8021ad } goto spoofed"}
	if len(v4) > 0 {
		own := join(v4, netip.Prefix.String)
		rules = append(rules,
			"ip saddr { "+own+" } accept",
			"arp htype 1 arp saddr ether "+mac+" arp saddr ip { "+own+" } accept")
	}
	rules = append(rules,
		// Address probes, group membership and questions to DHCP servers come from nobody.
		"arp htype 1 arp operation request arp saddr ether "+mac+" arp saddr ip 0.0.0.0 accept",
		"ip saddr 0.0.0.0 ip daddr 224.0.0.0/4 accept",
		"ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
		"icmpv6 type nd-router-advert goto spoofed",
		"icmpv6 type nd-neighbor-solicit @th,192,16 0x0101 @th,208,48 != "+bare+" goto spoofed",
		"icmpv6 type nd-neighbor-advert @th,192,16 0x0201 @th,208,48 != "+bare+" goto spoofed",
		"icmpv6 type nd-neighbor-advert @th,64,128 != { "+join(v6, hexRange)+" } goto spoofed",
		"ip6 saddr { "+join(v6, netip.Prefix.String)+" } accept",
		"ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } accept",
		"goto spoofed")
	var script strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&script, "add rule bridge lab %s %s\n", p.name, r)
	}
	return script.String()
}

// sources parts the allowed prefixes by family, IPv6 with the link-local ones, and
// leaves out what another one contains, which nft takes for a conflict.
func sources(allowed []netip.Prefix) (v4, v6 []netip.Prefix) {
	all := append([]netip.Prefix{netip.MustParsePrefix("fe80::/10")}, allowed...)
	for i, p := range all {
		p = p.Masked()
		switch {
		case contained(p, i, all):
		case p.Addr().Is4():
			v4 = append(v4, p)
		default:
			v6 = append(v6, p)
		}
	}
	return v4, v6
}

// contained reports whether all has a wider prefix than its own p at i, or an equal one before it.
func contained(p netip.Prefix, i int, all []netip.Prefix) bool {
	for j, q := range all {
		if q.Overlaps(p) && (q.Bits() < p.Bits() || q.Bits() == p.Bits() && j < i) {
			return true
		}
	}
	return false
}

func hexRange(p netip.Prefix) string {
	if p.IsSingleIP() {
		return fmt.Sprintf("0x%x", p.Addr().AsSlice())
	}
	return fmt.Sprintf("0x%x-0x%x", p.Addr().AsSlice(), lastHost(p).AsSlice())
}

func join(prefixes []netip.Prefix, form func(netip.Prefix) string) string {
	var words []string
	for _, p := range prefixes {
		words = append(words, form(p))
	}
	return strings.Join(words, ", ")
}
