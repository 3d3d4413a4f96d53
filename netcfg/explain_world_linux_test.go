package netcfg

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// object is a rule or a route as bytes, so that a test can say what enid never does.
type object struct {
	typ   int
	flags int
	msg   *nl.RtMsg
	attrs []*nl.RtAttr
	text  string
}

func (o object) parts() (parts []nl.NetlinkRequestData) {
	parts = append(parts, o.msg)
	for _, a := range o.attrs {
		parts = append(parts, a)
	}
	return parts
}

func (o *object) attr(typ int, v []byte) {
	o.attrs = append(o.attrs, nl.NewRtAttr(typ, v))
	o.text += fmt.Sprintf(" %d=%x", typ, v)
}

// world is a host on which everything is tried.
type world struct {
	*host
	nics []Link
	uids []uint32 // that this user namespace has
}

var worldTables = []int{100, 101, MainTable}

// newWorld has four NICs: eth1 and eth2 with addresses, eth3 without a carrier, which is then
// ignored, eth4 in a link group of its own and without an IPv4 address.
func newWorld(t *testing.T) *world {
	w := &world{host: newHost(t), uids: []uint32{0}}
	if data, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		var inside, outside, size uint32
		if _, err := fmt.Sscan(string(data), &inside, &outside, &size); err == nil && size > 2000 {
			w.uids = []uint32{0, 1000, 1001}
		}
	}
	for i := range 4 {
		w.nics = append(w.nics, w.plugUp(fmt.Sprintf("eth%d", i+1), byte(i+1)))
	}
	w.must(netlink.LinkSetGroup(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: w.nics[3].Index}}, 7))
	w.sysctl("ipv4/conf/eth3/ignore_routes_with_linkdown", "1")
	w.sysctl("ipv6/conf/eth3/ignore_routes_with_linkdown", "1")
	for i, nic := range w.nics {
		if i < 3 {
			w.must(w.conn.setAddr(Add, Addr{nic.Index, pfx(fmt.Sprintf("10.0.%d.5/24", i+1))}))
		}
		w.must(w.conn.setAddr(Add, Addr{nic.Index, pfx(fmt.Sprintf("2001:db8:%d::5/64", i+1))}))
	}
	for i := range w.nics { // the kernel adds the routes of IPv6 addresses some time after these
		w.awaitLocal(ip(fmt.Sprintf("2001:db8:%d::5", i+1)))
	}
	peer, err := netlink.LinkByName("eth3x")
	w.must(err)
	w.must(netlink.LinkSetDown(peer))
	w.settle("eth3", false)
	w.sysctl("ipv4/conf/all/forwarding", "1")
	w.sysctl("ipv6/conf/all/forwarding", "1")
	return w
}

// awaitLocal waits until an address is one of this host.
func (w *world) awaitLocal(a netip.Addr) {
	w.Helper()
	s := &sight{family: FamilyOf(a), packet: Packet{Src: a, Dst: a}, routes: map[int][]hostRoute{}}
	for s.routes[LocalTable] == nil {
		routes, err := w.conn.hostRoutes(s, LocalTable)
		w.must(err)
		s.routes[LocalTable] = keep(routes, func(r hostRoute) bool { return r.kind == "local" })
		runtime.Gosched()
	}
}

// settle of a NIC without a carrier: the other side is down.
func (w *world) settle(name string, up bool) {
	for {
		l, err := netlink.LinkByName(name)
		w.must(err)
		if (l.Attrs().OperState == netlink.OperUp) == up {
			break
		}
		runtime.Gosched()
	}
	r := Rule{Family: V4, Priority: 1, Table: 7, Proto: 4}
	w.must(w.conn.setRule(Add, r))
	w.must(w.conn.setRule(Del, r))
}

func (w *world) sysctl(path, value string) {
	w.Helper()
	w.must(os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0o644))
}

// addresses that packets have and rules and routes speak of, on this host or not.
var worldAddrs = map[Family][]netip.Addr{
	V4: {ip("10.0.1.5"), ip("10.0.2.5"), ip("10.0.3.5"), ip("10.0.1.77"), ip("10.0.2.77"), ip("10.0.3.77"), ip("10.9.1.1"), ip("10.9.1.2"), ip("10.8.0.1"), ip("8.8.8.8"), ip("200.1.1.1")},
	V6: {ip("2001:db8:1::5"), ip("2001:db8:2::5"), ip("2001:db8:3::5"), ip("2001:db8:1::77"), ip("2001:db8:2::77"), ip("2001:db8:3::77"), ip("2001:db8:9::1"), ip("2001:db8:9::2"), ip("2001:db8:8::1"), ip("2400::1"), ip("3000::1")},
}

// gateway is in the subnet of a NIC.
func gateway(f Family, nic int) netip.Addr { return worldAddrs[f][3+nic%3].Next() }

func prefixAt(r *rapid.T, f Family, label string) netip.Prefix {
	a := rapid.SampledFrom(worldAddrs[f]).Draw(r, label)
	bits := []int{0, 1, 8, 16, 24, 31, 32}
	if f == V6 {
		bits = []int{0, 3, 16, 32, 48, 64, 127, 128}
	}
	return netip.PrefixFrom(a, rapid.SampledFrom(bits).Draw(r, label+" bits")).Masked()
}

// chance is of a percentage. Rapid prefers small numbers, which mean no.
func chance(r *rapid.T, percent int, label string) bool {
	return rapid.Uint64().Draw(r, label)*0x9e3779b97f4a7c15>>32%100 >= uint64(100-percent)
}

// randomRule says anything, with enough that fits to come far.
func (w *world) randomRule(r *rapid.T, f Family) object {
	o := object{typ: unix.RTM_NEWRULE, flags: unix.NLM_F_CREATE, msg: &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(f)}}, text: "rule"}
	priority := uint32(rapid.IntRange(1, 12).Draw(r, "priority")) * 10
	if chance(r, 20, "behind main") {
		priority += 40000
	}
	o.attr(nl.FRA_PRIORITY, nl.Uint32Attr(priority))
	if chance(r, 35, "from") {
		p := prefixAt(r, f, "from")
		o.msg.Src_len = uint8(p.Bits())
		if p.Bits() > 0 {
			o.attr(nl.FRA_SRC, p.Addr().AsSlice())
		}
	}
	if chance(r, 35, "to") {
		p := prefixAt(r, f, "to")
		o.msg.Dst_len = uint8(p.Bits())
		if p.Bits() > 0 {
			o.attr(nl.FRA_DST, p.Addr().AsSlice())
		}
	}
	if chance(r, 25, "iif") {
		o.attr(nl.FRA_IIFNAME, nl.ZeroTerminated(rapid.SampledFrom([]string{"lo", "eth1", "eth2", "eth9"}).Draw(r, "iif name")))
	}
	if chance(r, 8, "oif") {
		o.attr(nl.FRA_OIFNAME, nl.ZeroTerminated(rapid.SampledFrom([]string{"eth1", "eth2", "eth9"}).Draw(r, "oif name")))
	}
	if chance(r, 20, "marked") {
		o.attr(nl.FRA_FWMARK, nl.Uint32Attr(rapid.Uint32Range(0, 3).Draw(r, "mark")))
		if chance(r, 60, "masked") {
			o.attr(nl.FRA_FWMASK, nl.Uint32Attr(rapid.SampledFrom([]uint32{1, 2, 3, 0xff}).Draw(r, "mask")))
		}
	}
	w.randomNarrow(r, &o)
	if chance(r, 15, "invert") {
		o.msg.Flags = unix.FIB_RULE_INVERT
		o.text += " not"
	}
	randomAction(r, &o, int(priority))
	return o
}

func (w *world) randomNarrow(r *rapid.T, o *object) {
	if chance(r, 12, "uids") {
		first := rapid.SampledFrom(w.uids).Draw(r, "first")
		last := max(first, rapid.SampledFrom(w.uids).Draw(r, "last"))
		o.attr(nl.FRA_UID_RANGE, append(nl.Uint32Attr(first), nl.Uint32Attr(last)...))
	}
	if chance(r, 6, "tos") {
		o.msg.Tos = 0x10
		o.text += " tos"
	}
	if chance(r, 6, "protocol") {
		o.attr(nl.FRA_IP_PROTO, []byte{rapid.SampledFrom([]byte{6, 17, 132}).Draw(r, "ipproto")})
	}
	if chance(r, 6, "ports") {
		o.attr(rapid.SampledFrom([]int{nl.FRA_SPORT_RANGE, nl.FRA_DPORT_RANGE}).Draw(r, "which"), append(nl.Uint16Attr(80), nl.Uint16Attr(90)...))
	}
	if chance(r, 3, "tunnel") {
		o.attr(nl.FRA_TUN_ID, binary.BigEndian.AppendUint64(nil, 7))
	}
	if o.msg.Tos == 0 && chance(r, 4, "dscp") {
		o.attr(fraDSCP, []byte{rapid.SampledFrom([]byte{0, 4}).Draw(r, "dscp value")})
	}
}

func randomAction(r *rapid.T, o *object, priority int) {
	n := rapid.Uint64().Draw(r, "action") * 0x9e3779b97f4a7c15 >> 32 % 100
	switch {
	case n < 60:
		o.msg.Type = nl.FR_ACT_TO_TBL
		o.attr(nl.FRA_TABLE, nl.Uint32Attr(uint32(rapid.SampledFrom([]int{100, 101, 102, MainTable}).Draw(r, "table"))))
		if chance(r, 35, "suppress prefix") {
			o.attr(nl.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(rapid.SampledFrom([]uint32{0, 1, 16, 24}).Draw(r, "prefix length")))
		}
		if chance(r, 35, "suppress group") {
			o.attr(nl.FRA_SUPPRESS_IFGROUP, nl.Uint32Attr(rapid.SampledFrom([]uint32{0, 7}).Draw(r, "group")))
		}
	case n < 80:
		o.msg.Type = nl.FR_ACT_GOTO
		to := priority + 10*rapid.IntRange(1, 4).Draw(r, "further")
		if chance(r, 20, "far") {
			to = 40000 + max(priority%40000, 10) + 10
		}
		o.attr(nl.FRA_GOTO, nl.Uint32Attr(uint32(to)))
	case n < 86:
		o.msg.Type = nl.FR_ACT_NOP
	default:
		o.msg.Type = rapid.SampledFrom([]uint8{nl.FR_ACT_UNREACHABLE, nl.FR_ACT_BLACKHOLE, nl.FR_ACT_PROHIBIT}).Draw(r, "refusal")
	}
	o.text += fmt.Sprintf(" action=%d", o.msg.Type)
}

// randomRoute is a route of any kind, in one of a few tables.
func (w *world) randomRoute(r *rapid.T, f Family) object {
	o := object{typ: unix.RTM_NEWROUTE, flags: unix.NLM_F_CREATE | unix.NLM_F_APPEND, text: "route"}
	p := prefixAt(r, f, "destination")
	o.msg = &nl.RtMsg{RtMsg: unix.RtMsg{Family: netlinkFamily(f), Dst_len: uint8(p.Bits()), Protocol: 4, Type: unix.RTN_UNICAST}}
	o.attr(unix.RTA_TABLE, nl.Uint32Attr(uint32(rapid.SampledFrom(worldTables).Draw(r, "table"))))
	if p.Bits() > 0 {
		o.attr(unix.RTA_DST, p.Addr().AsSlice())
	}
	if metric := rapid.SampledFrom([]uint32{0, 0, 1, 2}).Draw(r, "metric"); metric != 0 {
		o.attr(unix.RTA_PRIORITY, nl.Uint32Attr(metric))
	}
	if f == V4 && chance(r, 8, "tos") {
		o.msg.Tos = 0x10
		o.text += " tos"
	}
	if f == V6 && chance(r, 12, "from") {
		src := prefixAt(r, f, "from")
		o.msg.Src_len = uint8(src.Bits())
		if src.Bits() > 0 {
			o.attr(unix.RTA_SRC, src.Addr().AsSlice())
		}
	}
	if chance(r, 25, "special") {
		o.msg.Type = rapid.SampledFrom([]uint8{unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW, unix.RTN_LOCAL}).Draw(r, "kind")
		o.text += fmt.Sprintf(" type=%d", o.msg.Type)
		if o.msg.Type == unix.RTN_LOCAL {
			o.msg.Scope = unix.RT_SCOPE_HOST
			o.attr(unix.RTA_OIF, nl.Uint32Attr(1))
		}
		return o
	}
	w.randomHops(r, f, &o)
	return o
}

func (w *world) randomHops(r *rapid.T, f Family, o *object) {
	if chance(r, 25, "several") {
		var multi []byte
		for i := range rapid.IntRange(2, 3).Draw(r, "how many") {
			nic := (rapid.IntRange(0, 2).Draw(r, "first") + i) % 3
			via := nl.NewRtAttr(unix.RTA_GATEWAY, gateway(f, nic).AsSlice()).Serialize()
			hop := append(nl.Uint16Attr(uint16(8+len(via))), unix.RTNH_F_ONLINK, 0)
			hop = append(hop, nl.Uint32Attr(uint32(w.nics[nic].Index))...)
			multi = append(append(multi, hop...), via...)
		}
		o.attr(unix.RTA_MULTIPATH, multi)
		return
	}
	nic := rapid.IntRange(0, 3).Draw(r, "nic")
	o.attr(unix.RTA_OIF, nl.Uint32Attr(uint32(w.nics[nic].Index)))
	if nic < 3 && chance(r, 50, "gateway") {
		o.msg.Flags = unix.RTNH_F_ONLINK
		o.attr(unix.RTA_GATEWAY, gateway(f, nic).AsSlice())
	} else if f == V4 {
		o.msg.Scope = unix.RT_SCOPE_LINK
	}
}

// install adds what the kernel takes and returns how to remove it again.
func (w *world) install(objects []object) (installed []object) {
	for _, o := range objects {
		if err := w.conn.do(o.typ, o.flags, o.parts()...); err == nil {
			installed = append(installed, o)
		}
	}
	return installed
}

// remove takes away everything of a family that the world has not had from the beginning.
func (w *world) remove(r *rapid.T, f Family, installed []object) {
	for _, o := range installed {
		if o.typ == unix.RTM_NEWRULE {
			if err := w.conn.do(unix.RTM_DELRULE, 0, o.parts()...); err != nil {
				r.Fatalf("delete %s: %v", o.text, err)
			}
			continue
		}
		for range 4 { // IPv6 removes next hop by next hop
			if w.conn.do(unix.RTM_DELROUTE, 0, o.parts()...) != nil {
				break
			}
		}
	}
}

// dumpOf is what ip(8) shows, for a failure's text.
func (w *world) dumpOf(f Family) string {
	text := ""
	for _, args := range []string{"rule show", "route show table all"} {
		out, err := exec.Command("ip", append([]string{fmt.Sprintf("-%d", f)}, strings.Fields(args)...)...).CombinedOutput()
		text += string(out)
		if err != nil {
			text += err.Error()
		}
	}
	return text
}
