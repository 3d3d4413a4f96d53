package openapi

import (
	"net/netip"
	"time"

	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"

	"enid/test/cloud"
)

// networkInterface is the SDK's, with what the API has had since 2026: whose
// subnet each address and block is of.
type networkInterface struct {
	vpc.NetworkInterface
	PrimaryIP        privateIP       `json:"primaryIp"`
	SecondaryIPs     []privateIP     `json:"secondaryIps"`
	SecondaryCidrsEx []secondaryCidr `json:"secondaryCidrsEx"`
}

type privateIP struct {
	vpc.NetworkInterfacePrivateIp
	SubnetID string `json:"subnetId"`
}

type secondaryCidr struct {
	SecondaryCidr string `json:"secondaryCidr"`
	SubnetID      string `json:"subnetId"`
}

// cidrIP is a row of describeNetworkInterfaceCidrIps, which v1.64.0 of the SDK does not have.
type cidrIP struct {
	PrivateIPType    string `json:"privateIpType"`
	PrivateIPAddress string `json:"privateIpAddress"`
	ElasticIPAddress string `json:"elasticIpAddress"`
	ElasticIPID      string `json:"elasticIpId"`
	Cidr             string `json:"cidr"`
	BindMode         string `json:"bindMode"`
	SubnetID         string `json:"subnetId"`
}

// lookup is what an ENI's description needs to know of the rest of the cloud.
type lookup struct {
	eips    map[netip.Addr]cloud.ElasticIP // by public address
	subnets []cloud.Subnet
}

func (s *Service) lookup() lookup {
	l := lookup{eips: map[netip.Addr]cloud.ElasticIP{}, subnets: s.cloud.Subnets()}
	for _, e := range s.cloud.ElasticIPs() {
		l.eips[e.Address] = e
	}
	return l
}

func (l lookup) networkInterface(e cloud.ENI) networkInterface {
	n := networkInterface{NetworkInterface: vpc.NetworkInterface{
		NetworkInterfaceName: e.Name, NetworkInterfaceId: e.ID, Description: e.Description,
		AzType: "standard", Role: role(e), MacAddress: e.MAC.String(), VpcId: e.VPC, SubnetId: e.SubnetID,
		NetworkSecurityGroupIds: texts(e.SecurityGroups), SanityCheck: number(e.SanityCheck),
		SecondaryCidrs: []string{}, InstanceId: e.Instance, DeviceIndex: deviceIndex(e),
		AttachmentStatus: "detached", NetworkInterfaceStatus: "enabled", CreatedTime: moment(e.Created),
	}}
	if e.Instance != "" {
		n.InstanceType, n.AttachmentStatus = "compute", "attached"
	}
	n.PrimaryIP, n.SecondaryIPs, n.SecondaryCidrsEx = l.privateIP(e, e.Addresses[0]), []privateIP{}, []secondaryCidr{}
	for _, a := range secondary(e) {
		n.SecondaryIPs = append(n.SecondaryIPs, l.privateIP(e, a))
	}
	for _, b := range blocks(e) {
		n.SecondaryCidrs = append(n.SecondaryCidrs, b.String())
		n.SecondaryCidrsEx = append(n.SecondaryCidrsEx, secondaryCidr{b.String(), l.subnetOf(e, b.Addr())})
	}
	return n
}

func (l lookup) privateIP(e cloud.ENI, a netip.Addr) privateIP {
	p := privateIP{vpc.NetworkInterfacePrivateIp{PrivateIpAddress: a.String()}, l.subnetOf(e, a)}
	if public, ok := e.Public[a]; ok {
		p.ElasticIpAddress, p.ElasticIpId = public.String(), l.eips[public].ID
	}
	return p
}

// subnetOf is the subnet that an address or block of e is from: its own, unless
// it is said to be another or lies outside its own.
func (l lookup) subnetOf(e cloud.ENI, a netip.Addr) string {
	if id, ok := e.AddressSubnets[a]; ok {
		return id
	}
	for _, s := range l.subnets {
		if s.VPC == e.VPC && s.IPv4.Contains(a) {
			return s.ID
		}
	}
	return e.SubnetID
}

func (l lookup) cidrIPs(e cloud.ENI, kind string) []cidrIP {
	var rows []cidrIP
	if kind == "CIDR" {
		for _, b := range blocks(e) {
			rows = append(rows, cidrIP{Cidr: b.String(), SubnetID: l.subnetOf(e, b.Addr())})
		}
		return rows
	}
	for i, a := range append([]netip.Addr{e.Addresses[0]}, secondary(e)...) {
		p := l.privateIP(e, a)
		row := cidrIP{"Secondary", p.PrivateIpAddress, p.ElasticIpAddress, p.ElasticIpId, "", "", p.SubnetID}
		if i == 0 {
			row.PrivateIPType = "Primary"
		}
		if row.ElasticIPAddress != "" {
			row.BindMode = "STANDARD"
		}
		rows = append(rows, row)
	}
	return rows
}

// attachment is an ENI as its instance shows it.
func (l lookup) attachment(e cloud.ENI) vm.InstanceNetworkInterfaceAttachment {
	n := vm.InstanceNetworkInterface{
		NetworkInterfaceId: e.ID, MacAddress: e.MAC.String(), VpcId: e.VPC, SubnetId: e.SubnetID,
		SanityCheck: number(e.SanityCheck), PrimaryIp: l.vmIP(e, e.Addresses[0]),
		SecurityGroups: []vm.SecurityGroupSimple{}, SecondaryIps: []vm.NetworkInterfacePrivateIp{},
		Ipv6Addresses: []vm.NetworkInterfaceIpv6Address{},
	}
	for _, g := range e.SecurityGroups {
		n.SecurityGroups = append(n.SecurityGroups, vm.SecurityGroupSimple{GroupId: g, GroupName: g})
	}
	for _, a := range secondary(e) {
		n.SecondaryIps = append(n.SecondaryIps, l.vmIP(e, a))
	}
	for _, a := range e.Addresses {
		if a.Is6() {
			n.Ipv6Addresses = append(n.Ipv6Addresses, vm.NetworkInterfaceIpv6Address{Ipv6Address: a.String()})
		}
	}
	return vm.InstanceNetworkInterfaceAttachment{DeviceIndex: deviceIndex(e), AutoDelete: e.AutoDelete, NetworkInterface: n}
}

func (l lookup) vmIP(e cloud.ENI, a netip.Addr) vm.NetworkInterfacePrivateIp {
	p := l.privateIP(e, a)
	return vm.NetworkInterfacePrivateIp{PrivateIpAddress: p.PrivateIpAddress, ElasticIpId: p.ElasticIpId, ElasticIpAddress: p.ElasticIpAddress}
}

func role(e cloud.ENI) string {
	if e.Primary {
		return "Primary"
	}
	return "Secondary"
}

// deviceIndex is 0 where the ENI is not attached, 1 for the primary, 2 and up for others.
func deviceIndex(e cloud.ENI) int {
	if e.Instance == "" {
		return 0
	}
	return e.Index + 1
}

// secondary are an ENI's IPv4 addresses but the primary one.
func secondary(e cloud.ENI) []netip.Addr {
	var out []netip.Addr
	for _, a := range e.Addresses[1:] {
		if a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

// blocks are an ENI's IPv4 blocks.
func blocks(e cloud.ENI) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range e.Prefixes {
		if p.Addr().Is4() {
			out = append(out, p)
		}
	}
	return out
}

// texts is list, and never null in JSON.
func texts(list []string) []string { return append([]string{}, list...) }

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// moment is how the API writes an instant; a zero one is empty.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
