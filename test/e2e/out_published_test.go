package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"enid/test/lab"
	"enid/test/rig"
)

// TestPublishedPort: a container's published port is reached at every address of four NICs, from every
// neighbour, from outside and from the VM itself, whatever the reverse-path filter is.
func TestPublishedPort(t *testing.T) {
	for _, c := range []struct {
		backend lab.Backend
		filter  string // net.ipv4.conf.*.rp_filter
	}{
		{lab.NFT, "0"},
		{lab.NFT, "1"},
		{lab.NFT, "2"},
		{lab.Legacy, "1"},
	} {
		t.Run(fmt.Sprintf("%s, rp_filter %s", c.backend, c.filter), func(t *testing.T) {
			t.Parallel()
			v := newHostVM(t, rig.Options{IPv6: true, PrimarySecondary: 1}, c.backend)
			// Later NICs are born with the default.
			sh(t, v.Rig, "for nic in all default eth0 %s; do echo %s > /proc/sys/net/ipv4/conf/$nic/rp_filter; done", lab.ContainerBridge, c.filter)
			d := start(t, v.Rig)
			enis := v.fourNICs(t)
			v.publishedEverywhere(t, v.Addresses()...)
			everyAddress(t, v.Rig)

			must(t, v.Cloud.Detach(v.Instance, enis[0].ID))
			settle(t, v.Rig)
			v.publishedEverywhere(t, v.Addresses()...)
			stop(t, d)
			v.publishedEverywhere(t, v.Addresses()...)
		})
	}
}

// TestConnectionsLiveOn: what was open before enid started, or is open while it restarts, dies, and
// other ENIs come and go, loses nothing.
func TestConnectionsLiveOn(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{IPv6: true, PrimarySecondary: 1}, lab.NFT)
	var all []*lab.Session
	for _, a := range firsts(v.Primary) {
		all = append(all, v.session(t, a))
	}
	d := start(t, v.Rig)
	first := attach(t, v.Rig, "subnet-b", 2)
	settle(t, v.Rig)
	for _, a := range append(first.Addresses, v.Primary.Addresses...) {
		all = append(all, v.session(t, a))
	}
	goOn := func(when string) {
		t.Helper()
		for _, s := range all {
			echoes(t, s)
		}
		noSpoofs(t, v.Rig)
		if t.Failed() {
			t.Fatal(when)
		}
	}
	goOn("attach")
	traffic := v.flowsTo(t, append(first.Addresses, v.Primary.Addresses[0])...)
	stop(t, d)
	goOn("stop")
	d = start(t, v.Rig)
	goOn("start")
	d.Kill()
	goOn("kill -9")
	start(t, v.Rig)
	goOn("start after kill -9")
	wroteNothing(t, v.Rig)
	lossless(t, "restarts", traffic)

	second := attach(t, v.Rig, "subnet-b", 2)
	settle(t, v.Rig)
	goOn("attach in the same subnet")
	must(t, v.Cloud.Detach(v.Instance, second.ID))
	settle(t, v.Rig)
	gone(t, v.Rig, second)
	goOn("detach in the same subnet")
}

// TestOlderThanTheMarks: a connection to an ENI that somebody had configured by hand comes right with the
// next packet that comes in.
func TestOlderThanTheMarks(t *testing.T) {
	t.Parallel()
	v := newHostVM(t, rig.Options{}, lab.NFT)
	e := attach(t, v.Rig, "subnet-b", 1)
	a := e.Addresses[0]
	sh(t, v.Rig, `set -e
ip link set eth1 up
ip addr add %s/24 dev eth1
ip route add default via 10.0.1.1 dev eth1 table 99
ip rule add from 172.17.0.0/16 pref 99 lookup 99`, a)
	var s *lab.Session
	eventually(t, "the ENI by hand does not work", func() bool {
		var err error
		s, err = v.Lab.Outside().Session(t.Context(), "tcp", netip.Addr{}, netip.AddrPortFrom(a, published))
		return err == nil
	})
	t.Cleanup(func() { s.Close() })
	echoes(t, s)
	sh(t, v.Rig, "ip rule del pref 99; ip route flush table 99")
	start(t, v.Rig)
	must(t, v.Lab.ResetSpoofed()) // from before enid was there
	echoes(t, s)
	v.publishedEverywhere(t, v.Addresses()...)
}
