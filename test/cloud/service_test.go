package cloud_test

import (
	"fmt"
	"testing"

	"enid/test/cloud"
)

// service is a cloud with something for every rule: two VPCs with equal ranges,
// instances of all sizes and statuses, ENIs attached and not.
type service struct {
	*cloud.Cloud
	primary, second cloud.ENI // of i-1, which is full
	free            cloud.ENI // of subnet-b, attached to nothing, with a secondary address 10.0.1.50
	foreign         cloud.ENI // in vpc-b, attached to nothing
	region, zonal   cloud.ElasticIP
	bound           cloud.ElasticIP // bound to 10.0.1.50
}

func newService(t *testing.T) service {
	t.Helper()
	c := cloud.New()
	return populate(t, c)
}

func populate(t *testing.T, c *cloud.Cloud) service {
	t.Helper()
	s := service{Cloud: c}
	value(c.CreateVPC(cloud.VPC{ID: "vpc-b", Name: "other", CIDR: prefix("10.0.0.0/16")}))(t)
	for _, sub := range []cloud.Subnet{
		{ID: "subnet-a", IPv4: prefix("10.0.0.0/24"), IPv6: prefix("2001:db8:0:a::/64")},
		{ID: "subnet-b", IPv4: prefix("10.0.1.0/24"), Name: "second"},
		{ID: "subnet-v", VPC: "vpc-b", IPv4: prefix("10.0.0.0/24")},
	} {
		must(t, c.CreateSubnet(sub))
	}
	for _, o := range []cloud.InstanceOptions{
		{ID: "i-1", Subnet: "subnet-a", VCPU: 2}, {ID: "i-4", Subnet: "subnet-a", VCPU: 4, AZ: "cn-north-1a"},
		{ID: "i-v", Subnet: "subnet-v", VCPU: 16}, {ID: "i-stopped", Subnet: "subnet-b", VCPU: 1},
	} {
		value(c.RunInstance(o))(t)
	}
	must(t, c.Stop("i-stopped"))
	s.second = value(c.CreateENI("subnet-b", cloud.ENIOptions{Name: "second"}))(t)
	must(t, c.Attach("i-1", s.second.ID))
	s.free = value(c.CreateENI("subnet-b", cloud.ENIOptions{Secondary: addrs("10.0.1.50")}))(t)
	s.foreign = value(c.CreateENI("subnet-v", cloud.ENIOptions{}))(t)
	s.region, s.zonal = value(c.AllocateEIP(""))(t), value(c.AllocateEIP(cloud.DefaultAZ))(t)
	s.bound = value(c.AllocateEIP(""))(t)
	must(t, c.AssociateEIP(s.free.ID, s.bound.ID, addr("10.0.1.50")))
	must(t, c.SetCustom("i-1", "motto", "hold"))
	s.primary, s.second = c.Describe("i-1")[0], c.Describe("i-1")[1]
	s.free, s.bound = value(c.DescribeENI(s.free.ID))(t), c.ElasticIPs()[2]
	return s
}

// whole is all that a cloud says of itself.
type whole struct {
	VPCs      []cloud.VPC
	Subnets   []cloud.Subnet
	ENIs      []cloud.ENI
	Instances []cloud.Instance
	EIPs      []cloud.ElasticIP
	Custom    map[string]map[string]string
	Quotas    map[string]string
}

func wholeOf(c *cloud.Cloud) whole {
	w := whole{c.VPCs(), c.Subnets(), c.ENIs(), c.Instances(), c.ElasticIPs(), map[string]map[string]string{}, map[string]string{}}
	for _, in := range w.Instances {
		w.Custom[in.ID] = c.Custom(in.ID)
	}
	quota := func(kind, parent string) {
		limit, used, err := c.Quota(kind, parent)
		w.Quotas[kind+" "+parent] = fmt.Sprint(limit, used, err)
	}
	quota(cloud.QuotaVPC, "")
	quota(cloud.QuotaENI, "")
	for _, v := range w.VPCs {
		quota(cloud.QuotaSubnet, v.ID)
	}
	for _, e := range w.ENIs {
		quota(cloud.QuotaSecondary, e.ID)
		quota(cloud.QuotaBlock, e.ID)
	}
	return w
}
