package offer

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"enid/metadata"
)

var (
	equate = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	asked  = question{id: 0x1234abcd, mac: metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 1}, want: netip.MustParseAddr("10.0.1.5")}
)

// option is one as it stands in a message.
func option(number byte, value ...byte) []byte {
	return append([]byte{number, byte(len(value))}, value...)
}

// usual are the options of an offer that is as it should be.
func usual() map[byte][]byte {
	return map[byte][]byte{
		optType: {typeOffer}, optServer: {10, 0, 1, 2}, optMask: {255, 255, 255, 0}, optRouter: {10, 0, 1, 1}, optMTU: {0x05, 0xaa},
	}
}

// reply is an offer of 10.0.1.5 to the one who asked, with these options.
func reply(o map[byte][]byte) []byte {
	m := make([]byte, atOptions)
	m[0], m[1], m[2] = 2, 1, 6
	binary.BigEndian.PutUint32(m[atID:], asked.id)
	copy(m[atYours:], []byte{10, 0, 1, 5})
	copy(m[atClient:], asked.mac[:])
	copy(m[atCookie:], cookie)
	for number := range 255 {
		if value, ok := o[byte(number)]; ok {
			m = append(m, option(byte(number), value...)...)
		}
	}
	return append(m, optEnd)
}

// served wraps a message as a server's frame.
func served(message []byte) []byte {
	f := frame(asked.mac, message)
	udp := f[ethernetHeader+ipHeader:]
	binary.BigEndian.PutUint16(udp, serverPort)
	binary.BigEndian.PutUint16(udp[2:], clientPort)
	return f
}

func offerOf(address, prefix, gateway string, mtu int) Offer {
	o := Offer{Address: netip.MustParseAddr(address), Prefix: netip.MustParsePrefix(prefix), MTU: mtu, Server: netip.MustParseAddr("10.0.1.2")}
	if gateway != "" {
		o.Gateway = netip.MustParseAddr(gateway)
	}
	return o
}

// with is the usual options with one replaced; without a value it is left out.
func with(number byte, value ...byte) map[byte][]byte {
	o := usual()
	o[number] = value
	if value == nil {
		delete(o, number)
	}
	return o
}

func TestOffers(t *testing.T) {
	good := offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 1450)
	tests := map[string]struct {
		options map[byte][]byte
		want    Offer
		err     string
	}{
		"usual":                  {options: usual(), want: good},
		"no router":              {options: with(optRouter), want: offerOf("10.0.1.5", "10.0.1.0/24", "", 1450)},
		"no MTU":                 {options: with(optMTU), want: offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 0)},
		"two routers":            {options: with(optRouter, 10, 0, 1, 1, 10, 0, 1, 9), want: good},
		"/28":                    {options: with(optMask, 255, 255, 255, 240), want: offerOf("10.0.1.5", "10.0.1.0/28", "10.0.1.1", 1450)},
		"/16":                    {options: with(optMask, 255, 255, 0, 0), want: offerOf("10.0.1.5", "10.0.0.0/16", "10.0.1.1", 1450)},
		"an option of others":    {options: with(119, 1, 2, 3), want: good},
		"no server":              {options: with(optServer), err: "from whom"},
		"a server from nowhere":  {options: with(optServer, 0, 0, 0, 0), err: "from whom"},
		"a broadcasting server":  {options: with(optServer, 255, 255, 255, 255), err: "from whom"},
		"a server cut off":       {options: with(optServer, 10, 0, 1), err: "from whom"},
		"no mask":                {options: with(optMask), err: "10.0.1.2 offers 10.0.1.5: it has no subnet mask"},
		"mask cut off":           {options: with(optMask, 255, 255, 255), err: "3 bytes"},
		"mask with a hole":       {options: with(optMask, 255, 0, 255, 0), err: "255.0.255.0"},
		"mask of nothing":        {options: with(optMask, 0, 0, 0, 0), err: "0.0.0.0"},
		"mask of all":            {options: with(optMask, 255, 255, 255, 255), err: "255.255.255.255"},
		"mask /31":               {options: with(optMask, 255, 255, 255, 254), err: "255.255.255.254"},
		"mask too wide":          {options: with(optMask, 254, 0, 0, 0), err: "254.0.0.0"},
		"no bytes of a router":   {options: with(optRouter, []byte{}...), err: "0 bytes"},
		"router cut off":         {options: with(optRouter, 10, 0, 1, 1, 10), err: "5 bytes"},
		"router elsewhere":       {options: with(optRouter, 10, 0, 2, 1), err: "10.0.2.1"},
		"router itself":          {options: with(optRouter, 10, 0, 1, 5), err: "10.0.1.5, which is no other host"},
		"router is the subnet":   {options: with(optRouter, 10, 0, 1, 0), err: "10.0.1.0"},
		"router is everybody":    {options: with(optRouter, 10, 0, 1, 255), err: "10.0.1.255"},
		"MTU cut off":            {options: with(optMTU, 5), err: "1 bytes"},
		"MTU too small":          {options: with(optMTU, 2, 0x3f), err: "575"},
		"least MTU":              {options: with(optMTU, 2, 0x40), want: offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 576)},
		"MTU too large":          {options: with(optMTU, 0x24, 1), err: "9217"},
		"largest MTU":            {options: with(optMTU, 0x24, 0), want: offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 9216)},
		"a /30 without room":     {options: with(optMask, 255, 255, 255, 252), err: "10.0.1.1, which is no other host in 10.0.1.4/30"},
		"address is nobody's":    {options: usual(), err: "no address of a NIC"},
		"address is multicast":   {options: usual(), err: "no address of a NIC"},
		"address is broadcast's": {options: usual(), err: "no host's address"},
	}
	address := map[string][]byte{
		"address is nobody's": {0, 0, 0, 0}, "address is multicast": {224, 0, 0, 1}, "address is broadcast's": {10, 0, 1, 255},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := reply(tt.options)
			copy(b[atYours:], address[name])
			m, err := asked.parse(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.read()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || got != (Offer{}) {
					t.Errorf("%+v, %v; want an error that says %q", got, err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got, equate); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// TestParse: which messages are an answer to the question at all.
func TestParse(t *testing.T) {
	set := func(at int, value ...byte) []byte {
		m := reply(usual())
		copy(m[at:], value)
		return m
	}
	overloaded := func(kind byte, at int) []byte {
		o := map[byte][]byte{optType: {typeOffer}, optServer: {10, 0, 1, 2}, optRouter: {10, 0, 1, 1}, optMTU: {5, 0xaa}, optOverload: {kind}}
		m := reply(o)
		copy(m[at:], append(option(optMask, 255, 255, 255, 0), optEnd))
		return m
	}
	halves := reply(with(optRouter))
	halves = append(halves[:len(halves)-1], append(append(option(optRouter, 10, 0), option(optRouter, 1, 1)...), optPad, optEnd)...)
	unended := reply(usual())
	notOurs := map[string][]byte{
		"nothing":         {},
		"too short":       reply(usual())[:atOptions-1],
		"a request":       set(0, 1),
		"token ring":      set(1, 6),
		"long addresses":  set(2, 8),
		"another's":       set(atID, 1, 2, 3, 4),
		"another NIC's":   set(atClient, 2, 0x29, 0x96, 0x8f, 0, 2),
		"BOOTP":           set(atCookie, 1, 2, 3, 4),
		"an ACK":          reply(with(optType, 5)),
		"a NAK":           reply(with(optType, 6)),
		"two types":       reply(with(optType, 2, 2)),
		"without a type":  reply(with(optType)),
		"nothing but end": reply(nil),
	}
	for name, m := range notOurs {
		if _, err := asked.parse(m); !errors.Is(err, errNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
	}
	offers := map[string][]byte{
		"usual": reply(usual()), "in halves": halves, "without an end": unended[:len(unended)-1],
		"in the file's field": overloaded(1, atFile), "in the name's field": overloaded(2, atName), "in both": overloaded(3, atName),
	}
	for name, b := range offers {
		m, err := asked.parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := m.read()
		if diff := cmp.Diff(offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 1450), got, equate); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	cut := reply(usual())
	if _, err := asked.parse(cut[:len(cut)-2]); err == nil || errors.Is(err, errNotOurs) {
		t.Errorf("cut off: %v", err)
	}
}

// another is an offer of 10.0.1.5 to the one who asked, as an encoder of another hand made it of this package's
// question (github.com/insomniacslk/dhcp, with more options than were asked for).
func another(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/another.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnotherEncoder(t *testing.T) {
	m, err := asked.parse(another(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.read()
	if diff := cmp.Diff(offerOf("10.0.1.5", "10.0.1.0/24", "10.0.1.1", 1450), got, equate); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// FuzzParse: whatever a frame has in it, an offer that is believed has an address and a gateway in its
// subnet.
func FuzzParse(f *testing.F) {
	f.Add(served(reply(usual())))
	f.Add(served(reply(with(optRouter))))
	f.Add(served(reply(with(optOverload, 3))))
	f.Add(another(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := unwrap(b)
		if !ok {
			m = b
		}
		check(t, m)
	})
}

// TestOptionsOfAllKinds is the same for messages that are offers with any options.
func TestOptionsOfAllKinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := usual()
		for _, number := range []byte{optMask, optRouter, optMTU, optServer, optOverload} {
			if rapid.Bool().Draw(t, "change") {
				o[number] = rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "value")
			}
		}
		b := reply(o)
		copy(b[atYours:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		check(t, b)
	})
}

func check(t interface{ Fatalf(string, ...any) }, b []byte) {
	m, err := asked.parse(b)
	if err != nil {
		return
	}
	o, err := m.read()
	if err != nil {
		return
	}
	sane := o.Prefix.Contains(o.Address) && o.Prefix == o.Prefix.Masked() && o.Prefix.Bits() >= 8 && o.Prefix.Bits() <= 30 && o.Server.IsValid() &&
		(!o.Gateway.IsValid() || o.Prefix.Contains(o.Gateway) && o.Gateway != o.Address) && (o.MTU == 0 || o.MTU >= 576 && o.MTU <= 9216)
	if !sane {
		t.Fatalf("%+v is believed", o)
	}
}
