package cloud_test

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"enid/metadata"
	"enid/test/cloud"
)

var exact = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// Whatever is asked in whatever order: the rules hold, a refusal changes nothing,
// the events tell the whole story, and a cloud opened again is the same.
func TestServiceHolds(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		file := filepath.Join(dir, "cloud.json")
		must1(os.RemoveAll(file))
		c := cloud.New()
		// Every write waits for the disk: most runs do without.
		stored := rapid.IntRange(0, 5).Draw(rt, "stored") == 5
		if stored {
			var err error
			c, err = cloud.Open(file)
			must1(err)
		}
		m := newMachine(c)
		for range rapid.IntRange(20, 60).Draw(rt, "steps") {
			m.step(rt)
		}
		if !stored {
			return
		}
		again, err := cloud.Open(file)
		must1(err)
		if diff := cmp.Diff(wholeOf(c), wholeOf(again), exact); diff != "" {
			rt.Errorf("opened again (-before +after):\n%s", diff)
		}
	})
}

// machine asks a cloud for things, some of them wrong.
type machine struct {
	*cloud.Cloud
	seen map[string]cloud.ENI // attached ENIs as the events tell them
}

func newMachine(c *cloud.Cloud) *machine {
	m := &machine{c, map[string]cloud.ENI{}}
	c.Subscribe(func(e cloud.Event) {
		m.seen[e.ENI.ID] = e.ENI
		if e.Kind == cloud.Detached {
			delete(m.seen, e.ENI.ID)
		}
	})
	_, err := c.CreateVPC(cloud.VPC{ID: "vpc-b"})
	must1(err)
	for _, s := range []cloud.Subnet{
		{ID: "subnet-a", IPv4: prefix("10.0.0.0/26"), IPv6: prefix("2001:db8:0:a::/64")},
		{ID: "subnet-b", IPv4: prefix("10.0.0.64/26")},
		{ID: "subnet-v", VPC: "vpc-b", IPv4: prefix("10.0.0.0/25")},
	} {
		must1(c.CreateSubnet(s))
	}
	must1(c.SetQuota(cloud.QuotaSecondary, 4))
	for i, s := range []string{"subnet-a", "subnet-b", "subnet-v"} {
		_, err := c.RunInstance(cloud.InstanceOptions{ID: fmt.Sprint("i-", i), Subnet: s, VCPU: 1 + 3*i})
		must1(err)
		for range 2 {
			e, err := c.CreateENI(s, cloud.ENIOptions{})
			must1(err)
			_ = c.Attach(fmt.Sprint("i-", i), e.ID) // a small instance takes only one
		}
	}
	return m
}

func pick[T any](rt *rapid.T, label string, from []T, id func(T) string) string {
	var ids []string
	for _, x := range slices.Backward(from) { // the newest are drawn most: secondary ENIs
		ids = append(ids, id(x))
	}
	return rapid.SampledFrom(append(ids, "none")).Draw(rt, label)
}

func (m *machine) eni(rt *rapid.T) string {
	return pick(rt, "eni", m.ENIs(), func(e cloud.ENI) string { return e.ID })
}

// attached is one of the attached ENIs, and its instance.
func (m *machine) attached(rt *rapid.T) (instance, eni string) {
	there := slices.DeleteFunc(m.ENIs(), func(e cloud.ENI) bool { return e.Instance == "" })
	slices.SortFunc(there, func(a, b cloud.ENI) int { return a.Index - b.Index }) // secondary ENIs last, and drawn most
	eni = pick(rt, "attached", there, func(e cloud.ENI) string { return e.ID })
	e, err := m.DescribeENI(eni)
	if err != nil {
		return "none", eni
	}
	return e.Instance, eni
}

func (m *machine) instance(rt *rapid.T) string {
	return pick(rt, "instance", m.Instances(), func(i cloud.Instance) string { return i.ID })
}

func (m *machine) elastic(rt *rapid.T) string {
	return pick(rt, "eip", m.ElasticIPs(), func(x cloud.ElasticIP) string { return x.ID })
}

func subnet(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "subnet-a", "subnet-b", "subnet-v"}).Draw(rt, "subnet")
}

func address(rt *rapid.T) netip.Addr {
	host := rapid.ByteMax(127).Draw(rt, "host")
	if rapid.IntRange(0, 9).Draw(rt, "family") == 0 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0xa, 15: host})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, host})
}

func addresses(rt *rapid.T, least int) []netip.Addr {
	return rapid.SliceOfN(rapid.Custom(address), least, 3).Draw(rt, "addresses")
}

// operations are all that change a cloud.
var operations = map[string]func(m *machine, rt *rapid.T) error{
	"run": func(m *machine, rt *rapid.T) error {
		_, err := m.RunInstance(cloud.InstanceOptions{Subnet: subnet(rt), VCPU: rapid.SampledFrom([]int{0, 4, 9}).Draw(rt, "vcpu")})
		return err
	},
	"start":     func(m *machine, rt *rapid.T) error { return m.Start(m.instance(rt)) },
	"stop":      func(m *machine, rt *rapid.T) error { return m.Stop(m.instance(rt)) },
	"terminate": func(m *machine, rt *rapid.T) error { return m.Terminate(m.instance(rt)) },
	"create": func(m *machine, rt *rapid.T) error {
		_, err := m.CreateENI(subnet(rt), cloud.ENIOptions{
			SecondarySubnet: subnet(rt), Secondary: addresses(rt, 0), SecondaryCount: rapid.IntRange(0, 2).Draw(rt, "count"),
		})
		return err
	},
	"delete": func(m *machine, rt *rapid.T) error { return m.DeleteENI(m.eni(rt)) },
	"modify": func(m *machine, rt *rapid.T) error {
		mac := metadata.MAC{2, 5: rapid.ByteMax(3).Draw(rt, "mac")}
		return m.ModifyENI(m.eni(rt), cloud.ENIChange{MAC: &mac})
	},
	"attach": func(m *machine, rt *rapid.T) error {
		return m.AttachWith(m.instance(rt), m.eni(rt), rapid.Bool().Draw(rt, "auto"))
	},
	"detach": func(m *machine, rt *rapid.T) error {
		instance, eni := m.attached(rt)
		return m.Detach(instance, eni)
	},
	"vlan": func(m *machine, rt *rapid.T) error {
		instance, parent := m.attached(rt)
		free := slices.DeleteFunc(m.ENIs(), func(e cloud.ENI) bool { return e.Instance != "" })
		eni := pick(rt, "free", free, func(e cloud.ENI) string { return e.ID })
		return m.AttachVLAN(instance, eni, parent, rapid.IntRange(9, 11).Draw(rt, "vlan"))
	},
	"alias": func(m *machine, rt *rapid.T) error {
		p, err := address(rt).Prefix(rapid.IntRange(26, 32).Draw(rt, "length"))
		must1(err)
		return m.AssignAlias(m.eni(rt), p)
	},
	"unalias": func(m *machine, rt *rapid.T) error {
		e, _ := m.DescribeENI(m.eni(rt))
		return m.ReleaseAlias(e.ID, rapid.SampledFrom(append(e.Aliases, netip.Prefix{})).Draw(rt, "alias"))
	},
	"forward": func(m *machine, rt *rapid.T) error { return m.Forward(m.eni(rt), address(rt)) },
	"unforward": func(m *machine, rt *rapid.T) error {
		e, _ := m.DescribeENI(m.eni(rt))
		return m.Unforward(e.ID, rapid.SampledFrom(append(e.Forwarded, netip.Addr{})).Draw(rt, "forwarded"))
	},
	"assign": func(m *machine, rt *rapid.T) error {
		return m.AssignSecondary(m.eni(rt), cloud.AssignOptions{
			Addresses: addresses(rt, 0), Count: rapid.IntRange(0, 2).Draw(rt, "count"), Subnet: subnet(rt), NoForce: rapid.Bool().Draw(rt, "no force"),
		})
	},
	"block": func(m *machine, rt *rapid.T) error {
		return m.AssignSecondary(m.eni(rt), cloud.AssignOptions{MaskLen: rapid.IntRange(26, 29).Draw(rt, "length"), Subnet: subnet(rt)})
	},
	"unassign": func(m *machine, rt *rapid.T) error {
		id := m.eni(rt)
		e, _ := m.DescribeENI(id)
		from := func(n int) int { return n - rapid.IntRange(0, n).Draw(rt, "so many") }
		return m.UnassignSecondary(id, e.Addresses[from(len(e.Addresses)):], e.Prefixes[from(len(e.Prefixes)):], rapid.Bool().Draw(rt, "delete"))
	},
	"allocate": func(m *machine, rt *rapid.T) error {
		_, err := m.AllocateEIP(rapid.SampledFrom([]string{"", cloud.DefaultAZ, "cn-north-1a"}).Draw(rt, "az"))
		return err
	},
	"free": func(m *machine, rt *rapid.T) error { return m.ReleaseEIP(m.elastic(rt)) },
	"bind": func(m *machine, rt *rapid.T) error {
		return m.AssociateEIP(m.eni(rt), m.elastic(rt), rapid.SampledFrom([]netip.Addr{{}, address(rt)}).Draw(rt, "private"))
	},
	"bind-instance": func(m *machine, rt *rapid.T) error { return m.AssociateInstanceEIP(m.instance(rt), m.elastic(rt)) },
	"unbind": func(m *machine, rt *rapid.T) error {
		id := m.elastic(rt)
		for _, eip := range m.ElasticIPs() {
			if eip.ID == id {
				return m.DisassociateEIP(eip.ENI, id)
			}
		}
		return m.DisassociateEIP(m.eni(rt), id)
	},
	"auto": func(m *machine, rt *rapid.T) error {
		instance, eni := m.attached(rt)
		return m.SetAutoDelete(instance, map[string]bool{eni: rapid.Bool().Draw(rt, "auto")})
	},
}

// names are those of the operations, those that need much luck more than once.
var names = slices.Concat(
	slices.Repeat([]string{"attach", "detach", "assign", "auto", "bind", "unassign", "unbind"}, 3),
	slices.Sorted(maps.Keys(operations)), []string{"assign", "vlan", "alias", "alias"})

func (m *machine) step(rt *rapid.T) {
	name := rapid.SampledFrom(names).Draw(rt, "operation")
	before := wholeOf(m.Cloud)
	err := operations[name](m, rt)
	after := wholeOf(m.Cloud)
	if err != nil && !reflect.DeepEqual(before, after) { // cmp is slow, and kept for the words
		rt.Errorf("%s was refused (%v) and changed something:\n%s", name, err, cmp.Diff(before, after, exact))
	}
	attached := map[string]cloud.ENI{}
	for _, e := range after.ENIs {
		if e.Instance != "" {
			e.AutoDelete = m.seen[e.ID].AutoDelete // no event tells of what no metadata shows
			attached[e.ID] = e
		}
	}
	if !reflect.DeepEqual(m.seen, attached) {
		rt.Errorf("%s: (-as the events tell +as it is)\n%s", name, cmp.Diff(m.seen, attached, exact))
	}
	checkService(rt, after)
}
