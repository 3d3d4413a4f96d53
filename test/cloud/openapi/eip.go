package openapi

import (
	"net/http"

	charge "github.com/jdcloud-api/jdcloud-sdk-go/services/charge/models"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"

	"enid/test/cloud"
)

// describeQuota tells a limit of the account, or of a resource named by
// parentResourceId, and how much of it is used.
func (s *Service) describeQuota(c call) (any, error) {
	kind, parent := c.query["type"], c.query["parentResourceId"]
	if err := needs("type", kind); err != nil {
		return nil, err
	}
	limit, used, err := s.cloud.Quota(kind, parent)
	if err != nil {
		return nil, err
	}
	return apis.DescribeQuotaResult{Quota: vpc.Quota{Type: kind, ParentResourceId: parent, MaxLimit: limit, Count: used}}, nil
}

// createEIPs makes public addresses that belong to no zone, all of them or
// none. Bandwidth, provider and charge change nothing here.
func (s *Service) createEIPs(c call) (any, error) {
	req, err := decode[apis.CreateElasticIpsRequest](c.body)
	if err != nil {
		return nil, err
	}
	switch {
	case req.MaxCount < 1 || req.MaxCount > 100:
		return nil, invalid("maxCount %d: want 1 to 100", req.MaxCount)
	case value(req.ElasticIpAddress) != "":
		return nil, cloud.Refusal{Code: http.StatusBadRequest, Status: cloud.StatusPrecondition, Message: "elasticIpAddress: the address cannot be chosen here"}
	case value(req.DryRun):
		return apis.CreateElasticIpsResult{ElasticIpIds: []string{}}, nil
	}
	result := apis.CreateElasticIpsResult{}
	for range req.MaxCount {
		e, err := s.cloud.AllocateEIP("")
		if err != nil {
			return nil, s.giveBack(result.ElasticIpIds, err)
		}
		result.ElasticIpIds = append(result.ElasticIpIds, e.ID)
	}
	return result, nil
}

// giveBack releases what was made before err happened, and returns err.
func (s *Service) giveBack(ids []string, err error) error {
	for _, id := range ids {
		_ = s.cloud.ReleaseEIP(id) // nobody else knows it: only err matters
	}
	return err
}

// wiredEIP is a public address with the instance that its ENI is attached to.
type wiredEIP struct {
	cloud.ElasticIP
	instance string
}

func (s *Service) wiredEIPs() []wiredEIP {
	instances := map[string]string{}
	for _, e := range s.cloud.ENIs() {
		instances[e.ID] = e.Instance
	}
	var out []wiredEIP
	for _, e := range s.cloud.ElasticIPs() {
		out = append(out, wiredEIP{e, instances[e.ENI]})
	}
	return out
}

func (e wiredEIP) status() string {
	if e.ENI == "" {
		return "NOT_ASSOCIATED"
	}
	return "ASSOCIATED"
}

func (e wiredEIP) wire() vpc.ElasticIp {
	out := vpc.ElasticIp{
		ElasticIpId: e.ID, ElasticIpAddress: e.Address.String(), BandwidthMbps: 100, Provider: "bgp",
		NetworkInterfaceId: e.ENI, InstanceId: e.instance, Az: e.AZ, IpType: "standard",
		Status: e.status(), State: "UP", Tags: []vpc.Tag{},
		Charge: charge.Charge{ChargeMode: "postpaid_by_usage", ChargeStatus: "normal"},
	}
	if e.ENI != "" {
		out.PrivateIpAddress = e.Private.String()
	}
	if e.instance != "" {
		out.InstanceType = "compute"
	}
	return out
}

var eipFields = map[string]field[wiredEIP]{
	"elasticIpIds":     exact(func(e wiredEIP) string { return e.ID }),
	"elasticIpAddress": exact(func(e wiredEIP) string { return e.Address.String() }),
	"azs":              exact(func(e wiredEIP) string { return e.AZ }),
	"ipType":           {of: func(wiredEIP) []string { return []string{"all", "standard"} }},
	"status":           {of: func(e wiredEIP) []string { return []string{"ALL", e.status()} }},
}

func (s *Service) describeEIPs(c call) (any, error) {
	all, err := selected(c.query, s.wiredEIPs(), eipFields)
	if err != nil {
		return nil, err
	}
	shown, total, err := page(c.query, all, usualPages)
	result := apis.DescribeElasticIpsResult{ElasticIps: []vpc.ElasticIp{}, TotalCount: total}
	for _, e := range shown {
		result.ElasticIps = append(result.ElasticIps, e.wire())
	}
	return result, err
}

func (s *Service) describeEIP(c call) (any, error) {
	for _, e := range s.wiredEIPs() {
		if e.ID == c.id {
			return apis.DescribeElasticIpResult{ElasticIp: e.wire()}, nil
		}
	}
	return nil, notFound("elasticIpId")
}

func (s *Service) deleteEIP(c call) (any, error) { return empty{}, s.cloud.ReleaseEIP(c.id) }
