package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"enid/test/lab"
	"enid/test/rig"
)

// TestDetachRefuses: connections of an ENI that is gone leave by no other NIC, and the ENI's slot is taken until
// they are forgotten.
func TestDetachRefuses(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true}, lab.NFT)
	// The kernel counts what it says to whom against two limits at a time, and then may say nothing.
	sh(t, v.Rig, "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit")
	d := start(t, v.Rig)
	attach(t, v.Rig, "subnet-c", 1) // so that marks stay in use
	settle(t, v.Rig)
	e := attach(t, v.Rig, "subnet-b", 1)
	settle(t, v.Rig)
	var talks []talk
	for _, a := range e.Addresses {
		talks = append(talks, v.talk(t, a))
	}
	refused := func(when string) {
		t.Helper()
		for _, talk := range talks {
			talk.refused(t, when)
		}
		noSpoofs(t, v.Rig)
	}
	must(t, v.Cloud.Detach(v.Instance, e.ID))
	refused("as soon as the NIC is gone")
	gone(t, v.Rig, e)
	settle(t, v.Rig)
	refused("after the detach")
	d.Kill()
	start(t, v.Rig)
	refused("after kill -9 and start")

	next := attach(t, v.Rig, "subnet-b", 1)
	settle(t, v.Rig)
	refused("while another ENI is there")
	if strings.Contains(sh(t, v.Rig, "ip route show table all"), "table 20002") {
		t.Error("the next ENI has the slot of the one that is gone")
	}
	v.publishedEverywhere(t, next.Addresses...)
	must(t, v.VM.ForgetConnections())
	eventually(t, "the slot stays taken", func() bool { return !strings.Contains(sh(t, v.Rig, "ip rule; ip -6 rule"), "fwmark 0x3000000") })
	v.publishedEverywhere(t, v.Addresses()...)
}

// talk is the container's end of a UDP conversation that came in by one of the VM's addresses.
type talk struct {
	conn net.PacketConn
	peer net.Addr
	icmp net.PacketConn // what the container's kernel hears about its packets
}

// talkPort leads to the container as published does, but there the test itself answers.
const talkPort = 8083

// talk opens a conversation from outside to the container.
func (v hostVM) talk(t *testing.T, a netip.Addr) talk {
	t.Helper()
	container := v.container.Addr(a)
	v.iptables(t, a, "-t nat -A PREROUTING -d %s -p udp --dport %d -j DNAT --to-destination %s", a, talkPort, netip.AddrPortFrom(container, talkPort))
	network := "ip4:icmp"
	if a.Is6() {
		network = "ip6:ipv6-icmp"
	}
	k := talk{conn: hear(t, v.container, "udp", netip.AddrPortFrom(container, talkPort).String()), icmp: hear(t, v.container, network, container.String())}
	s := must1[*lab.Session](t)(v.Lab.Outside().Session(patient(t), "udp", netip.Addr{}, netip.AddrPortFrom(a, talkPort)))
	t.Cleanup(func() { s.Close() })
	_, err := s.Write([]byte("hello"))
	must(t, err)
	_, k.peer, err = k.conn.ReadFrom(make([]byte, 64))
	must(t, err)
	_, err = k.conn.WriteTo([]byte("hello yourself"), k.peer)
	must(t, err)
	must(t, s.SetReadDeadline(time.Now().Add(patience)))
	_, err = s.Read(make([]byte, 64))
	must(t, err)
	return k
}

// hear opens a packet socket of a host's.
func hear(t *testing.T, h *lab.Host, network, address string) (conn net.PacketConn) {
	t.Helper()
	must(t, h.Do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	return conn
}

// unreachable are the types of the ICMP messages that say so (RFC 792, RFC 4443).
var unreachable = map[bool]byte{true: 3, false: 1} // by whether it is IPv4

// refused fails the test unless the container hears that its answers go nowhere.
func (k talk) refused(t *testing.T, when string) {
	t.Helper()
	ipv4 := netip.MustParseAddrPort(k.peer.String()).Addr().Unmap().Is4()
	buf := make([]byte, 1500)
	eventually(t, fmt.Sprintf("%s: what the container sends to %s is not refused", when, k.peer), func() bool {
		if _, err := k.conn.WriteTo([]byte("are you there"), k.peer); err != nil {
			return false
		}
		_ = k.icmp.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, _, err := k.icmp.ReadFrom(buf)
		return err == nil && n > 0 && buf[0] == unreachable[ipv4]
	})
}
