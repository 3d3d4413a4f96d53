package openapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	common "github.com/jdcloud-api/jdcloud-sdk-go/services/common/models"
	vmapis "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"
)

// createEIP makes a public address and tells its id and itself.
func (r rig) createEIP(t *testing.T) (id, address string) {
	t.Helper()
	resp, err := r.vpc.CreateElasticIps(apis.NewCreateElasticIpsRequest(region, 1, &vpc.ElasticIpSpec{BandwidthMbps: 5, Provider: "bgp"}))
	id = did(t, resp, err).Result.ElasticIpIds[0]
	return id, r.eip(t, id).ElasticIpAddress
}

func (r rig) eip(t *testing.T, id string) vpc.ElasticIp {
	t.Helper()
	resp, err := r.vpc.DescribeElasticIp(apis.NewDescribeElasticIpRequest(region, id))
	return did(t, resp, err).Result.ElasticIp
}

// TestElasticIPOfAnInstance: the instance's own bind means the primary ENI's primary address.
func TestElasticIPOfAnInstance(t *testing.T) {
	r := newRig(t)
	primary := r.instance(t, "i-1")
	id, address := r.createEIP(t)
	if got := r.eip(t, id); got.Status != "NOT_ASSOCIATED" || got.PrivateIpAddress != "" || got.NetworkInterfaceId != "" {
		t.Errorf("new: %+v", got)
	}
	bound, err := r.vm.AssociateElasticIp(vmapis.NewAssociateElasticIpRequest(region, "i-1", id))
	did(t, bound, err)
	got := r.eip(t, id)
	if got.Status != "ASSOCIATED" || got.InstanceId != "i-1" || got.NetworkInterfaceId != primary || got.PrivateIpAddress != "10.0.1.3" {
		t.Errorf("bound: %+v", got)
	}
	described, err := r.vm.DescribeInstance(vmapis.NewDescribeInstanceRequest(region, "i-1"))
	in := did(t, described, err).Result.Instance
	if in.ElasticIpId != id || in.ElasticIpAddress != address || in.PrimaryNetworkInterface.NetworkInterface.PrimaryIp.ElasticIpAddress != address {
		t.Errorf("the instance shows %q %q", in.ElasticIpId, in.ElasticIpAddress)
	}
	freed, err := r.vm.DisassociateElasticIp(vmapis.NewDisassociateElasticIpRequest(region, "i-1", id))
	did(t, freed, err)
	if got := r.eip(t, id); got.Status != "NOT_ASSOCIATED" {
		t.Errorf("freed: %+v", got)
	}
	deleted, err := r.vpc.DeleteElasticIp(apis.NewDeleteElasticIpRequest(region, id))
	did(t, deleted, err)
	gone, err := r.vpc.DescribeElasticIp(apis.NewDescribeElasticIpRequest(region, id))
	if e := asked(t, gone, err); e.Code != 404 {
		t.Errorf("deleted: %+v", e)
	}
}

func TestElasticIPLists(t *testing.T) {
	r := newRig(t)
	r.instance(t, "i-1")
	made, err := r.vpc.CreateElasticIps(apis.NewCreateElasticIpsRequest(region, 3, &vpc.ElasticIpSpec{BandwidthMbps: 5, Provider: "bgp"}))
	ids := did(t, made, err).Result.ElasticIpIds
	if len(ids) != 3 {
		t.Fatalf("made %v, want 3", ids)
	}
	bound, err := r.vm.AssociateElasticIp(vmapis.NewAssociateElasticIpRequest(region, "i-1", ids[1]))
	did(t, bound, err)
	for value, want := range map[string][]string{"ASSOCIATED": {ids[1]}, "NOT_ASSOCIATED": {ids[0], ids[2]}, "ALL": ids} {
		req := apis.NewDescribeElasticIpsRequest(region)
		req.SetFilters([]common.Filter{{Name: "status", Values: []string{value}}})
		resp, err := r.vpc.DescribeElasticIps(req)
		var got []string
		for _, e := range did(t, resp, err).Result.ElasticIps {
			got = append(got, e.ElasticIpId)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", value, diff)
		}
	}
}
