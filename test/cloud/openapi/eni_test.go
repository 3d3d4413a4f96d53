package openapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	common "github.com/jdcloud-api/jdcloud-sdk-go/services/common/models"
	vmapis "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"

	"enid/test/cloud"
)

func (r rig) createENI(t *testing.T, change func(*apis.CreateNetworkInterfaceRequest)) string {
	t.Helper()
	req := apis.NewCreateNetworkInterfaceRequest(region, "subnet-a")
	if change != nil {
		change(req)
	}
	resp, err := r.vpc.CreateNetworkInterface(req)
	return did(t, resp, err).Result.NetworkInterfaceId
}

func (r rig) eni(t *testing.T, id string) vpc.NetworkInterface {
	t.Helper()
	resp, err := r.vpc.DescribeNetworkInterface(apis.NewDescribeNetworkInterfaceRequest(region, id))
	return did(t, resp, err).Result.NetworkInterface
}

func (r rig) instance(t *testing.T, id string) string {
	t.Helper()
	e, err := r.cloud.CreateInstance(id, "subnet-a", cloud.ENIOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// TestENIFromCreationToDeletion goes the way of an ENI through the SDK, and looks at it in the SDK's own struct at each step.
func TestENIFromCreationToDeletion(t *testing.T) {
	r := newRig(t)
	r.instance(t, "i-1")
	id := r.createENI(t, func(req *apis.CreateNetworkInterfaceRequest) {
		req.SetNetworkInterfaceName("web")
		req.SetDescription("弹性网卡")
		req.SetPrimaryIpAddress("10.0.1.20")
		req.SetSecondaryIpAddresses([]string{"10.0.1.21"})
		req.SetSanityCheck(0)
		req.SetSecurityGroups([]string{"sg-1", "sg-2"})
	})
	created, err := r.cloud.DescribeENI(id)
	if err != nil {
		t.Fatal(err)
	}
	want := vpc.NetworkInterface{
		NetworkInterfaceName: "web", NetworkInterfaceId: id, AzType: "standard", Role: "Secondary", MacAddress: created.MAC.String(),
		VpcId: created.VPC, SubnetId: "subnet-a", NetworkSecurityGroupIds: []string{"sg-1", "sg-2"}, SanityCheck: 0,
		PrimaryIp:      vpc.NetworkInterfacePrivateIp{PrivateIpAddress: "10.0.1.20"},
		SecondaryIps:   []vpc.NetworkInterfacePrivateIp{{PrivateIpAddress: "10.0.1.21"}},
		SecondaryCidrs: []string{}, Description: "弹性网卡", AttachmentStatus: "detached", NetworkInterfaceStatus: "enabled",
	}
	look := func(step string) {
		t.Helper()
		got := r.eni(t, id)
		if got.CreatedTime == "" {
			t.Error("no time of creation")
		}
		got.CreatedTime = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	look("created")

	attach, err := r.vm.AttachNetworkInterface(vmapis.NewAttachNetworkInterfaceRequest(region, "i-1", id))
	did(t, attach, err)
	want.InstanceType, want.InstanceId, want.DeviceIndex, want.AttachmentStatus = "compute", "i-1", 2, "attached"
	look("attached")

	assign := apis.NewAssignSecondaryIpsRequest(region, id)
	assign.SetSecondaryIps([]string{"10.0.1.30"})
	assigned, err := r.vpc.AssignSecondaryIps(assign)
	did(t, assigned, err)
	block := apis.NewAssignSecondaryIpsRequest(region, id)
	block.SetSecondaryIpMaskLen(28)
	block.SetSecondaryIpAddress("10.0.1.64")
	blocked, err := r.vpc.AssignSecondaryIps(block)
	did(t, blocked, err)
	want.SecondaryIps = append(want.SecondaryIps, vpc.NetworkInterfacePrivateIp{PrivateIpAddress: "10.0.1.30"})
	want.SecondaryCidrs = []string{"10.0.1.64/28"}
	look("assigned")

	eip, address := r.createEIP(t)
	associate := apis.NewAssociateElasticIpRequest(region, id)
	associate.SetElasticIpId(eip)
	associate.SetPrivateIpAddress("10.0.1.30")
	associated, err := r.vpc.AssociateElasticIp(associate)
	did(t, associated, err)
	want.SecondaryIps[1].ElasticIpId, want.SecondaryIps[1].ElasticIpAddress = eip, address
	look("associated")

	disassociate := apis.NewDisassociateElasticIpRequest(region, id)
	disassociate.SetElasticIpAddress(address)
	disassociated, err := r.vpc.DisassociateElasticIp(disassociate)
	did(t, disassociated, err)
	want.SecondaryIps[1].ElasticIpId, want.SecondaryIps[1].ElasticIpAddress = "", ""
	look("disassociated")

	unassign := apis.NewUnassignSecondaryIpsRequest(region, id)
	unassign.SetSecondaryIps([]string{"10.0.1.21"})
	unassign.SetSecondaryCidrs([]string{"10.0.1.64/28"})
	unassigned, err := r.vpc.UnassignSecondaryIps(unassign)
	did(t, unassigned, err)
	want.SecondaryIps, want.SecondaryCidrs = want.SecondaryIps[1:], []string{}
	look("unassigned")

	modify := apis.NewModifyNetworkInterfaceRequest(region, id)
	modify.SetNetworkInterfaceName("db")
	modify.SetSecurityGroups([]string{"sg-3"})
	modified, err := r.vpc.ModifyNetworkInterface(modify)
	did(t, modified, err)
	want.NetworkInterfaceName, want.NetworkSecurityGroupIds = "db", []string{"sg-3"}
	look("modified")

	detach, err := r.vm.DetachNetworkInterface(vmapis.NewDetachNetworkInterfaceRequest(region, "i-1", id))
	did(t, detach, err)
	want.InstanceType, want.InstanceId, want.DeviceIndex, want.AttachmentStatus = "", "", 0, "detached"
	look("detached")

	deleted, err := r.vpc.DeleteNetworkInterface(apis.NewDeleteNetworkInterfaceRequest(region, id))
	did(t, deleted, err)
	gone, err := r.vpc.DescribeNetworkInterface(apis.NewDescribeNetworkInterfaceRequest(region, id))
	if e := asked(t, gone, err); e.Code != http.StatusNotFound || e.Status != "NOT_FOUND" {
		t.Errorf("deleted: %+v", e)
	}
}

// TestENILists: filters choose, pages cut, and a page after the last is the last.
func TestENILists(t *testing.T) {
	r := newRig(t)
	primary := r.instance(t, "i-1")
	var ids []string
	for i := range 24 {
		ids = append(ids, r.createENI(t, func(req *apis.CreateNetworkInterfaceRequest) { req.SetNetworkInterfaceName(fmt.Sprintf("n%d", i)) }))
	}
	tests := []struct {
		name    string
		filters []common.Filter
		want    int
		first   string
	}{
		{"all", nil, 25, ""},
		{"ids", []common.Filter{{Name: "networkInterfaceIds", Values: []string{ids[3], ids[4], "port-none"}}}, 2, ids[3]},
		{"names", []common.Filter{{Name: "networkInterfaceNames", Values: []string{"n7"}}}, 1, ids[7]},
		{"role", []common.Filter{{Name: "role", Values: []string{"Primary"}}}, 1, primary},
		{"subnet", []common.Filter{{Name: "subnetId", Values: []string{"subnet-b"}}}, 0, ""},
		{"both must hold", []common.Filter{{Name: "role", Values: []string{"Primary"}}, {Name: "networkInterfaceIds", Values: []string{ids[0]}}}, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := apis.NewDescribeNetworkInterfacesRequest(region)
			req.SetFilters(test.filters)
			req.SetPageSize(100)
			resp, err := r.vpc.DescribeNetworkInterfaces(req)
			got := did(t, resp, err).Result
			if got.TotalCount != test.want || len(got.NetworkInterfaces) != test.want || got.NetworkInterfaces == nil {
				t.Fatalf("%d of %d, want %d", len(got.NetworkInterfaces), got.TotalCount, test.want)
			}
			if test.first != "" && got.NetworkInterfaces[0].NetworkInterfaceId != test.first {
				t.Errorf("first is %s, want %s", got.NetworkInterfaces[0].NetworkInterfaceId, test.first)
			}
		})
	}

	seen := map[string]bool{}
	for number, want := range map[int]int{1: 10, 2: 10, 3: 5} {
		for _, e := range r.page(t, number, 10, want) {
			seen[e.NetworkInterfaceId] = true
		}
	}
	if len(seen) != 25 {
		t.Errorf("three pages show %d ENIs, want 25", len(seen))
	}
	if diff := cmp.Diff(r.page(t, 3, 10, 5), r.page(t, 9, 10, 5)); diff != "" {
		t.Errorf("a page after the last is not the last: %s", diff)
	}
}

func (r rig) page(t *testing.T, number, size, want int) []vpc.NetworkInterface {
	t.Helper()
	req := apis.NewDescribeNetworkInterfacesRequest(region)
	req.SetPageNumber(number)
	req.SetPageSize(size)
	resp, err := r.vpc.DescribeNetworkInterfaces(req)
	got := did(t, resp, err).Result
	if len(got.NetworkInterfaces) != want || got.TotalCount != 25 {
		t.Fatalf("page %d has %d of %d, want %d of 25", number, len(got.NetworkInterfaces), got.TotalCount, want)
	}
	return got.NetworkInterfaces
}

// TestPreemption: an assigned address leaves the ENI that had it, unless the caller wants no force.
func TestPreemption(t *testing.T) {
	r := newRig(t)
	first := r.createENI(t, func(req *apis.CreateNetworkInterfaceRequest) { req.SetSecondaryIpAddresses([]string{"10.0.1.50"}) })
	second := r.createENI(t, nil)
	gentle := apis.NewAssignSecondaryIpsRequest(region, second)
	gentle.SetSecondaryIps([]string{"10.0.1.50"})
	gentle.SetForce(false)
	resp, err := r.vpc.AssignSecondaryIps(gentle)
	if e := asked(t, resp, err); e.Code == 0 {
		t.Error("an address is taken without force")
	}
	if got := r.eni(t, first).SecondaryIps; len(got) != 1 {
		t.Errorf("after a refusal the first ENI has %v", got)
	}
	forced := apis.NewAssignSecondaryIpsRequest(region, second)
	forced.SetSecondaryIps([]string{"10.0.1.50"})
	resp, err = r.vpc.AssignSecondaryIps(forced)
	did(t, resp, err)
	if a, b := r.eni(t, first).SecondaryIps, r.eni(t, second).SecondaryIps; len(a) != 0 || len(b) != 1 {
		t.Errorf("first has %v, second has %v", a, b)
	}
	count := apis.NewAssignSecondaryIpsRequest(region, first)
	count.SetSecondaryIpCount(3)
	resp, err = r.vpc.AssignSecondaryIps(count)
	did(t, resp, err)
	if got := r.eni(t, first).SecondaryIps; len(got) != 3 {
		t.Errorf("counted: %v", got)
	}
}
