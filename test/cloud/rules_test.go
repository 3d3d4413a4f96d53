package cloud_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"enid/test/cloud"
)

// Whatever is done in whatever order, refused or not, the rules hold.
func TestRulesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, _ := small(t)
		value(c.CreateInstance("i-2", "subnet-b", cloud.ENIOptions{}))(t)
		enis := []string{"port-a2uv000001", "port-a2uv000002"}
		first := map[string]netip.Addr{}
		eni := rapid.Custom(func(rt *rapid.T) string { return rapid.SampledFrom(enis).Draw(rt, "eni") })
		instance := rapid.SampledFrom([]string{"i-1", "i-2"})
		address := rapid.Custom(func(rt *rapid.T) netip.Addr {
			if rapid.Bool().Draw(rt, "ipv6") {
				return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0xa, 15: rapid.Byte().Draw(rt, "host")})
			}
			return netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(rt, "subnet") % 2, rapid.Byte().Draw(rt, "host")})
		})
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				o := cloud.ENIOptions{Secondary: rapid.SliceOfN(address, 0, 3).Draw(rt, "secondary")}
				if e, err := c.CreateENI(rapid.SampledFrom([]string{"subnet-a", "subnet-b"}).Draw(rt, "subnet"), o); err == nil {
					enis = append(enis, e.ID)
				}
			},
			"assign": func(rt *rapid.T) {
				_ = c.Assign(eni.Draw(rt, "eni"), rapid.SliceOfN(address, 1, 4).Draw(rt, "addresses")...)
			},
			"count":   func(rt *rapid.T) { _, _ = c.AssignCount(eni.Draw(rt, "eni"), rapid.IntRange(0, 12).Draw(rt, "n")) },
			"release": func(rt *rapid.T) { _ = c.Release(eni.Draw(rt, "eni"), address.Draw(rt, "address")) },
			"prefix": func(rt *rapid.T) {
				p, _ := address.Draw(rt, "address").Prefix(28)
				_ = c.AssignPrefix(eni.Draw(rt, "eni"), p)
			},
			"bind":   func(rt *rapid.T) { _ = c.BindPublic(address.Draw(rt, "address"), address.Draw(rt, "public")) },
			"attach": func(rt *rapid.T) { _ = c.Attach(instance.Draw(rt, "instance"), eni.Draw(rt, "eni")) },
			"detach": func(rt *rapid.T) { _ = c.Detach(instance.Draw(rt, "instance"), eni.Draw(rt, "eni")) },
			"":       func(rt *rapid.T) { checkRules(rt, c, enis, first) },
		})
		for _, instance := range []string{"i-1", "i-2"} {
			checkShown(rt, c, instance)
		}
	})
}

func checkRules(rt *rapid.T, c *cloud.Cloud, enis []string, first map[string]netip.Addr) {
	holder := map[netip.Addr]string{}
	for _, id := range enis {
		e, err := c.DescribeENI(id)
		if err != nil {
			rt.Fatal(err)
		}
		if first[id] == (netip.Addr{}) {
			first[id] = e.Addresses[0]
		}
		ipv4 := 0
		for _, a := range e.Addresses {
			if holder[a] != "" {
				rt.Errorf("%s is on %s and on %s", a, holder[a], id)
			}
			holder[a] = id
			if a.Is4() {
				ipv4++
			}
			if !slices.ContainsFunc(e.Subnets, func(p netip.Prefix) bool { return p.Contains(a) }) || a == e.Gateway {
				rt.Errorf("%s has %s, which is not assignable in %v", id, a, e.Subnets)
			}
		}
		if ipv4 > 21 || e.Addresses[0] != first[id] || (e.Primary && e.Instance == "") {
			rt.Errorf("%s breaks a rule: %+v", id, e)
		}
		for private := range e.Public {
			if holder[private] != id {
				rt.Errorf("%s has a public address for %s, which is not its own", id, private)
			}
		}
	}
}

// checkShown compares the metadata, without delay, with the model.
func checkShown(rt *rapid.T, c *cloud.Cloud, instance string) {
	c.SetTokenRequired(false)
	h := c.Handler(instance, cloud.EC2)
	macs := "/latest/meta-data/network/interfaces/macs/"
	want := ""
	for _, e := range c.Describe(instance) {
		want += e.MAC.String() + "/\n"
		var ipv4 []string
		for _, a := range e.Addresses {
			if a.Is4() {
				ipv4 = append(ipv4, a.String())
			}
		}
		if got := get(h, macs+e.MAC.String()+"/local-ipv4s"); got != strings.Join(ipv4, "\n") {
			rt.Errorf("%s: the metadata shows %q of %v", e.ID, got, ipv4)
		}
	}
	if got := get(h, macs) + "\n"; got != want {
		rt.Errorf("%s: the metadata lists %q, want %q", instance, got, want)
	}
}
