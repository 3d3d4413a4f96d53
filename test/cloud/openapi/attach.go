package openapi

import (
	"strings"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
)

func (s *Service) attach(c call) (any, error) {
	req, err := decode[apis.AttachNetworkInterfaceRequest](c.body)
	if err == nil {
		err = needs("networkInterfaceId", req.NetworkInterfaceId)
	}
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.AttachWith(c.id, req.NetworkInterfaceId, value(req.AutoDelete))
}

func (s *Service) detach(c call) (any, error) {
	req, err := decode[apis.DetachNetworkInterfaceRequest](c.body)
	if err == nil {
		err = needs("networkInterfaceId", req.NetworkInterfaceId)
	}
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.Detach(c.id, req.NetworkInterfaceId)
}

func (s *Service) modifyNetworks(c call) (any, error) {
	req, err := decode[apis.ModifyInstanceNetworkAttributeRequest](c.body)
	if err != nil {
		return nil, err
	}
	set := map[string]bool{}
	for _, n := range req.Networks {
		if err := needs("networks.networkInterfaceId", value(n.NetworkInterfaceId)); err != nil {
			return nil, err
		}
		set[*n.NetworkInterfaceId] = value(n.AutoDelete)
	}
	if len(set) == 0 {
		return nil, invalid("Parameter 'networks' is required")
	}
	return empty{}, s.cloud.SetAutoDelete(c.id, set)
}

// associateInstance binds a public address to the primary ENI's primary address.
func (s *Service) associateInstance(c call) (any, error) {
	req, err := decode[apis.AssociateElasticIpRequest](c.body)
	if err == nil {
		err = needs("elasticIpId", req.ElasticIpId)
	}
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.AssociateInstanceEIP(c.id, req.ElasticIpId)
}

func (s *Service) disassociateInstance(c call) (any, error) {
	req, err := decode[apis.DisassociateElasticIpRequest](c.body)
	if err == nil {
		err = needs("elasticIpId", req.ElasticIpId)
	}
	if err != nil {
		return nil, err
	}
	return empty{}, s.cloud.DisassociateInstanceEIP(c.id, req.ElasticIpId)
}

// modifyInstance sets custom metadata. What else the call can change, this
// cloud's instances do not have, and it says so.
func (s *Service) modifyInstance(c call) (any, error) {
	req, err := decode[apis.ModifyInstanceAttributeRequest](c.body)
	if err != nil {
		return nil, err
	}
	if req.Name != nil || req.Description != nil || req.Hostname != nil || len(req.Userdata) > 0 {
		return nil, invalid("only metadata can be changed here, not name, description, hostname or userdata")
	}
	return empty{}, s.setCustom(c.id, req.Metadata)
}

// setCustom sets the pairs given, all of them or none, and leaves the others;
// an empty value removes its pair. As documented, a key that ends in a dash has
// no effect. Whether the others stay on JD Cloud no document says.
func (s *Service) setCustom(instance string, pairs []vm.Metadata) error {
	set := map[string]string{}
	for _, p := range pairs {
		if key := value(p.Key); !strings.HasSuffix(key, "-") {
			set[key] = value(p.Value)
		}
	}
	return s.cloud.SetCustomPairs(instance, set)
}
