package openapi

import (
	"net/netip"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"

	"enid/test/cloud"
)

func (s *Service) createVPC(c call) (any, error) {
	req, err := decode[apis.CreateVpcRequest](c.body)
	if err == nil {
		err = needs("vpcName", req.VpcName)
	}
	if err != nil {
		return nil, err
	}
	v := cloud.VPC{Name: req.VpcName}
	if text := value(req.AddressPrefix); text != "" {
		if v.CIDR, err = prefix("addressPrefix", text); err != nil {
			return nil, err
		}
	}
	made, err := s.cloud.CreateVPC(v)
	if err != nil {
		return nil, err
	}
	return apis.CreateVpcResult{VpcId: made.ID}, nil
}

var vpcFields = map[string]field[cloud.VPC]{
	"vpcIds":   exact(func(v cloud.VPC) string { return v.ID }),
	"vpcNames": exact(func(v cloud.VPC) string { return v.Name }),
	"azType":   {of: func(cloud.VPC) []string { return []string{"all", "standard"} }},
	"azs":      exact(func(cloud.VPC) string { return "" }),
}

func (s *Service) describeVPCs(c call) (any, error) {
	all, err := selected(c.query, s.cloud.VPCs(), vpcFields)
	if err != nil {
		return nil, err
	}
	shown, total, err := page(c.query, all, usualPages)
	result := apis.DescribeVpcsResult{Vpcs: []vpc.Vpc{}, TotalCount: total}
	for _, v := range shown {
		result.Vpcs = append(result.Vpcs, s.vpcWire(v))
	}
	return result, err
}

func (s *Service) describeVPC(c call) (any, error) {
	for _, v := range s.cloud.VPCs() {
		if v.ID == c.id {
			return apis.DescribeVpcResult{Vpc: s.vpcWire(v)}, nil
		}
	}
	return nil, notFound("vpcId")
}

func (s *Service) vpcWire(v cloud.VPC) vpc.Vpc {
	out := vpc.Vpc{
		VpcId: v.ID, VpcName: v.Name, AzType: "standard",
		AclIds: []string{}, RouteTableIds: []string{}, Subnets: []vpc.Subnet{},
	}
	if v.CIDR.IsValid() {
		out.AddressPrefix = v.CIDR.String()
	}
	enis := s.cloud.ENIs()
	for _, sub := range s.cloud.Subnets() {
		if sub.VPC == v.ID {
			out.Subnets = append(out.Subnets, subnetWire(sub, enis))
		}
	}
	return out
}

func (s *Service) createSubnet(c call) (any, error) {
	req, err := decode[apis.CreateSubnetRequest](c.body)
	if err != nil {
		return nil, err
	}
	for _, p := range []struct{ name, text string }{
		{"vpcId", req.VpcId}, {"subnetName", req.SubnetName}, {"addressPrefix", req.AddressPrefix},
	} {
		if err := needs(p.name, p.text); err != nil {
			return nil, err
		}
	}
	if value(req.DryRun) {
		return nil, invalid("dryRun: a subnet cannot be tried out here")
	}
	p, err := prefix("addressPrefix", req.AddressPrefix)
	if err != nil {
		return nil, err
	}
	made, err := s.cloud.AddSubnet(cloud.Subnet{VPC: req.VpcId, Name: req.SubnetName, IPv4: p})
	if err != nil {
		return nil, err
	}
	return apis.CreateSubnetResult{SubnetId: made.ID}, nil
}

var subnetFields = map[string]field[cloud.Subnet]{
	"subnetIds":   exact(func(s cloud.Subnet) string { return s.ID }),
	"subnetNames": exact(func(s cloud.Subnet) string { return s.Name }),
	"vpcId":       exact(func(s cloud.Subnet) string { return s.VPC }),
	"subnetType":  {of: func(cloud.Subnet) []string { return []string{"all", "standard"} }},
	"azType":      {of: func(cloud.Subnet) []string { return []string{"all", "standard"} }},
	"azs":         exact(func(cloud.Subnet) string { return "" }),
}

func (s *Service) describeSubnets(c call) (any, error) {
	all, err := selected(c.query, s.cloud.Subnets(), subnetFields)
	if err != nil {
		return nil, err
	}
	shown, total, err := page(c.query, all, usualPages)
	result := apis.DescribeSubnetsResult{Subnets: []vpc.Subnet{}, TotalCount: total}
	enis := s.cloud.ENIs()
	for _, sub := range shown {
		result.Subnets = append(result.Subnets, subnetWire(sub, enis))
	}
	return result, err
}

func (s *Service) describeSubnet(c call) (any, error) {
	sub, err := s.cloud.DescribeSubnet(c.id)
	if err != nil {
		return nil, err
	}
	return apis.DescribeSubnetResult{Subnet: subnetWire(sub, s.cloud.ENIs())}, nil
}

// subnetWire begins the range with the gateway, its first host, and ends it
// with its last: the SDK says of startIp and endIp that the first address is
// the router's and the second the DHCP server's.
func subnetWire(s cloud.Subnet, enis []cloud.ENI) vpc.Subnet {
	return vpc.Subnet{
		SubnetId: s.ID, SubnetName: s.Name, VpcId: s.VPC, AddressPrefix: s.IPv4.String(),
		AvailableIpCount: available(s, enis), StartIp: s.Gateway().String(), EndIp: lastHost(s.IPv4).String(),
		SubnetType: "standard", PublicSubnet: true, DomainNames: []string{}, DomainNameServers: []string{},
	}
}

// available are the addresses that nobody has: not the cloud (network,
// gateway, DHCP, broadcast) and no ENI, by address or by block.
func available(s cloud.Subnet, enis []cloud.ENI) int {
	free := 1<<(32-s.IPv4.Bits()) - 4
	for _, e := range enis {
		if e.VPC != s.VPC {
			continue
		}
		for _, a := range e.Addresses {
			if s.IPv4.Contains(a) {
				free--
			}
		}
		for _, b := range blocks(e) {
			if s.IPv4.Overlaps(b) {
				free -= 1 << (32 - b.Bits())
			}
		}
	}
	return max(0, free)
}

// lastHost is the address before the broadcast address.
func lastHost(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b).Prev()
}
