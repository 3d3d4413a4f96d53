package cloud_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enid/metadata"
	"enid/test/cloud"
)

func TestSubnetRules(t *testing.T) {
	c, _ := small(t)
	for _, tt := range []struct {
		subnet cloud.Subnet
		want   error
	}{
		{cloud.Subnet{ID: "subnet-c", IPv4: prefix("10.0.2.0/28")}, nil},
		{cloud.Subnet{ID: "subnet-d", IPv4: prefix("10.1.0.0/16"), IPv6: prefix("2001:db8:0:d::/64")}, nil},
		{cloud.Subnet{ID: "subnet-a", IPv4: prefix("10.9.0.0/24")}, cloud.ErrConflict},
		{cloud.Subnet{ID: "", IPv4: prefix("10.9.0.0/24")}, cloud.ErrConflict},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.0.0.128/25")}, cloud.ErrConflict},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.9.0.0/24"), IPv6: prefix("2001:db8:0:a::/64")}, cloud.ErrConflict},
		{cloud.Subnet{ID: "x"}, cloud.ErrInvalid},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.9.0.0/29")}, cloud.ErrInvalid},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.0.0.0/15")}, cloud.ErrInvalid},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.9.0.1/24")}, cloud.ErrInvalid},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.9.0.0/24"), IPv6: prefix("2001:db8:9::/48")}, cloud.ErrInvalid},
		{cloud.Subnet{ID: "x", IPv4: prefix("10.9.0.0/24"), IPv6: prefix("10.8.0.0/24")}, cloud.ErrInvalid},
	} {
		if err := c.CreateSubnet(tt.subnet); !errors.Is(err, tt.want) {
			t.Errorf("%+v: error %v, want %v", tt.subnet, err, tt.want)
		}
	}
}

func TestCreateENI(t *testing.T) {
	c, primary := small(t)
	primary.Created = time.Time{}
	compare(t, cloud.ENI{
		ID: "port-a2uv000001", MAC: metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 1}, SubnetID: "subnet-a",
		VPC: cloud.DefaultVPC, SecurityGroups: []string{"sg-wx0ivn0001"}, SanityCheck: true, AutoDelete: true,
		AddressSubnets: map[netip.Addr]string{},
		Subnets:        []netip.Prefix{prefix("10.0.0.0/24"), prefix("2001:db8:0:a::/64")}, Gateway: addr("10.0.0.1"),
		Instance: "i-1", Primary: true, Addresses: addrs("10.0.0.3"), Public: map[netip.Addr]netip.Addr{},
	}, primary)

	e := value(c.CreateENI("subnet-a", cloud.ENIOptions{
		MAC:       metadata.MAC{2, 0x29, 0x96, 0x8f, 0, 3},
		Secondary: addrs("10.0.0.4", "10.0.0.6"), IPv6: addrs("2001:db8:0:a::5"), MTU: 1450,
	}))(t)
	compare(t, addrs("10.0.0.5", "10.0.0.4", "10.0.0.6", "2001:db8:0:a::5"), e.Addresses)
	compare(t, 1450, e.MTU)
	compare(t, "", e.Instance)
	// The generator passes over a MAC that somebody chose.
	compare(t, "02:29:96:8f:00:04", value(c.CreateENI("subnet-a", cloud.ENIOptions{}))(t).MAC.String())

	for name, o := range map[string]cloud.ENIOptions{
		"MAC taken":            {MAC: e.MAC},
		"MAC multicast":        {MAC: metadata.MAC{3}},
		"primary taken":        {Primary: addr("10.0.0.4")},
		"primary outside":      {Primary: addr("10.0.1.4")},
		"primary is IPv6":      {Primary: addr("2001:db8:0:a::9")},
		"secondary is primary": {Primary: addr("10.0.0.9"), Secondary: addrs("10.0.0.9")},
		"MTU":                  {MTU: 100},
	} {
		if _, err := c.CreateENI("subnet-a", o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	_, err := c.CreateENI("subnet-x", cloud.ENIOptions{})
	compare(t, true, errors.Is(err, cloud.ErrNotFound))
	// Nothing was used up by what was refused.
	next := value(c.CreateENI("subnet-a", cloud.ENIOptions{}))(t)
	compare(t, "port-a2uv000004", next.ID)
	compare(t, true, regexp.MustCompile(`^port-[a-z0-9]{10}$`).MatchString(next.ID))
}

func TestInstanceRules(t *testing.T) {
	c, primary := small(t)
	e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	other := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	value(c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}))(t)
	must(t, c.Attach("i-1", e.ID))
	_, twice := c.CreateInstance("i-1", "subnet-a", cloud.ENIOptions{})
	_, nowhere := c.CreateInstance("i-3", "subnet-x", cloud.ENIOptions{})
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"instance twice", twice, cloud.ErrConflict},
		{"instance nowhere", nowhere, cloud.ErrNotFound},
		{"attach what is attached", c.Attach("i-2", e.ID), cloud.ErrPrecondition},
		{"attach twice", c.Attach("i-1", e.ID), cloud.ErrPrecondition},
		{"attach to nothing", c.Attach("i-9", other.ID), cloud.ErrNotFound},
		{"attach nothing", c.Attach("i-1", "port-x"), cloud.ErrNotFound},
		{"detach from another", c.Detach("i-2", e.ID), cloud.ErrPrecondition},
		{"detach what is not attached", c.Detach("i-1", other.ID), cloud.ErrPrecondition},
		{"detach the primary", c.Detach("i-1", primary.ID), cloud.ErrPrecondition},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	compare(t, `attach ENI "port-a2uv000002" to instance "i-2": NetworkInterface has been attached on other device: it is attached to instance i-1; detach it first`,
		c.Attach("i-2", e.ID).Error())

	// An ENI that moves keeps its MAC and addresses, and frees its index.
	must(t, c.Attach("i-1", other.ID))
	must(t, c.Detach("i-1", e.ID))
	must(t, c.Attach("i-2", e.ID))
	moved := c.Describe("i-2")[1]
	compare(t, []any{e.MAC, e.Addresses, 1, false}, []any{moved.MAC, moved.Addresses, moved.Index, moved.Primary})
	must(t, c.Detach("i-2", e.ID))
	must(t, c.Attach("i-1", e.ID))
	compare(t, []string{primary.ID, e.ID, other.ID}, []string{c.Describe("i-1")[0].ID, c.Describe("i-1")[1].ID, c.Describe("i-1")[2].ID})
	compare(t, 0, len(c.Describe("i-9"))+len(c.Describe("")))
}

func TestAssign(t *testing.T) {
	c, primary := small(t)
	other := value(c.CreateENI("subnet-a", cloud.ENIOptions{}))(t)
	must(t, c.AssignPrefix(other.ID, prefix("10.0.0.32/28")))
	for a, want := range map[string]error{
		"10.0.0.0": cloud.ErrInvalid, "10.0.0.1": cloud.ErrInvalid, "10.0.0.2": cloud.ErrInvalid, "10.0.0.255": cloud.ErrInvalid,
		"2001:db8:0:a::": cloud.ErrInvalid, "2001:db8:0:a::1": cloud.ErrInvalid, "2001:db8:0:a::2": cloud.ErrInvalid,
		"10.0.1.9": cloud.ErrInvalid, "2001:db8::9": cloud.ErrInvalid, "::ffff:10.0.0.9": cloud.ErrInvalid,
		"10.0.0.4": cloud.ErrConflict, "10.0.0.40": cloud.ErrConflict,
	} {
		if err := c.Assign(primary.ID, addr("10.0.0.99"), addr(a)); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", a, err, want)
		}
	}
	compare(t, true, errors.Is(c.Assign("port-x", addr("10.0.0.9")), cloud.ErrNotFound))
	compare(t, true, errors.Is(c.Assign(primary.ID, addrs("10.0.0.9", "10.0.0.9")...), cloud.ErrInvalid))
	compare(t, addrs("10.0.0.3"), c.Describe("i-1")[0].Addresses) // all or none

	must(t, c.Assign(primary.ID, addrs("10.0.0.5", "2001:db8:0:a::5")...))
	must(t, c.Assign(primary.ID, addrs("10.0.0.5", "10.0.0.3")...)) // has them
	compare(t, addrs("10.0.0.6", "10.0.0.7"), value(c.AssignCount(primary.ID, 2))(t))
	compare(t, addrs("10.0.0.3", "10.0.0.5", "2001:db8:0:a::5", "10.0.0.6", "10.0.0.7"), c.Describe("i-1")[0].Addresses)
	_, err := c.AssignCount(primary.ID, 0)
	compare(t, true, errors.Is(err, cloud.ErrInvalid))
}

func TestAddressLimit(t *testing.T) {
	c, primary := small(t)
	value(c.AssignCount(primary.ID, 20))(t)
	must(t, c.Assign(primary.ID, addr("2001:db8:0:a::99"))) // IPv6 does not count
	_, err := c.AssignCount(primary.ID, 1)
	compare(t, `assign 1 addresses to ENI "port-a2uv000001": SecondaryIp quota limit exceeded: 21 secondary IPv4 addresses, and an ENI has 20 at most`, err.Error())
	compare(t, 22, len(c.Describe("i-1")[0].Addresses))

	must(t, c.CreateSubnet(cloud.Subnet{ID: "subnet-c", IPv4: prefix("10.0.2.0/28")}))
	e := value(c.CreateENI("subnet-c", cloud.ENIOptions{}))(t)
	value(c.AssignCount(e.ID, 11))(t) // 16 less four, less the primary
	_, err = c.AssignCount(e.ID, 1)
	compare(t, true, errors.Is(err, cloud.ErrConflict))
	must(t, c.Release(e.ID, addr("10.0.2.9")))
	compare(t, addrs("10.0.2.9"), value(c.AssignCount(e.ID, 1))(t))
}

func TestPreempt(t *testing.T) {
	c, loser := small(t)
	winner := value(c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}))(t)
	must(t, c.Assign(loser.ID, addrs("10.0.0.50", "10.0.0.51")...))
	must(t, c.BindPublic(addr("10.0.0.50"), addr("203.0.113.7")))
	var events []string
	c.Subscribe(func(e cloud.Event) {
		events = append(events, fmt.Sprint(e.Kind, " ", e.Instance, " ", e.ENI.Addresses, e.ENI.Public))
	})
	must(t, c.Assign(winner.ID, addrs("10.0.0.50", "10.0.0.51")...))
	compare(t, []string{
		"addresses i-1 [10.0.0.3] map[]", // the loser first: never on two
		"addresses i-2 [10.0.0.4 10.0.0.50 10.0.0.51] map[]",
	}, events)
}

func TestRelease(t *testing.T) {
	c, primary := small(t)
	must(t, c.Assign(primary.ID, addr("10.0.0.5")))
	must(t, c.BindPublic(addr("10.0.0.5"), addr("203.0.113.7")))
	compare(t, true, errors.Is(c.Release(primary.ID, addr("10.0.0.3")), cloud.ErrPrecondition))
	compare(t, true, errors.Is(c.Release(primary.ID, addr("10.0.0.9")), cloud.ErrNotFound))
	compare(t, true, errors.Is(c.Release("port-x", addr("10.0.0.5")), cloud.ErrNotFound))
	must(t, c.Release(primary.ID, addr("10.0.0.5")))
	got := c.Describe("i-1")[0]
	compare(t, addrs("10.0.0.3"), got.Addresses)
	compare(t, 0, len(got.Public))
}

func TestPrefixes(t *testing.T) {
	c, primary := small(t)
	other := value(c.CreateENI("subnet-a", cloud.ENIOptions{Primary: addr("10.0.0.50"), IPv6: addrs("2001:db8:0:a:2::5")}))(t)
	must(t, c.AssignPrefix(primary.ID, prefix("10.0.0.32/28")))
	must(t, c.AssignPrefix(primary.ID, prefix("2001:db8:0:a:1::/80")))
	for p, want := range map[string]error{
		"10.0.0.64/27": cloud.ErrInvalid, "10.0.0.65/28": cloud.ErrInvalid, "10.0.1.16/28": cloud.ErrInvalid,
		"2001:db8:0:a:3::/96": cloud.ErrInvalid,
		"10.0.0.0/28":         cloud.ErrInvalid, "10.0.0.240/28": cloud.ErrInvalid, "2001:db8:0:a::/80": cloud.ErrInvalid,
		"10.0.0.32/28": cloud.ErrConflict, "10.0.0.48/28": cloud.ErrConflict, "2001:db8:0:a:2::/80": cloud.ErrConflict,
	} {
		if err := c.AssignPrefix(other.ID, prefix(p)); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", p, err, want)
		}
	}
	compare(t, true, errors.Is(c.ReleasePrefix(other.ID, prefix("10.0.0.32/28")), cloud.ErrNotFound))
	must(t, c.ReleasePrefix(primary.ID, prefix("10.0.0.32/28")))
	compare(t, []netip.Prefix{prefix("2001:db8:0:a:1::/80")}, c.Describe("i-1")[0].Prefixes)
	must(t, c.AssignPrefix(other.ID, prefix("10.0.0.32/28")))
}

func TestPublic(t *testing.T) {
	c, primary := small(t)
	must(t, c.Assign(primary.ID, addrs("10.0.0.5", "2001:db8:0:a::5")...))
	must(t, c.BindPublic(addr("10.0.0.5"), addr("203.0.113.7")))
	for _, tt := range []struct {
		private, public string
		want            error
	}{
		{"10.0.0.5", "203.0.113.8", cloud.ErrConflict},
		{"10.0.0.3", "203.0.113.7", cloud.ErrConflict},
		{"10.0.0.9", "203.0.113.8", cloud.ErrNotFound},
		{"2001:db8:0:a::5", "203.0.113.8", cloud.ErrInvalid},
		{"10.0.0.3", "2001:db8::7", cloud.ErrInvalid},
	} {
		if err := c.BindPublic(addr(tt.private), addr(tt.public)); !errors.Is(err, tt.want) {
			t.Errorf("%s %s: error %v, want %v", tt.private, tt.public, err, tt.want)
		}
	}
	must(t, c.UnbindPublic(addr("10.0.0.5")))
	compare(t, true, errors.Is(c.UnbindPublic(addr("10.0.0.5")), cloud.ErrNotFound))
	must(t, c.BindPublic(addr("10.0.0.3"), addr("203.0.113.7")))
}

func TestSettings(t *testing.T) {
	c, primary := small(t)
	must(t, c.SetMTU(primary.ID, 1450))
	compare(t, 1450, c.Describe("i-1")[0].MTU)
	compare(t, 1450, value(c.DescribeENI(primary.ID))(t).MTU)
	_, err := c.DescribeENI("port-x")
	for i, err := range []error{
		err, c.SetMTU("port-x", 1450), c.SetMTU(primary.ID, 70000), c.SetCustom("i-9", "a", "b"), c.AutoCustom("i-9", true),
		c.SetCustom("i-1", "", "b"), c.SetCustom("i-1", "a-", "b"), c.SetCustom("i-1", "a/b", "b"),
		c.SetCustom("i-1", strings.Repeat("a", 257), "b"), c.SetCustom("i-1", "a", strings.Repeat("b", 16<<10+1)),
	} {
		if err == nil {
			t.Errorf("bad setting %d: no error", i)
		}
	}
	for i := range 40 {
		must(t, c.SetCustom("i-1", fmt.Sprint("key", i), "value"))
	}
	compare(t, true, errors.Is(c.SetCustom("i-1", "one-more", "value"), cloud.ErrPrecondition))
	must(t, c.SetCustom("i-1", "KEY3", ""))
	must(t, c.SetCustom("i-1", "one-more", "value"))
	compare(t, "404", get(c.Handler("i-1", cloud.JDCloud), "/metadata/latest/attributes/customdata/custom-metadata/key3"))
}

// Events come before the method returns, say what is true, and come only for
// what is attached.
func TestEvents(t *testing.T) {
	c, _ := small(t)
	var got []string
	c.Subscribe(func(e cloud.Event) {
		compare(t, e.Kind != cloud.Detached, slices.ContainsFunc(c.Describe(e.Instance), func(x cloud.ENI) bool { return x.ID == e.ENI.ID }))
		got = append(got, fmt.Sprint(e.Kind, " ", e.Instance, " ", e.ENI.ID, " ", e.ENI.Index))
	})
	for _, step := range []struct {
		do   func() error
		want []string
	}{
		{func() error { _, err := c.CreateInstance("i-2", "subnet-a", cloud.ENIOptions{}); return err }, []string{"attached i-2 port-a2uv000002 0"}},
		{func() error { _, err := c.CreateENI("subnet-b", cloud.ENIOptions{}); return err }, nil},
		{func() error { return c.Assign("port-a2uv000003", addr("10.0.1.9")) }, nil},
		{func() error { return c.Attach("i-2", "port-a2uv000003") }, []string{"attached i-2 port-a2uv000003 1"}},
		{func() error { return c.Assign("port-a2uv000003", addr("10.0.1.10")) }, []string{"addresses i-2 port-a2uv000003 1"}},
		{func() error { return c.Assign("port-a2uv000003", addr("10.0.1.10")) }, nil},
		{func() error { return c.Release("port-a2uv000003", addr("10.0.1.10")) }, []string{"addresses i-2 port-a2uv000003 1"}},
		{func() error { return c.AssignPrefix("port-a2uv000003", prefix("10.0.1.32/28")) }, []string{"addresses i-2 port-a2uv000003 1"}},
		{func() error { return c.SetMTU("port-a2uv000003", 1450) }, []string{"addresses i-2 port-a2uv000003 1"}},
		{func() error { return c.BindPublic(addr("10.0.1.3"), addr("203.0.113.7")) }, []string{"addresses i-2 port-a2uv000003 1"}},
		{func() error { return c.Detach("i-2", "port-a2uv000003") }, []string{"detached i-2 port-a2uv000003 1"}},
		{func() error { return c.SetCustom("i-2", "a", "b") }, nil},
	} {
		got = nil
		must(t, step.do())
		compare(t, step.want, got)
	}
}

// What is handed out shares no memory with the model.
func TestCopies(t *testing.T) {
	c := tour(t)
	before := c.Describe("i-1")
	spoil := func(e cloud.ENI) {
		e.Addresses[0], e.Subnets[0] = addr("192.0.2.1"), prefix("192.0.2.0/24")
		clear(e.Prefixes)
		e.Public[addr("192.0.2.1")] = addr("192.0.2.2")
	}
	c.Subscribe(func(e cloud.Event) { spoil(e.ENI) })
	spoil(c.Describe("i-1")[0])
	spoil(value(c.DescribeENI(before[0].ID))(t))
	must(t, c.SetMTU(before[0].ID, 0))
	compare(t, before, c.Describe("i-1"))
}

func TestConcurrent(t *testing.T) {
	c, primary := small(t)
	last := map[string]cloud.ENI{} // written only by the subscriber: events never overlap
	c.Subscribe(func(e cloud.Event) { last[e.ENI.ID] = e.ENI })
	h := c.Handler("i-1", cloud.JDCloud)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			e, err := c.CreateENI("subnet-b", cloud.ENIOptions{})
			if err != nil {
				t.Error(err)
			}
			for range 20 {
				if err := errors.Join(c.Attach("i-1", e.ID), c.Assign(primary.ID, addr(fmt.Sprintf("10.0.0.%d", 10+i)))); err != nil {
					t.Error(err)
				}
				get(h, "/metadata/latest/network/")
				if err := errors.Join(c.Release(primary.ID, addr(fmt.Sprintf("10.0.0.%d", 10+i))), c.Detach("i-1", e.ID)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	compare(t, c.Describe("i-1")[0], last[primary.ID]) // the last event is the last state
}
