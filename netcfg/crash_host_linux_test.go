package netcfg

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// snapshot is all that the kernel shows, whoever put it there, or what is not ours of it.
type snapshot struct {
	Addrs    []Addr
	Routes   []foundRoute
	Rules    []Rule
	Settings []Setting
	Links    []Link
}

func (h *host) snapshot(foreignOnly bool) (s snapshot) {
	h.Helper()
	links, err := h.conn.links()
	h.must(err)
	addrs, err := h.conn.addrs()
	h.must(err)
	for _, a := range addrs {
		if !a.passing {
			s.Addrs = append(s.Addrs, a.Addr)
		}
	}
	for _, l := range links {
		for _, name := range Knobs {
			v, ok, err := knob(l, name)
			h.must(err)
			if ok {
				s.Settings = append(s.Settings, Setting{l.Index, name, v})
			}
		}
	}
	for _, f := range []Family{V4, V6} {
		rules, _, err := h.conn.rules(f, func(p int) bool { return p != testProto || !foreignOnly })
		h.must(err)
		s.Rules = append(s.Rules, rules...)
		routes, err := h.conn.allRoutes(routeFilter{family: f})
		h.must(err)
		for _, r := range routes {
			if r.Proto == unix.RTPROT_KERNEL || r.Proto == testProto && foreignOnly {
				continue
			}
			s.Routes = append(s.Routes, r)
		}
	}
	if !foreignOnly {
		s.Links = links
	}
	return s
}

// crashHost has a primary NIC with its address and default route, three bare NICs, and
// foreign objects in every place where ours go.
func crashHost(t *testing.T) (h *host, theirs []Addr) {
	h = newHost(t)
	eth0 := h.plugUp("eth0", 0)
	for last := byte(1); last <= 3; last++ {
		h.plug(fmt.Sprintf("eth%d", last), last)
	}
	eth1 := h.link("eth1")
	h.must(h.conn.setLink(Setting{eth1.Index, LinkUp, "1"})) // of others, so that it stays
	theirs = []Addr{{eth0.Index, pfx("10.0.0.5/24")}, {eth0.Index, pfx("2001:db8:0::5/64")}, {eth1.Index, pfx("192.0.2.9/32")}}
	for _, a := range theirs {
		h.must(h.conn.setAddr(Add, a))
	}
	for _, r := range []Route{
		{Table: MainTable, Dst: pfx("0.0.0.0/0"), Via: ip("10.0.0.1"), Link: eth0.Index, Proto: 16},
		{Table: MainTable, Dst: pfx("::/0"), Via: ip("2001:db8:0::1"), Link: eth0.Index, Metric: 1024, Proto: 16},
		{Table: MainTable, Dst: pfx("192.168.7.0/24"), Via: ip("10.0.1.9"), Link: eth1.Index, Proto: 4},
		{Table: 20001, Dst: pfx("203.0.113.0/24"), Link: eth0.Index, Proto: 4},
		{Table: 20900, Dst: pfx("203.0.113.0/24"), Proto: 4},
	} {
		h.must(h.conn.setRoute(Add, r))
	}
	for _, r := range []Rule{
		{Family: V4, Priority: 20100, From: pfx("203.0.113.0/24"), Table: 7, Proto: 4},
		{Family: V4, Priority: 33011, From: pfx("203.0.113.0/24"), Table: 20001, Proto: 3},
		{Family: V6, Priority: 32768, Mark: 9, Mask: 9, Unreachable: true, Proto: 4},
	} {
		h.must(h.conn.setRule(Add, r))
	}
	h.must(h.conn.setLink(Setting{h.link("eth3").Index, LinkGroup, "7"}))
	return h, theirs
}

// reaches fails unless every address is on its NIC and sends through it.
func (h *host) reaches(stay map[netip.Addr]int, when string) {
	h.Helper()
	for a, nic := range stay {
		dst := ip("198.51.100.7")
		if a.Is6() {
			dst = ip("2001:db8:ffff::7")
		}
		routes, err := netlink.RouteGetWithOptions(dst.AsSlice(), &netlink.RouteGetOptions{SrcAddr: a.AsSlice()})
		if err != nil || len(routes) != 1 || routes[0].LinkIndex != nic {
			h.Errorf("%s: %s, which stays on NIC %d, cannot send: %v %v", when, a, nic, routes, err)
		}
	}
}
