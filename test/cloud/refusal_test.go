package cloud_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/cloud"
)

// rule is one thing that the cloud refuses, and how it says so.
type rule struct {
	name string
	do   func(s service) error
	want cloud.Refusal
}

func notFound(parameter string) cloud.Refusal {
	return cloud.Refusal{Code: 404, Status: "NOT_FOUND", Message: "Resource '" + parameter + "' not found"}
}
func used(parameter string) cloud.Refusal {
	return cloud.Refusal{Code: 409, Status: "ALREADY_EXISTS", Message: "Resource '" + parameter + "' already be used"}
}
func precondition(message string) cloud.Refusal {
	return cloud.Refusal{Code: 400, Status: "FAILED_PRECONDITION", Message: message}
}
func invalid(message string) cloud.Refusal {
	return cloud.Refusal{Code: 400, Status: "INVALID_ARGUMENT", Message: message}
}
func exceeded(what string) cloud.Refusal {
	return cloud.Refusal{Code: 429, Status: "QUOTA_EXCEEDED", Message: what + " quota limit exceeded"}
}

// create is the error of making an ENI.
func create(s service, subnet string, o cloud.ENIOptions) error {
	_, err := s.CreateENI(subnet, o)
	return err
}

func run(s service, o cloud.InstanceOptions) error {
	_, err := s.RunInstance(o)
	return err
}

func checkRefused(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			s := newService(t)
			before := wholeOf(s.Cloud)
			s.Subscribe(func(e cloud.Event) { t.Errorf("event of a refused operation: %+v", e) })
			err := r.do(s)
			var got cloud.Refusal
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a refusal", err)
			}
			compare(t, r.want, got)
			compare(t, before, wholeOf(s.Cloud))
		})
	}
}

func TestAttachRefused(t *testing.T) {
	checkRefused(t, []rule{
		{"an instance of up to 2 vCPUs has 2 ENIs, the primary included",
			func(s service) error { return s.Attach("i-1", s.free.ID) },
			precondition("Flavor constraints. NetworkInterface limit exceeded")},
		{"an attached ENI is attached nowhere else",
			func(s service) error { return s.Attach("i-4", s.second.ID) },
			precondition("NetworkInterface has been attached on other device")},
		{"an attached ENI is not attached again",
			func(s service) error { return s.Attach("i-1", s.second.ID) },
			precondition("NetworkInterface has been attached on other device")},
		{"a primary ENI is never attached",
			func(s service) error { return s.Attach("i-4", s.primary.ID) },
			precondition("NetworkInterface has been attached on other device")},
		{"ENI and instance are of the same VPC",
			func(s service) error { return s.Attach("i-4", s.foreign.ID) },
			precondition("NetworkInterface and instance are not in the same vpc")},
		{"attach to no instance", func(s service) error { return s.Attach("i-9", s.free.ID) }, notFound("instanceId")},
		{"attach no ENI", func(s service) error { return s.Attach("i-4", "port-9") }, notFound("networkInterfaceId")},
		{"a primary ENI is never detached",
			func(s service) error { return s.Detach("i-1", s.primary.ID) },
			precondition("Can't detach primaryNetworkInterface")},
		{"an ENI is detached from the instance that has it",
			func(s service) error { return s.Detach("i-4", s.second.ID) },
			precondition("NetworkInterface is not attached on this device")},
		{"an ENI that is not attached is not detached",
			func(s service) error { return s.Detach("i-1", s.free.ID) },
			precondition("NetworkInterface is not attached on this device")},
		{"delete-with-instance of a primary ENI is fixed on",
			func(s service) error {
				return s.SetAutoDelete("i-1", map[string]bool{s.second.ID: true, s.primary.ID: false})
			},
			precondition("Can't modify primaryNetworkInterface")},
		{"delete-with-instance is of attached ENIs",
			func(s service) error { return s.SetAutoDelete("i-1", map[string]bool{s.free.ID: true}) },
			precondition("NetworkInterface is not attached on this device")},
		{"delete-with-instance on no instance", func(s service) error { return s.SetAutoDelete("i-9", nil) }, notFound("instanceId")},
	})
}

func TestInstanceRefused(t *testing.T) {
	checkRefused(t, []rule{
		{"a running instance is not started", func(s service) error { return s.Start("i-1") }, precondition("Invalid instance status running")},
		{"a stopped instance is not stopped", func(s service) error { return s.Stop("i-stopped") }, precondition("Invalid instance status stopped")},
		{"start no instance", func(s service) error { return s.Start("i-9") }, notFound("instanceId")},
		{"terminate no instance", func(s service) error { return s.Terminate("i-9") }, notFound("instanceId")},
		{"an id is of one instance",
			func(s service) error { return run(s, cloud.InstanceOptions{ID: "i-1", Subnet: "subnet-a"}) }, used("instanceId")},
		{"an instance is in a subnet", func(s service) error { return run(s, cloud.InstanceOptions{}) }, notFound("subnetId")},
		{"an instance has vCPUs",
			func(s service) error { return run(s, cloud.InstanceOptions{Subnet: "subnet-a", VCPU: -1}) }, invalid("-1 vCPUs: want at least one")},
	})
}

func TestENIRefused(t *testing.T) {
	six := slices.Repeat([]string{"sg-1"}, 6)
	long, multicast := strings.Repeat("名", 33), metadata.MAC{3}
	checkRefused(t, []rule{
		{"an ENI is in a subnet", func(s service) error { return create(s, "subnet-x", cloud.ENIOptions{}) }, notFound("subnetId")},
		{"a primary address is of one ENI",
			func(s service) error { return create(s, "subnet-b", cloud.ENIOptions{Primary: s.free.Addresses[0]}) }, used("primaryIp")},
		{"a primary address is never pre-empted by a secondary one",
			func(s service) error { return create(s, "subnet-b", cloud.ENIOptions{Secondary: s.free.Addresses[:1]}) }, used("secondaryIps")},
		{"100 secondary ENIs in a region", func(s service) error {
			must1(s.SetQuota(cloud.QuotaENI, 3))
			defer func() { must1(s.SetQuota(cloud.QuotaENI, 100)) }()
			return create(s, "subnet-b", cloud.ENIOptions{})
		}, exceeded("NetworkInterface")},
		{"an ENI has five security groups at most",
			func(s service) error { return create(s, "subnet-b", cloud.ENIOptions{SecurityGroups: six}) },
			invalid("6 securityGroups: want 1 to 5")},
		{"an ENI keeps five security groups at most",
			func(s service) error { return s.ModifyENI(s.second.ID, cloud.ENIChange{SecurityGroups: six}) },
			invalid("6 securityGroups: want 1 to 5")},
		{"an ENI keeps one security group at least",
			func(s service) error { return s.ModifyENI(s.second.ID, cloud.ENIChange{SecurityGroups: []string{}}) },
			invalid("0 securityGroups: want 1 to 5")},
		{"a name has 32 characters at most",
			func(s service) error { return s.ModifyENI(s.second.ID, cloud.ENIChange{Name: &long}) },
			invalid("networkInterfaceName of 33 characters: want 32 at most")},
		{"a MAC is of one ENI",
			func(s service) error { return s.ModifyENI(s.free.ID, cloud.ENIChange{MAC: &s.second.MAC}) }, used("macAddress")},
		{"a MAC is of one interface",
			func(s service) error { return s.ModifyENI(s.free.ID, cloud.ENIChange{MAC: &multicast}) },
			invalid("macAddress 03:00:00:00:00:00: want that of one interface, not zero and not multicast")},
		{"modify no ENI", func(s service) error { return s.ModifyENI("port-9", cloud.ENIChange{}) }, notFound("networkInterfaceId")},
		{"an attached ENI is not deleted", func(s service) error { return s.DeleteENI(s.second.ID) }, precondition("NetworkInterface is attached")},
		{"a primary ENI is not deleted", func(s service) error { return s.DeleteENI(s.primary.ID) }, precondition("Can't delete primaryNetworkInterface")},
		{"delete no ENI", func(s service) error { return s.DeleteENI("port-9") }, notFound("networkInterfaceId")},
	})
}

func must1(err error) {
	if err != nil {
		panic(err)
	}
}

// assign is a rule about AssignSecondary on i-1's secondary ENI.
func assign(name string, o cloud.AssignOptions, want cloud.Refusal) rule {
	return rule{name, func(s service) error { return s.AssignSecondary(s.second.ID, o) }, want}
}

func TestAssignRefused(t *testing.T) {
	unassign := func(name string, addrs []netip.Addr, blocks []netip.Prefix, want cloud.Refusal) rule {
		return rule{name, func(s service) error { return s.UnassignSecondary(s.second.ID, addrs, blocks, true) }, want}
	}
	checkRefused(t, []rule{
		assign("20 secondary addresses", cloud.AssignOptions{Count: 21}, precondition("SecondaryIp quota limit exceeded")),
		assign("20 secondary addresses, given and chosen", cloud.AssignOptions{Count: 20, Addresses: addrs("10.0.1.60")},
			precondition("SecondaryIp quota limit exceeded")),
		assign("without force nothing is pre-empted", cloud.AssignOptions{Addresses: addrs("10.0.1.60", "10.0.1.50"), NoForce: true}, used("secondaryIps")),
		assign("a primary address is never pre-empted", cloud.AssignOptions{Addresses: addrs("10.0.1.60", "10.0.1.3")}, used("secondaryIps")),
		assign("the gateway is the cloud's", cloud.AssignOptions{Addresses: addrs("10.0.1.1")},
			invalid("secondaryIps: 10.0.1.1 is the network, gateway, DHCP or broadcast address of subnet 'subnet-b': choose another")),
		assign("the second host is DHCP's", cloud.AssignOptions{Addresses: addrs("10.0.1.2")},
			invalid("secondaryIps: 10.0.1.2 is the network, gateway, DHCP or broadcast address of subnet 'subnet-b': choose another")),
		assign("addresses are of the subnet", cloud.AssignOptions{Addresses: addrs("10.0.0.60")},
			invalid("secondaryIps: 10.0.0.60 lies outside subnet 'subnet-b': choose one inside")),
		assign("the other subnet is of the same VPC", cloud.AssignOptions{Count: 1, Subnet: "subnet-v"},
			precondition("NetworkInterface and subnet are not in the same vpc")),
		assign("the other subnet is there", cloud.AssignOptions{Count: 1, Subnet: "subnet-x"}, notFound("secondaryIpSubnetId")),
		assign("no negative count", cloud.AssignOptions{Count: -1}, invalid("secondaryIps, secondaryIpCount: want one address at least")),
		assign("something is assigned", cloud.AssignOptions{}, invalid("secondaryIps, secondaryIpCount: want one address at least")),
		assign("blocks are /24 to /28: not longer", cloud.AssignOptions{MaskLen: 29}, invalid("secondaryIpMaskLen 29: want 24 to 28")),
		assign("blocks are /24 to /28: not shorter", cloud.AssignOptions{MaskLen: 23}, invalid("secondaryIpMaskLen 23: want 24 to 28")),
		assign("blocks are /24 to /28: not this one", cloud.AssignOptions{Block: prefix("10.0.1.64/30")},
			invalid("secondaryCidr 10.0.1.64/30: want /24 to /28, or /80, without host bits inside subnet 'subnet-b'")),
		assign("a block is never pre-empted", cloud.AssignOptions{Block: prefix("10.0.1.48/28")}, used("secondaryCidr")),
		assign("a block without the cloud's own addresses", cloud.AssignOptions{Block: prefix("10.0.1.0/28")},
			invalid("secondaryCidr 10.0.1.0/28: it contains 10.0.1.0, which is the cloud's own: choose another")),
		assign("a whole subnet is not free", cloud.AssignOptions{MaskLen: 24},
			cloud.Refusal{Code: 409, Status: "ALREADY_EXISTS", Message: "Subnet 'subnet-b' has no free block /24: release some or use another subnet"}),
		assign("a block or addresses", cloud.AssignOptions{MaskLen: 28, Count: 1},
			invalid("secondaryIpMaskLen: not together with secondaryIps or secondaryIpCount")),
		assign("a block as long as its mask", cloud.AssignOptions{MaskLen: 27, Block: prefix("10.0.1.64/28")},
			invalid("secondaryIpMaskLen 27: the block is 10.0.1.64/28: say the same length")),
		unassign("a primary address is never released", addrs("10.0.1.4"), nil, precondition("Can't unassign primaryIp")),
		unassign("only the ENI's addresses", addrs("10.0.1.50"), nil, notFound("secondaryIps")),
		unassign("only the ENI's blocks", nil, []netip.Prefix{prefix("10.0.1.64/28")}, notFound("secondaryCidrs")),
		unassign("something is unassigned", nil, nil, invalid("secondaryIps, secondaryCidrs: name what to unassign")),
		{"assign to no ENI", func(s service) error { return s.AssignSecondary("port-9", cloud.AssignOptions{Count: 1}) }, notFound("networkInterfaceId")},
	})
}

func TestElasticIPRefused(t *testing.T) {
	checkRefused(t, []rule{
		{"one public address for each private one",
			func(s service) error { return s.AssociateEIP(s.free.ID, s.region.ID, addr("10.0.1.50")) }, used("privateIpAddress")},
		{"one private address for each public one",
			func(s service) error { return s.AssociateEIP(s.second.ID, s.bound.ID, netip.Addr{}) }, used("elasticIpId")},
		{"a zonal address is not on secondary ENIs",
			func(s service) error { return s.AssociateEIP(s.second.ID, s.zonal.ID, netip.Addr{}) },
			precondition("ElasticIp 'fip-a2uv000002' of az cn-north-1c can't be associated with a secondary networkInterface")},
		{"a zonal address is of the instance's zone",
			func(s service) error { return s.AssociateInstanceEIP("i-4", s.zonal.ID) },
			precondition("ElasticIp 'fip-a2uv000002' and instance are not in the same az")},
		{"only the ENI's addresses",
			func(s service) error { return s.AssociateEIP(s.second.ID, s.region.ID, addr("10.0.1.50")) }, notFound("privateIpAddress")},
		{"bind no public address",
			func(s service) error { return s.AssociateEIP(s.second.ID, "fip-9", netip.Addr{}) }, notFound("elasticIpId")},
		{"bind to no ENI",
			func(s service) error { return s.AssociateEIP("port-9", s.region.ID, netip.Addr{}) }, notFound("networkInterfaceId")},
		{"bind to no instance", func(s service) error { return s.AssociateInstanceEIP("i-9", s.region.ID) }, notFound("instanceId")},
		{"unbind what is bound elsewhere", func(s service) error { return s.DisassociateEIP(s.second.ID, s.bound.ID) },
			precondition("ElasticIp 'fip-a2uv000003' is not associated with the networkInterface")},
		{"the instance's binding is the primary ENI's", func(s service) error { return s.DisassociateInstanceEIP("i-1", s.bound.ID) },
			precondition("ElasticIp 'fip-a2uv000003' is not associated with the primaryIp of the primaryNetworkInterface")},
		{"unbind no public address", func(s service) error { return s.DisassociateInstanceEIP("i-1", "fip-9") }, notFound("elasticIpId")},
		{"a bound address is not released", func(s service) error { return s.ReleaseEIP(s.bound.ID) },
			precondition("ElasticIp 'fip-a2uv000003' is associated")},
		{"release no public address", func(s service) error { return s.ReleaseEIP("fip-9") }, notFound("elasticIpId")},
	})
}

func TestVPCRefused(t *testing.T) {
	const want = ": want /16 to /28 without host bits in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
	subnet := func(name, vpc, p string, want cloud.Refusal) rule {
		return rule{name, func(s service) error {
			_, err := s.AddSubnet(cloud.Subnet{VPC: vpc, IPv4: prefix(p)})
			return err
		}, want}
	}
	vpc := func(name string, v cloud.VPC, want cloud.Refusal) rule {
		return rule{name, func(s service) error { _, err := s.CreateVPC(v); return err }, want}
	}
	checkRefused(t, []rule{
		subnet("subnets are /16 to /28: not shorter", "", "10.0.0.0/15", invalid("IPv4 range 10.0.0.0/15"+want)),
		subnet("subnets are /16 to /28: not longer", "", "10.9.0.0/29", invalid("IPv4 range 10.9.0.0/29"+want)),
		subnet("subnets have no host bits", "", "10.9.0.1/24", invalid("IPv4 range 10.9.0.1/24"+want)),
		subnet("subnets are private", "", "172.32.0.0/24", invalid("IPv4 range 172.32.0.0/24"+want)),
		subnet("subnets of a VPC do not overlap", "", "10.0.0.128/25",
			cloud.Refusal{Code: 409, Status: "ALREADY_EXISTS", Message: "Subnet overlaps 'subnet-a': choose another range"}),
		subnet("subnets lie in their VPC's range", "vpc-b", "10.1.0.0/24", invalid("IPv4 range 10.1.0.0/24: want one inside the VPC's 10.0.0.0/16")),
		subnet("subnets are of a VPC", "vpc-x", "10.9.0.0/24", notFound("vpcId")),
		vpc("a VPC's range is private", cloud.VPC{CIDR: prefix("8.0.0.0/16")}, invalid("Range 8.0.0.0/16"+want+", or none")),
		vpc("an id is of one VPC", cloud.VPC{ID: "vpc-b"}, used("vpcId")),
		{"10 VPCs in a region", func(s service) error {
			must1(s.SetQuota(cloud.QuotaVPC, 2))
			defer func() { must1(s.SetQuota(cloud.QuotaVPC, 10)) }()
			_, err := s.CreateVPC(cloud.VPC{})
			return err
		}, exceeded("Vpc")},
		{"10 subnets in a VPC", func(s service) error {
			must1(s.SetQuota(cloud.QuotaSubnet, 1))
			defer func() { must1(s.SetQuota(cloud.QuotaSubnet, 10)) }()
			_, err := s.AddSubnet(cloud.Subnet{VPC: "vpc-b", IPv4: prefix("10.0.9.0/24")})
			return err
		}, exceeded("Subnet")},
		{"describe no subnet", func(s service) error { _, err := s.DescribeSubnet("subnet-x"); return err }, notFound("subnetId")},
		{"a quota has a kind", func(s service) error { _, _, err := s.Quota("acl", ""); return err },
			invalid("Quota type 'acl': want one of [network_interface network_interface_cidr secondaryIp subnet vpc], and no negative limit")},
		{"a quota has a parent", func(s service) error { _, _, err := s.Quota(cloud.QuotaSubnet, "vpc-x"); return err }, notFound("parentResourceId")},
		{"a quota of an ENI", func(s service) error { _, _, err := s.Quota(cloud.QuotaSecondary, "port-9"); return err }, notFound("parentResourceId")},
	})
}
