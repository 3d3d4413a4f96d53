package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// SetPublic makes the fabric translate public addresses, by private ones: the host outside reaches a private
// address by its public one, and sees that. It replaces what was set before; connections that are under way
// keep their translation. IPv4 only, as with every cloud that translates.
func (l *Lab) SetPublic(public map[netip.Addr]netip.Addr) error {
	var in, out []string
	for _, private := range slices.SortedFunc(maps.Keys(public), netip.Addr.Compare) {
		in = append(in, fmt.Sprintf("%s : %s", public[private], private))
		out = append(out, fmt.Sprintf("%s : %s", private, public[private]))
		if err := l.routeOutside(public[private]); err != nil {
			return fmt.Errorf("lab: public address %s: %w", public[private], err)
		}
	}
	// The first line makes it exist, so that there is something to delete.
	script := "table ip public {}\ndelete table ip public\n"
	if len(in) > 0 {
		script += fmt.Sprintf(`table ip public {
	chain in { type nat hook prerouting priority dstnat; iifname "out" dnat to ip daddr map { %s }; }
	chain out { type nat hook postrouting priority srcnat; oifname "out" snat to ip saddr map { %s }; }
}
`, strings.Join(in, ", "), strings.Join(out, ", "))
	}
	if err := l.nft(script); err != nil {
		return fmt.Errorf("lab: translate public addresses: %w", err)
	}
	return nil
}

// routeOutside leads the host outside to a public address by the fabric's router.
func (l *Lab) routeOutside(public netip.Addr) error {
	link, err := l.outside.nl.LinkByName("eth0")
	if err != nil {
		return err
	}
	return l.outside.nl.RouteReplace(&netlink.Route{
		Dst: ipNet(netip.PrefixFrom(public, public.BitLen())), Gw: outsideRouter[0].Addr().AsSlice(), LinkIndex: link.Attrs().Index,
	})
}
