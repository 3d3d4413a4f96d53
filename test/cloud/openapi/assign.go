package openapi

import (
	"net/netip"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"

	"enid/test/cloud"
)

func (s *Service) assign(c call) (any, error) {
	req, err := decode[struct {
		apis.AssignSecondaryIpsRequest
		SecondaryIPSubnetID string `json:"secondaryIpSubnetId"` // since 2026
	}](c.body)
	if err != nil {
		return nil, err
	}
	o := cloud.AssignOptions{
		Count: value(req.SecondaryIpCount), MaskLen: value(req.SecondaryIpMaskLen), Subnet: req.SecondaryIPSubnetID,
		NoForce: req.Force != nil && !*req.Force,
	}
	if o.Addresses, err = addresses("secondaryIps", req.SecondaryIps); err != nil {
		return nil, err
	}
	if o.Block, err = block(value(req.SecondaryIpAddress), o.MaskLen); err != nil {
		return nil, err
	}
	if o.MaskLen != 0 && req.Force != nil && *req.Force {
		return nil, invalid("force: a block cannot be taken from another ENI")
	}
	return empty{}, s.cloud.AssignSecondary(c.id, o)
}

// block is the block that begins with the address first, or zero where no
// address is given: the cloud chooses.
func block(first string, bits int) (netip.Prefix, error) {
	a, err := address("secondaryIpAddress", first)
	if err != nil || first == "" {
		return netip.Prefix{}, err
	}
	if bits == 0 {
		return netip.Prefix{}, invalid("secondaryIpAddress %s: say secondaryIpMaskLen as well", first)
	}
	p := netip.PrefixFrom(a, bits)
	if !p.IsValid() || p != p.Masked() {
		return netip.Prefix{}, invalid("secondaryIpAddress %s: it is not the first of a block of /%d", first, bits)
	}
	return p, nil
}

func (s *Service) unassign(c call) (any, error) {
	req, err := decode[struct {
		apis.UnassignSecondaryIpsRequest
		DeleteElasticIP bool `json:"deleteElasticIp"` // since revision 1.1.5x of the API
	}](c.body)
	if err != nil {
		return nil, err
	}
	addrs, err := addresses("secondaryIps", req.SecondaryIps)
	if err != nil {
		return nil, err
	}
	blocks, err := prefixes("secondaryCidrs", req.SecondaryCidrs)
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.UnassignSecondary(c.id, addrs, blocks, req.DeleteElasticIP)
}

func (s *Service) associate(c call) (any, error) {
	req, err := decode[apis.AssociateElasticIpRequest](c.body)
	if err != nil {
		return nil, err
	}
	private, err := address("privateIpAddress", value(req.PrivateIpAddress))
	if err != nil {
		return nil, err
	}
	eip, err := s.elasticIP(value(req.ElasticIpId), value(req.ElasticIpAddress))
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.AssociateEIP(c.id, eip, private)
}

func (s *Service) disassociate(c call) (any, error) {
	req, err := decode[apis.DisassociateElasticIpRequest](c.body)
	if err != nil {
		return nil, err
	}
	eip, err := s.elasticIP(value(req.ElasticIpId), value(req.ElasticIpAddress))
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.DisassociateEIP(c.id, eip)
}

// elasticIP is the id of a public address that is named by id, by address or by both.
func (s *Service) elasticIP(id, addr string) (string, error) {
	if addr == "" {
		return id, needs("elasticIpId", id)
	}
	a, err := address("elasticIpAddress", addr)
	if err != nil {
		return "", err
	}
	for _, e := range s.cloud.ElasticIPs() {
		if e.Address == a && (id == "" || id == e.ID) {
			return e.ID, nil
		}
	}
	return "", notFound("elasticIpAddress")
}
