package offer

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnwrap: every field that says that a frame is something else counts.
func TestUnwrap(t *testing.T) {
	whole := served(reply(usual()))
	if m, ok := unwrap(whole); !ok || string(m) != string(reply(usual())) {
		t.Fatalf("%v, %x", ok, m)
	}
	if m, ok := unwrap(append(served(reply(usual())), 0, 0, 0)); !ok || string(m) != string(reply(usual())) {
		t.Errorf("with padding: %v, %x", ok, m)
	}
	ip := ethernetHeader
	for name, change := range map[string]map[int]byte{
		"ARP":         {13: 6},
		"IPv6":        {ip: 0x65},
		"header":      {ip: 0x44},
		"checksum":    {ip + 8: 63},
		"fragment":    {ip + 6: 0x20},
		"TCP":         {ip + 9: 6},
		"from a peer": {ip + ipHeader + 1: 99},
		"to a peer":   {ip + ipHeader + 3: 99},
		"too long":    {ip + ipHeader + 4: 0xff},
		"too short":   {ip + ipHeader + 4: 0, ip + ipHeader + 5: 7},
	} {
		f := served(reply(usual()))
		for at, b := range change {
			f[at] = b
		}
		if name != "checksum" {
			f[ip+10], f[ip+11] = 0, 0
			binary.BigEndian.PutUint16(f[ip+10:], ^sum(0, f[ip:ip+ipHeader]))
		}
		if _, ok := unwrap(f); ok {
			t.Errorf("%s: taken for a server's", name)
		}
	}
	for n := range len(whole) {
		if _, ok := unwrap(whole[:n]); ok {
			t.Fatalf("cut off at %d: taken for whole", n)
		}
	}
}

// TestFrame: what is sent is a DHCPDISCOVER from nobody, by the NIC's MAC, to everybody, its sums right.
func TestFrame(t *testing.T) {
	f := frame(asked.mac, asked.message(3))
	ip, udp := f[ethernetHeader:], f[ethernetHeader+ipHeader:]
	m := udp[udpHeader:]
	want := "ffffffffffff" + "0229968f0001" + "0800"
	if got := hexOf(f[:ethernetHeader]); got != want {
		t.Errorf("the frame begins with %s, want %s", got, want)
	}
	if sum(0, ip[:ipHeader]) != 0xffff || sum(sum(protoUDP, ip[12:20]), append(udp[4:6:6], udp...)) != 0xffff {
		t.Error("a checksum is wrong")
	}
	if got := hexOf(ip[12:20]) + hexOf(udp[:4]); got != "00000000ffffffff"+"00440043" {
		t.Errorf("from and to are %s", got)
	}
	if len(ip) != int(binary.BigEndian.Uint16(ip[2:])) || len(udp) != int(binary.BigEndian.Uint16(udp[4:])) {
		t.Errorf("the lengths do not say %d and %d", len(ip), len(udp))
	}
	o := options{}
	if whole := o.add(m[atOptions:]); !whole || len(m) < 300 || m[0] != 1 {
		t.Errorf("%d bytes, whole: %v", len(m), whole)
	}
	if diff := cmp.Diff(options{optType: {1}, optRequested: {10, 0, 1, 5}, optWanted: {1, 3, 26}}, o); diff != "" {
		t.Error(diff)
	}
	if got := hexOf(m[:44]); got != "010106001234abcd00038000"+strings.Repeat("00", 16)+"0229968f0001"+strings.Repeat("00", 10) {
		t.Errorf("the message begins with %s", got)
	}
}
