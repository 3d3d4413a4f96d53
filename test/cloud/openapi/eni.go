package openapi

import (
	"slices"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"

	"enid/metadata"
	"enid/test/cloud"
)

func (s *Service) createENI(c call) (any, error) {
	req, err := decode[struct {
		apis.CreateNetworkInterfaceRequest
		SecondaryIPSubnetID string `json:"secondaryIpSubnetId"` // since 2026
	}](c.body)
	if err == nil {
		err = needs("subnetId", req.SubnetId)
	}
	if err != nil {
		return nil, err
	}
	primary, err := address("primaryIpAddress", value(req.PrimaryIpAddress))
	if err != nil {
		return nil, err
	}
	secondary, err := addresses("secondaryIpAddresses", req.SecondaryIpAddresses)
	if err != nil {
		return nil, err
	}
	check, err := sanity(req.SanityCheck)
	if err != nil {
		return nil, err
	}
	e, err := s.cloud.CreateENI(req.SubnetId, cloud.ENIOptions{
		Name: value(req.NetworkInterfaceName), Description: value(req.Description), Primary: primary,
		Secondary: secondary, SecondaryCount: value(req.SecondaryIpCount), SecondarySubnet: req.SecondaryIPSubnetID,
		SecurityGroups: req.SecurityGroups, NoSanityCheck: !check,
	})
	if err != nil {
		return nil, err
	}
	return apis.CreateNetworkInterfaceResult{NetworkInterfaceId: e.ID}, nil
}

// sanity reads sanityCheck, which is 1 unless it says 0.
func sanity(n *int) (bool, error) {
	if n != nil && *n != 0 && *n != 1 {
		return false, invalid("sanityCheck %d: want 0 or 1", *n)
	}
	return n == nil || *n == 1, nil
}

var eniFields = map[string]field[cloud.ENI]{
	"networkInterfaceIds":   exact(func(e cloud.ENI) string { return e.ID }),
	"networkInterfaceNames": exact(func(e cloud.ENI) string { return e.Name }),
	"vpcId":                 exact(func(e cloud.ENI) string { return e.VPC }),
	"subnetId":              exact(func(e cloud.ENI) string { return e.SubnetID }),
	"role":                  exact(role),
	"azType":                {of: func(cloud.ENI) []string { return []string{"all", "standard"} }},
	"azs":                   exact(func(cloud.ENI) string { return "" }), // an ENI has no zone
}

func (s *Service) describeENIs(c call) (any, error) {
	enis, err := selected(c.query, s.cloud.ENIs(), eniFields)
	if err != nil {
		return nil, err
	}
	shown, total, err := page(c.query, enis, usualPages)
	if err != nil {
		return nil, err
	}
	l := s.lookup()
	var result struct {
		NetworkInterfaces []networkInterface `json:"networkInterfaces"`
		TotalCount        int                `json:"totalCount"`
	}
	result.TotalCount, result.NetworkInterfaces = total, []networkInterface{}
	for _, e := range shown {
		result.NetworkInterfaces = append(result.NetworkInterfaces, l.networkInterface(e))
	}
	return result, nil
}

func (s *Service) describeENI(c call) (any, error) {
	e, err := s.cloud.DescribeENI(c.id)
	if err != nil {
		return nil, err
	}
	var result struct {
		NetworkInterface networkInterface `json:"networkInterface"`
	}
	result.NetworkInterface = s.lookup().networkInterface(e)
	return result, nil
}

// describeCidrIPs lists addresses, or with the filter type CIDR blocks.
func (s *Service) describeCidrIPs(c call) (any, error) {
	e, err := s.cloud.DescribeENI(c.id)
	if err != nil {
		return nil, err
	}
	filters, err := c.query.filters()
	if err != nil {
		return nil, err
	}
	kind := "IP"
	if i := slices.IndexFunc(filters, func(f filter) bool { return f.name == "type" }); i >= 0 {
		kind = filters[i].values[0]
	}
	if kind != "IP" && kind != "CIDR" {
		return nil, invalid("filter type %q: want IP or CIDR", kind)
	}
	rows, err := selected(c.query, s.lookup().cidrIPs(e, kind), map[string]field[cidrIP]{
		"type":        {of: func(cidrIP) []string { return []string{kind} }},
		"ipAddresses": exact(func(r cidrIP) string { return r.PrivateIPAddress }),
	})
	if err != nil {
		return nil, err
	}
	var result struct {
		Rows       []cidrIP `json:"networkInterfaceCidrIps"`
		TotalCount int      `json:"totalCount"`
	}
	result.Rows, result.TotalCount, err = page(c.query, rows, usualPages)
	return result, err
}

func (s *Service) modifyENI(c call) (any, error) {
	req, err := decode[struct {
		apis.ModifyNetworkInterfaceRequest
		MacAddress *string `json:"macAddress"` // since 2025
	}](c.body)
	if err != nil {
		return nil, err
	}
	change := cloud.ENIChange{Name: req.NetworkInterfaceName, Description: req.Description, SecurityGroups: req.SecurityGroups}
	if req.MacAddress != nil {
		mac, err := metadata.ParseMAC(*req.MacAddress)
		if err != nil {
			return nil, invalid("macAddress: %v", err)
		}
		change.MAC = &mac
	}
	return empty{}, s.cloud.ModifyENI(c.id, change)
}

func (s *Service) deleteENI(c call) (any, error) { return empty{}, s.cloud.DeleteENI(c.id) }
