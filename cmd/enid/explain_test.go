package main

import (
	"net/netip"
	"strings"
	"testing"

	"enid/netcfg"
)

func TestExplainQuestion(t *testing.T) {
	a := netip.MustParseAddr
	for _, c := range []struct {
		src, dst string
		q        question
		want     netcfg.Packet
		err      string
	}{
		{"10.0.1.5", "8.8.8.8", question{uid: "1000", mark: "0x2000000"}, netcfg.Packet{Src: a("10.0.1.5"), Dst: a("8.8.8.8"), Mark: 0x2000000, UID: 1000}, ""},
		{"any", "2400::1", question{}, netcfg.Packet{Dst: a("2400::1")}, ""},
		{"::ffff:10.0.1.5", "8.8.8.8", question{}, netcfg.Packet{Src: a("10.0.1.5"), Dst: a("8.8.8.8")}, ""},
		{"172.17.0.2", "8.8.8.8", question{iif: "docker0"}, netcfg.Packet{Src: a("172.17.0.2"), Dst: a("8.8.8.8"), IIF: "docker0"}, ""},
		{"10.0.1", "8.8.8.8", question{}, netcfg.Packet{}, `SRC "10.0.1" is no IP address`},
		{"any", "host", question{}, netcfg.Packet{}, `DST "host" is no IP address`},
		{"any", "8.8.8.8", question{mark: "0x100000000"}, netcfg.Packet{}, "--mark"},
		{"any", "8.8.8.8", question{uid: "-1"}, netcfg.Packet{}, "--uid"},
		{"10.0.1.5", "2400::1", question{}, netcfg.Packet{}, "two families"},
		{"any", "8.8.8.8", question{iif: "eth1"}, netcfg.Packet{}, "has a source"},
		{"10.0.1.5", "8.8.8.8", question{iif: "lo"}, netcfg.Packet{}, "leave it out"},
		{"127.0.0.1", "8.8.8.8", question{iif: "eth1"}, netcfg.Packet{}, "loopback"},
		{"any", "224.0.0.1", question{}, netcfg.Packet{}, "multicast"},
		{"any", "255.255.255.255", question{}, netcfg.Packet{}, "broadcast"},
		{"any", "0.0.0.0", question{}, netcfg.Packet{}, "nobody's"},
		{"any", "fe80::1", question{}, netcfg.Packet{}, "link-local"},
		{"0.0.0.0", "8.8.8.8", question{}, netcfg.Packet{}, "say any"},
	} {
		if c.q.mark == "" {
			c.q.mark = "0"
		}
		if c.q.uid == "" {
			c.q.uid = "0"
		}
		got, err := c.q.packet(c.src, c.dst)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s %s %+v: %+v, %v; want %+v", c.src, c.dst, c.q, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s %s %+v: error %v, want %q", c.src, c.dst, c.q, err, c.err)
		}
	}
}
