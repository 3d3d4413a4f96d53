package netcfg

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// asMessage is an object as the kernel would send it.
func (o object) asMessage() (b []byte) {
	for _, part := range o.parts() {
		b = append(b, part.Serialize()...)
	}
	return b
}

// TestParseHostRule: what enid never says is read and printed.
func TestParseHostRule(t *testing.T) {
	o := object{msg: &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Src_len: 24, Type: nl.FR_ACT_TO_TBL, Flags: unix.FIB_RULE_INVERT}}}
	o.attr(nl.FRA_SRC, ip("10.0.1.0").AsSlice())
	o.attr(nl.FRA_PRIORITY, nl.Uint32Attr(1536))
	o.attr(nl.FRA_TABLE, nl.Uint32Attr(51820))
	o.attr(nl.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(0))
	o.attr(nl.FRA_SUPPRESS_IFGROUP, nl.Uint32Attr(0xffffffff))
	o.attr(nl.FRA_UID_RANGE, append(nl.Uint32Attr(5), nl.Uint32Attr(9)...))
	o.attr(nl.FRA_IP_PROTO, []byte{6})
	o.attr(nl.FRA_DPORT_RANGE, append(nl.Uint16Attr(80), nl.Uint16Attr(90)...))
	o.attr(nl.FRA_SPORT_RANGE, append(nl.Uint16Attr(0x100), nl.Uint16Attr(0x100)...))
	o.attr(fraSportMask, nl.Uint16Attr(0xff00))
	o.attr(nl.FRA_TUN_ID, []byte{0, 0, 0, 0, 0, 0, 1, 2})
	o.attr(fraDSCP, []byte{4})
	o.attr(99, []byte{1})
	r, ok := parseHostRule(o.asMessage())
	want := "not from 10.0.1.0/24 uidrange 5-9 ipproto tcp tun_id 258 dscp 4 attribute 99 sport 0x100/0xff00 dport 80-90 lookup 51820 suppress_prefixlength 0"
	if got := r.String(); !ok || got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if r.priority != 1536 || (&sight{Numbers: DefaultNumbers}).maker(r) != "wg-quick" {
		t.Errorf("read %+v", r)
	}
}

func FuzzParseHostRule(f *testing.F) {
	o := object{msg: &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Dst_len: 64, Type: nl.FR_ACT_GOTO}}}
	o.attr(nl.FRA_DST, ip("2001:db8::").AsSlice())
	o.attr(nl.FRA_GOTO, nl.Uint32Attr(33010))
	f.Add(o.asMessage())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parseHostRule(b); ok && r.String() == "" {
			t.Errorf("%x reads as nothing", b)
		}
	})
}

func FuzzParseHostRoute(f *testing.F) {
	o := object{msg: &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: 8, Type: unix.RTN_UNICAST}}}
	o.attr(unix.RTA_DST, ip("10.0.0.0").AsSlice())
	o.attr(unix.RTA_MULTIPATH, append(append(nl.Uint16Attr(16), 1, 0), append(nl.Uint32Attr(3), nl.NewRtAttr(unix.RTA_GATEWAY, []byte{10, 0, 0, 1}).Serialize()...)...))
	f.Add(o.asMessage())
	name := func(index int) string { return fmt.Sprint("if", index) }
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parseHostRoute(b, name); ok && (!r.dst.IsValid() || r.String() == "") {
			t.Errorf("%x reads as %+v", b, r)
		}
		var k KernelWay
		k.read(b, name)
	})
}
