package cloud_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"enid/metadata"
	"enid/test/cloud"
)

// The vCPU count sets how many ENIs an instance may have, the primary included.
func TestNICLimit(t *testing.T) {
	for _, tt := range []struct{ vcpu, want int }{{1, 2}, {2, 2}, {3, 4}, {4, 4}, {8, 4}, {9, 8}, {16, 8}, {64, 8}} {
		c, _ := small(t)
		in := value(c.RunInstance(cloud.InstanceOptions{Subnet: "subnet-a", VCPU: tt.vcpu}))(t)
		compare(t, tt.want, in.NICLimit)
		for c.Attach(in.ID, value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t).ID) == nil {
		}
		compare(t, tt.want, len(c.Describe(in.ID)))
	}
}

// events are all that happens from now on, in words.
func events(c *cloud.Cloud) func() []string {
	var mu sync.Mutex
	got := []string{}
	c.Subscribe(func(e cloud.Event) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprint(e.Kind, " ", e.Instance, " ", e.ENI.ID, " ", e.ENI.MAC))
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

// The primary ENI goes with its instance, others where they are set to; the
// rest stays, detached, with its addresses and public addresses.
func TestTerminate(t *testing.T) {
	s := newService(t)
	kept := value(s.CreateENI("subnet-b", cloud.ENIOptions{Secondary: addrs("10.0.1.70")}))(t)
	gone := value(s.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
	must(t, s.Attach("i-4", kept.ID))
	must(t, s.AttachWith("i-4", gone.ID, true))
	must(t, s.Attach("i-4", s.free.ID))
	must(t, s.SetAutoDelete("i-4", map[string]bool{s.free.ID: true}))
	must(t, s.AssociateInstanceEIP("i-4", s.region.ID))
	must(t, s.AssignSecondary(gone.ID, cloud.AssignOptions{MaskLen: 28}))
	enis := s.Describe("i-4")
	compare(t, []bool{true, false, true, true}, []bool{enis[0].AutoDelete, enis[1].AutoDelete, enis[2].AutoDelete, enis[3].AutoDelete})
	must(t, s.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Instance: "i-4", Status: 503}))
	got := events(s.Cloud)
	must(t, s.Terminate("i-4"))
	compare(t, []string{
		fmt.Sprint("detached i-4 ", s.free.ID, " ", s.free.MAC), fmt.Sprint("detached i-4 ", gone.ID, " ", gone.MAC),
		fmt.Sprint("detached i-4 ", kept.ID, " ", kept.MAC), fmt.Sprint("detached i-4 ", enis[0].ID, " ", enis[0].MAC),
	}, got())
	compare(t, kept, value(s.DescribeENI(kept.ID))(t))
	compare(t, []string{s.primary.ID, s.second.ID, s.foreign.ID, kept.ID}, idsOf(s.ENIs(), "i-v", "i-stopped"))
	for _, eip := range s.ElasticIPs() {
		compare(t, "", eip.ENI)
	}
	compare(t, "404", get(s.Handler("i-4", cloud.JDCloud), "/metadata/latest/network/"))
	// All that went is free again.
	must(t, s.AssignSecondary(kept.ID, cloud.AssignOptions{Addresses: append(gone.Addresses, addr("10.0.1.50"))}))
	must(t, s.AssignSecondary(kept.ID, cloud.AssignOptions{MaskLen: 28}))
	value(s.RunInstance(cloud.InstanceOptions{ID: "i-4", Subnet: "subnet-a"}))(t)
	compare(t, `["1/"]`, get(s.Handler("i-4", cloud.JDCloud), "/metadata/latest/network/")) // nor is the fault the new one's
}

// idsOf are the ids of ENIs, without those of some instances.
func idsOf(enis []cloud.ENI, without ...string) (ids []string) {
	for _, e := range enis {
		if e.Instance == "" || !strings.Contains(strings.Join(without, " "), e.Instance) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// An ENI that moves keeps private and public addresses, groups and MAC, and
// forgets that it was to go with the instance.
func TestMove(t *testing.T) {
	s := newService(t)
	must(t, s.AttachWith("i-4", s.free.ID, true))
	must(t, s.Detach("i-4", s.free.ID))
	compare(t, s.free, value(s.DescribeENI(s.free.ID))(t))
	must(t, s.Attach("i-stopped", s.free.ID)) // a stopped instance takes ENIs too
	moved := s.free
	moved.Instance, moved.Index = "i-stopped", 1
	compare(t, moved, value(s.DescribeENI(s.free.ID))(t))
	must(t, s.Start("i-stopped"))
	compare(t, cloud.Running, value(s.DescribeInstance("i-stopped"))(t).Status)
	must(t, s.Detach("i-stopped", s.free.ID))
	must(t, s.DeleteENI(s.free.ID))
	compare(t, cloud.ElasticIP{ID: s.bound.ID, Address: s.bound.Address}, s.ElasticIPs()[2])
}

func TestModifyENI(t *testing.T) {
	s := newService(t)
	got := events(s.Cloud)
	name, text, mac := "new", "for tests", metadata.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}
	must(t, s.ModifyENI(s.second.ID, cloud.ENIChange{Name: &name, Description: &text}))
	compare(t, []string{}, got())
	must(t, s.ModifyENI(s.second.ID, cloud.ENIChange{SecurityGroups: []string{"sg-1", "sg-2"}}))
	compare(t, `["sg-1","sg-2"]`, get(s.Handler("i-1", cloud.JDCloud), "/metadata/latest/network/2/security-group-ids"))
	must(t, s.ModifyENI(s.second.ID, cloud.ENIChange{MAC: &mac}))
	must(t, s.ModifyENI(s.free.ID, cloud.ENIChange{MAC: &s.second.MAC})) // is nobody's now
	at := " i-1 " + s.second.ID + " "
	compare(t, []string{
		"addresses" + at + s.second.MAC.String(), "detached" + at + s.second.MAC.String(), "attached" + at + mac.String(),
	}, got())
	want := s.second
	want.Name, want.Description, want.MAC, want.SecurityGroups = name, text, mac, []string{"sg-1", "sg-2"}
	compare(t, want, s.Describe("i-1")[1])
	compare(t, `"fa:16:3e:00:00:01"`, get(s.Handler("i-1", cloud.JDCloud), "/metadata/latest/network/2/mac"))
}

// Secondary addresses are given, chosen, of another subnet, and pre-empted.
func TestSecondary(t *testing.T) {
	s := newService(t)
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{Addresses: addrs("10.0.1.50", "10.0.1.7"), Count: 2}))
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{Subnet: "subnet-a", Count: 1, Addresses: addrs("10.0.0.99")}))
	e := s.Describe("i-1")[1]
	compare(t, addrs("10.0.1.4", "10.0.1.50", "10.0.1.7", "10.0.1.6", "10.0.1.8", "10.0.0.99", "10.0.0.5"), e.Addresses)
	compare(t, map[netip.Addr]string{addr("10.0.0.99"): "subnet-a", addr("10.0.0.5"): "subnet-a"}, e.AddressSubnets)
	// What was taken came without its public address.
	compare(t, cloud.ElasticIP{ID: s.bound.ID, Address: s.bound.Address}, s.ElasticIPs()[2])
	compare(t, 0, len(e.Public))
	compare(t, 1, len(value(s.DescribeENI(s.free.ID))(t).Addresses))
	// The document tells the range of the other subnet.
	compare(t, true, strings.Contains(string(value(s.DocumentJSON("i-1"))(t)), `"10.0.1.0/24",
        "10.0.0.0/24"`))
	// An ENI of subnet-a takes one back.
	must(t, s.Assign(s.primary.ID, addr("10.0.0.99")))
	compare(t, map[netip.Addr]string{addr("10.0.0.5"): "subnet-a"}, s.Describe("i-1")[1].AddressSubnets)
	compare(t, 0, len(s.Describe("i-1")[0].AddressSubnets))

	born := value(s.CreateENI("subnet-a", cloud.ENIOptions{
		SecondaryCount: 2, Secondary: addrs("10.0.1.60"), SecondarySubnet: "subnet-b", IPv6: addrs("2001:db8:0:a::9"), NoSanityCheck: true,
	}))(t)
	compare(t, addrs("10.0.0.6", "10.0.1.60", "10.0.1.9", "10.0.1.10", "2001:db8:0:a::9"), born.Addresses)
	compare(t, 3, len(born.AddressSubnets))
	compare(t, false, born.SanityCheck)
	must(t, s.AssignSecondary(born.ID, cloud.AssignOptions{Count: 17}))
	compare(t, []int{20, 20}, quotaOf(t, s.Cloud, cloud.QuotaSecondary, born.ID))
}

func quotaOf(t *testing.T, c *cloud.Cloud, kind, parent string) []int {
	t.Helper()
	limit, used, err := c.Quota(kind, parent)
	must(t, err)
	return []int{limit, used}
}

// Blocks are chosen or given, free of everything, and their addresses nobody else's.
func TestBlocks(t *testing.T) {
	s := newService(t)
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{MaskLen: 26}))
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{MaskLen: 28}))
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{Block: prefix("10.0.0.64/26"), MaskLen: 26, Subnet: "subnet-a"}))
	compare(t, []netip.Prefix{prefix("10.0.1.64/26"), prefix("10.0.1.16/28"), prefix("10.0.0.64/26")}, s.Describe("i-1")[1].Prefixes)
	compare(t, []int{20, 3}, quotaOf(t, s.Cloud, cloud.QuotaBlock, s.second.ID))
	for _, a := range []string{"10.0.1.64", "10.0.1.127", "10.0.1.20"} {
		if err := s.Assign(s.free.ID, addr(a)); err == nil {
			t.Errorf("%s of a block is given to another", a)
		}
	}
	must(t, s.Assign(s.free.ID, addrs("10.0.1.63", "10.0.1.128", "10.0.1.32")...))
	must(t, s.UnassignSecondary(s.second.ID, nil, []netip.Prefix{prefix("10.0.1.64/26"), prefix("10.0.0.64/26")}, false))
	must(t, s.Assign(s.free.ID, addr("10.0.1.64")))
	must(t, s.CreateSubnet(cloud.Subnet{ID: "subnet-big", IPv4: prefix("10.8.0.0/16")}))
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{MaskLen: 24, Subnet: "subnet-big"}))
	if err := s.AssignSecondary(s.free.ID, cloud.AssignOptions{Addresses: addrs("10.8.1.9"), Subnet: "subnet-big"}); err == nil {
		t.Error("10.8.1.9 of a /24 is given to another")
	}
	// A block goes with its ENI.
	must(t, s.Detach("i-1", s.second.ID))
	must(t, s.DeleteENI(s.second.ID))
	must(t, s.Assign(s.free.ID, addr("10.0.1.20")))
}

// Two VPCs have the same addresses, and never meet.
func TestEqualRanges(t *testing.T) {
	s := newService(t)
	must(t, s.Assign(s.foreign.ID, addr("10.0.0.40")))
	must(t, s.Assign(s.primary.ID, addr("10.0.0.40")))
	compare(t, addrs("10.0.0.4", "10.0.0.40"), value(s.DescribeENI(s.foreign.ID))(t).Addresses)
	compare(t, addrs("10.0.0.3", "10.0.0.40"), s.Describe("i-1")[0].Addresses)
	compare(t, s.Describe("i-1")[0].Addresses[0], s.Describe("i-v")[0].Addresses[0])
	for _, e := range []cloud.ENI{s.foreign, s.primary} {
		must(t, s.AssignSecondary(e.ID, cloud.AssignOptions{Block: prefix("10.0.0.64/28")}))
	}
	must(t, s.Assign(s.primary.ID, addr("10.0.0.90")))
	must(t, s.AssignSecondary(s.foreign.ID, cloud.AssignOptions{Block: prefix("10.0.0.80/28")}))
	r := httptest.NewRequest("GET", "/metadata/latest/instance-id", nil)
	for remote, want := range map[string]int{"10.0.0.3:1024": http.StatusForbidden, "10.0.0.4:1024": http.StatusOK} {
		w := httptest.NewRecorder()
		r.RemoteAddr = remote // 10.0.0.3 is two instances, 10.0.0.4 one and an ENI that is not attached
		s.HandlerByClient(cloud.JDCloud).ServeHTTP(w, r)
		compare(t, want, w.Code)
	}
}

// One elastic public address for each private one, wherever that is.
func TestElasticIP(t *testing.T) {
	s := newService(t)
	more := value(s.AllocateEIP(""))(t)
	must(t, s.AssociateInstanceEIP("i-1", s.zonal.ID)) // the primary ENI is not a secondary one
	must(t, s.Assign(s.primary.ID, addr("10.0.0.20")))
	must(t, s.AssociateEIP(s.primary.ID, s.region.ID, addr("10.0.0.20")))
	must(t, s.AssociateEIP(s.second.ID, more.ID, netip.Addr{})) // its primary address
	compare(t, map[netip.Addr]netip.Addr{s.primary.Addresses[0]: s.zonal.Address, addr("10.0.0.20"): s.region.Address}, s.Describe("i-1")[0].Public)
	compare(t, map[netip.Addr]netip.Addr{s.second.Addresses[0]: more.Address}, s.Describe("i-1")[1].Public)

	must(t, s.DisassociateInstanceEIP("i-1", s.zonal.ID))
	must(t, s.ReleaseEIP(s.zonal.ID))
	must(t, s.UnassignSecondary(s.primary.ID, addrs("10.0.0.20"), nil, true)) // and its public address
	must(t, s.DisassociateEIP(s.second.ID, more.ID))
	compare(t, []cloud.ElasticIP{s.bound, more}, s.ElasticIPs())
	compare(t, s.region.Address, value(s.AllocateEIP(""))(t).Address) // the lowest that is free
	// BindPublic keeps to the same book.
	must(t, s.BindPublic(s.second.Addresses[0], more.Address))
	must(t, s.DisassociateEIP(s.second.ID, more.ID))
	must(t, s.BindPublic(s.second.Addresses[0], addr("203.0.113.7")))
	compare(t, addr("203.0.113.7"), s.Describe("i-1")[1].Public[s.second.Addresses[0]])
	compare(t, 4, len(s.ElasticIPs()))
}
