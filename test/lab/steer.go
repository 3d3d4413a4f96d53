package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"enid/metadata"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// detour is the way to a delegated prefix: nobody answers ARP for its addresses, the
// cloud sends them to the ENI.
type detour struct{ prefix, via netip.Prefix }

// detours pairs each delegated prefix with the first address of its family.
func detours(allowed []netip.Prefix) map[detour]bool {
	ways := map[detour]bool{}
	for _, p := range allowed {
		if p.IsSingleIP() {
			continue
		}
		for _, via := range allowed {
			if via.IsSingleIP() && via.Addr().Is4() == p.Addr().Is4() {
				ways[detour{p.Masked(), via}] = true
				break
			}
		}
	}
	return ways
}

// steer makes the subnet's gateway and neighbour send what is for a NIC to where it is
// now. They also forget whose the addresses were: a cloud's fabric does not wait
// for an ARP entry to grow old.
func (l *Lab) steer(s *Subnet, before, after []netip.Prefix) error {
	for _, at := range []struct {
		host *Host
		nic  string
	}{{l.fabric, s.bridge}, {s.Neighbour, "eth0"}} {
		if at.host == nil {
			continue // it is the neighbour that is being plugged in
		}
		link, err := at.host.nl.LinkByName(at.nic)
		if err != nil {
			return fmt.Errorf("find %s in host %s: %w", at.nic, at.host.Name, err)
		}
		index := link.Attrs().Index
		if err := at.host.reroute(index, detours(before), detours(after)); err != nil {
			return err
		}
		for _, changed := range slices.Concat(before, after) {
			if at.host == l.fabric && l.owners[changed.Addr()] != (metadata.MAC{}) {
				continue // it knows
			}
			if err := at.host.forgetNeighbour(index, changed); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Host) reroute(link int, before, after map[detour]bool) error {
	for d := range after {
		if err := h.nl.RouteReplace(d.route(link)); err != nil {
			return fmt.Errorf("route %s via %s in host %s: %w", d.prefix, d.via, h.Name, err)
		}
	}
	for d := range before {
		if after[d] {
			continue
		}
		if err := absent(h.nl.RouteDel(d.route(link))); err != nil {
			return fmt.Errorf("remove route %s via %s in host %s: %w", d.prefix, d.via, h.Name, err)
		}
	}
	return nil
}

func (d detour) route(link int) *netlink.Route {
	return &netlink.Route{Dst: ipNet(d.prefix), Gw: d.via.Addr().AsSlice(), LinkIndex: link, Protocol: unix.RTPROT_STATIC}
}

func (h *Host) forgetNeighbour(link int, a netip.Prefix) error {
	if !a.IsSingleIP() {
		return nil
	}
	if err := absent(h.nl.NeighDel(&netlink.Neigh{LinkIndex: link, IP: a.Addr().AsSlice()})); err != nil {
		return fmt.Errorf("forget neighbour %s in host %s: %w", a.Addr(), h.Name, err)
	}
	return nil
}
