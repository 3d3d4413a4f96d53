package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// neighbours are what other agents, CNIs and VPNs leave on a host at the numbers that they use, as
// commands; cni0 is a bridge that stands for their NICs.
var neighbours = map[string]string{
	"Cilium": `
ip rule add pref 9 fwmark 0x200/0xf00 lookup 2004
ip rule add pref 10 fwmark 0xa00/0xf00 lookup 2005
ip rule add pref 111 from 10.0.0.64/28 to 10.0.0.0/16 lookup 12
ip rule add pref 20 to 10.244.1.7 lookup main proto kernel
ip route add local default dev lo table 2004 proto kernel
ip route add 10.0.0.1 dev eth0 scope link table 12 proto kernel
ip route add default via 10.0.0.1 dev eth0 table 12 proto kernel
iptables -t mangle -N CILIUM_PRE_mangle
iptables -t mangle -A PREROUTING -m comment --comment "cilium-feeder: CILIUM_PRE_mangle" -j CILIUM_PRE_mangle
iptables -t mangle -A CILIUM_PRE_mangle -m mark --mark 0x200/0xf00 -j MARK --set-xmark 0x200/0xf00`,
	"AWS VPC CNI": `
ip rule add pref 512 to 10.244.1.8 lookup main
ip rule add pref 1024 fwmark 0x80/0x80 lookup main
ip rule add pref 1536 from 10.244.1.8 lookup 2
ip route add default via 10.0.0.1 dev eth0 table 2
iptables -t mangle -A PREROUTING -i eth0 -m comment --comment "AWS, primary ENI" -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark 0x80/0x80
iptables -t mangle -A PREROUTING -i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
iptables -t nat -N AWS-SNAT-CHAIN-0
iptables -t nat -A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
iptables -t nat -A AWS-SNAT-CHAIN-0 -d 10.0.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN`,
	"Terway": `
ip rule add pref 512 to 10.244.1.9 lookup main
ip rule add pref 600 fwmark 0x10/0x10 lookup 100
ip rule add pref 2048 from 10.244.1.9 iif cni0 lookup 1003
ip route add default via 10.0.0.1 dev eth0 onlink table 1003
ip route add default via 10.0.0.1 dev eth0 table 100
iptables -t mangle -A PREROUTING -i eth0 -j CONNMARK --set-xmark 0x10/0x10
iptables -t mangle -A PREROUTING -i cni0 -j CONNMARK --restore-mark --nfmask 0x10 --ctmask 0x10`,
	"Calico": `
ip rule add pref 99 not fwmark 0x100000/0x100000 lookup 1
ip route add 10.244.2.0/26 via 10.0.0.1 dev eth0 onlink proto 80
ip route add blackhole 10.244.1.0/26 proto 80
ip route add 10.244.1.10 dev cni0 scope link proto 80
ip route add throw 10.244.0.0/16 table 1
iptables -t mangle -N cali-PREROUTING
iptables -t mangle -I PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
iptables -t mangle -A cali-PREROUTING -m comment --comment "cali:6BJqBjBC7crtA-7-" -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
iptables -t mangle -A cali-PREROUTING -m comment --comment "cali:Cg96MgVuoPm7UMRo" -m mark --mark 0x10000/0x10000 -j ACCEPT`,
	"Tailscale": `
ip rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
ip rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
ip rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
ip rule add pref 5270 lookup 52
ip -6 rule add pref 5270 lookup 52
ip route add 100.64.0.7 dev cni0 table 52
ip route add throw 127.0.0.0/8 table 52
iptables -N ts-forward
iptables -I FORWARD -j ts-forward
iptables -A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000`,
	"docker and kube-proxy": `
iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o cni0 -j MASQUERADE
iptables -t nat -A DOCKER ! -i cni0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80
iptables -t nat -N KUBE-POSTROUTING
iptables -t nat -N KUBE-MARK-MASQ
iptables -t nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
iptables -t nat -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
iptables -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
iptables -t nat -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
iptables -t nat -A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE`,
	"the numbers in general": `
ip rule add pref 220 lookup 220
ip rule add pref 10001 from 10.0.9.9 lookup 10001
ip rule add pref 30200 from 10.0.9.9 lookup 30200
ip rule add pref 30350 lookup main suppress_prefixlength 0
ip rule add from 10.0.9.10 lookup 101
ip rule add not fwmark 0xca6c lookup 51820
ip route add 192.0.2.0/25 via 10.0.0.1 dev eth0 table 51820
ip route add local 10.0.9.11 dev eth0 proto 66`,
}

// hour is what happens on a busy host, over and over.
const hour = `
for i in $(seq %d); do
	ip rule del pref $((20000 + i * 37 %% 400)) protocol 225
	ip -6 rule flush protocol 225
	ip route flush table 20001
	ip addr add 10.0.9.$i/32 dev eth0; ip addr del 10.0.9.$i/32 dev eth0
	ip link add veth$i type veth peer name peer$i; ip link set veth$i master cni0 up; ip link del veth$i
	iptables -t mangle -F ENID-PREROUTING-0; iptables -t mangle -F ENID-PREROUTING-1
	iptables -t nat -A DOCKER ! -i cni0 -p tcp -m tcp --dport 81 -j DNAT --to-destination 172.18.0.3:80
	iptables -t nat -D DOCKER ! -i cni0 -p tcp -m tcp --dport 81 -j DNAT --to-destination 172.18.0.3:80
	ip link set eth1 down; ip link set eth1 up
done 2>/dev/null; true`

// TestNeighboursKeepTheirState: whatever enid does and repairs, the state of every other agent on the host is the
// same before, during and after, byte for byte.
func TestNeighboursKeepTheirState(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1, DetachAfter: detachAfter})
	first := attach(t, r, "subnet-b", 3)
	attach(t, r, "subnet-b", 3)
	sh(t, r, "set -e; echo 1 >/proc/sys/net/ipv4/ip_forward; ip link set eth1 up; ip link add cni0 type bridge; ip addr add 10.244.1.1/32 dev cni0; ip addr add 172.18.0.1/16 dev cni0; ip link set cni0 up")
	for name, commands := range neighbours {
		if out := sh(t, r, "set -e; %s", strings.TrimSpace(commands)); out != "" {
			t.Fatalf("%s: %s", name, out)
		}
	}
	before := theirState(t, r)

	d := start(t, r)
	await(t, r, func(s *agent.Status) bool { return s.Converged && s.ReturnPath.IPv4 })
	theirsStays(t, r, before, "after the start")
	for range 3 {
		sh(t, r, hour, 10)
		must(t, r.Cloud.Release(first.ID, first.Addresses[1]))
		extra := attach(t, r, "subnet-c", 2)
		settle(t, r)
		must(t, r.Cloud.Detach(r.Instance, extra.ID))
		assign(t, r, first)
		settle(t, r)
		converged(t, r)
		theirsStays(t, r, before, "after an hour's events")
		first = must1[cloud.ENI](t)(r.Cloud.DescribeENI(first.ID))
	}
	d.Kill()
	stop(t, start(t, r))
	theirsStays(t, r, before, "after kill -9, start and stop")
	enid(t, r, "cleanup").ends(t, 0)
	theirsStays(t, r, before, "after the cleanup")
	if left := sh(t, r, "iptables-save; ip6tables-save; ip rule; ip -6 rule"); strings.Contains(left, "ENID-") || strings.Contains(left, "proto 225") || strings.Contains(left, "proto enid") {
		t.Errorf("something of enid's is left:\n%s", left)
	}
}

// theirState is every rule, route and chain that is not enid's, in the kernel's order.
func theirState(t *testing.T, r *rig.Rig) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, command := range []string{"ip -4 rule", "ip -6 rule", "ip -4 route show table all", "iptables-save", "ip6tables-save"} {
		var lines []string
		for line := range strings.Lines(sh(t, r, "%s", command)) {
			ours := strings.Contains(line, "ENID-") || strings.Contains(line, "proto 225") || strings.Contains(line, "proto enid")
			// What the kernel makes of ENIs' addresses and links, comments with the time, and counters.
			others := strings.HasPrefix(line, "#") || strings.Contains(line, "dev eth1") || strings.Contains(line, "dev eth2") || strings.Contains(line, "dev eth3") || strings.Contains(line, "table local")
			if !ours && !others {
				if at := strings.LastIndex(line, " ["); at > 0 && strings.HasPrefix(line, ":") {
					line = line[:at] + "\n"
				}
				lines = append(lines, strings.ReplaceAll(line, " linkdown", "")) // the bridge's ports come and go
			}
		}
		state[command] = strings.Join(lines, "")
	}
	return state
}

func theirsStays(t *testing.T, r *rig.Rig, before map[string]string, when string) {
	t.Helper()
	for command, now := range theirState(t, r) {
		if diff := cmp.Diff(strings.Split(before[command], "\n"), strings.Split(now, "\n")); diff != "" {
			t.Errorf("%s, %s is not what it was (-before +now):\n%s", when, command, diff)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}
