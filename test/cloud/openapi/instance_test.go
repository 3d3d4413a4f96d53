package openapi_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	common "github.com/jdcloud-api/jdcloud-sdk-go/services/common/models"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
)

func ptr[T any](v T) *T { return &v }

func (r rig) describeInstance(t *testing.T, id string) vm.Instance {
	t.Helper()
	resp, err := r.vm.DescribeInstance(apis.NewDescribeInstanceRequest(region, id))
	return did(t, resp, err).Result.Instance
}

// spec is an instance of two vCPUs in subnet-a.
func spec(name string) *vm.InstanceSpec {
	return &vm.InstanceSpec{
		Name: name, Az: ptr("cn-north-1a"), InstanceType: ptr("g.n3.large"), Metadata: []vm.Metadata{{Key: ptr("Role"), Value: ptr("web")}},
		PrimaryNetworkInterface: &vm.InstanceNetworkInterfaceAttachmentSpec{
			NetworkInterface: &vm.NetworkInterfaceSpec{SubnetId: "subnet-a", SecondaryIpCount: ptr(2), SecurityGroups: []string{"sg-9"}},
		},
	}
}

// TestInstanceFromCreationToDeletion goes the way of an instance through the SDK.
func TestInstanceFromCreationToDeletion(t *testing.T) {
	r := newRig(t)
	made, err := r.vm.CreateInstances(apis.NewCreateInstancesRequest(region, spec("web")))
	ids := did(t, made, err).Result.InstanceIds
	if len(ids) != 1 {
		t.Fatalf("made %v", ids)
	}
	in := r.describeInstance(t, ids[0])
	primary := in.PrimaryNetworkInterface
	if in.InstanceName != "web" || in.Status != "running" || in.Az != "cn-north-1a" || in.InstanceType != "g.n3.large" || in.SubnetId != "subnet-a" ||
		in.PrivateIpAddress != "10.0.1.3" || !primary.AutoDelete || primary.DeviceIndex != 1 || len(primary.NetworkInterface.SecondaryIps) != 2 {
		t.Errorf("%+v", in)
	}
	if diff := cmp.Diff([]vm.SecurityGroupSimple{{GroupId: "sg-9", GroupName: "sg-9"}}, primary.NetworkInterface.SecurityGroups); diff != "" {
		t.Error(diff)
	}

	eni := r.createENI(t, nil)
	attach := apis.NewAttachNetworkInterfaceRequest(region, ids[0], eni)
	attach.SetAutoDelete(true)
	attached, err := r.vm.AttachNetworkInterface(attach)
	did(t, attached, err)
	in = r.describeInstance(t, ids[0])
	if len(in.SecondaryNetworkInterfaces) != 1 || !in.SecondaryNetworkInterfaces[0].AutoDelete || in.SecondaryNetworkInterfaces[0].DeviceIndex != 2 ||
		in.SecondaryNetworkInterfaces[0].NetworkInterface.NetworkInterfaceId != eni {
		t.Errorf("attached: %+v", in.SecondaryNetworkInterfaces)
	}
	modified, err := r.vm.ModifyInstanceNetworkAttribute(apis.NewModifyInstanceNetworkAttributeRequest(region, ids[0],
		[]vm.InstanceNetworkAttribute{{NetworkInterfaceId: &eni, AutoDelete: ptr(false)}}))
	did(t, modified, err)
	if in = r.describeInstance(t, ids[0]); in.SecondaryNetworkInterfaces[0].AutoDelete {
		t.Error("the ENI would still be deleted with its instance")
	}

	stopped, err := r.vm.StopInstance(apis.NewStopInstanceRequest(region, ids[0]))
	did(t, stopped, err)
	if in = r.describeInstance(t, ids[0]); in.Status != "stopped" {
		t.Errorf("status %s, want stopped", in.Status)
	}
	started, err := r.vm.StartInstance(apis.NewStartInstanceRequest(region, ids[0]))
	did(t, started, err)

	deleted, err := r.vm.DeleteInstance(apis.NewDeleteInstanceRequest(region, ids[0]))
	did(t, deleted, err)
	gone, err := r.vm.DescribeInstance(apis.NewDescribeInstanceRequest(region, ids[0]))
	if e := asked(t, gone, err); e.Code != http.StatusNotFound {
		t.Errorf("deleted: %+v", e)
	}
	if got := r.eni(t, eni); got.InstanceId != "" {
		t.Errorf("the ENI is still attached to %s", got.InstanceId)
	}
}

// TestDeleteInstanceWithElasticIPs: the primary ENI's public addresses go along only where asked to.
func TestDeleteInstanceWithElasticIPs(t *testing.T) {
	for _, along := range []bool{false, true} {
		r := newRig(t)
		r.instance(t, "i-1")
		eip, _ := r.createEIP(t)
		bound, err := r.vm.AssociateElasticIp(apis.NewAssociateElasticIpRequest(region, "i-1", eip))
		did(t, bound, err)
		req := apis.NewDeleteInstanceRequest(region, "i-1")
		req.SetDeletePrimaryNetworkInterfaceAllElasticIp(along)
		deleted, err := r.vm.DeleteInstance(req)
		did(t, deleted, err)
		if left := len(r.cloud.ElasticIPs()); (left == 0) != along {
			t.Errorf("along %v: %d public addresses are left", along, left)
		}
	}
}

// TestCreateInstancesAllOrNone: what cannot be made whole is not made at all.
func TestCreateInstancesAllOrNone(t *testing.T) {
	r := newRig(t)
	many := apis.NewCreateInstancesRequest(region, spec("web"))
	many.SetMaxCount(100) // of three addresses each, and the subnet has 252
	made, err := r.vm.CreateInstances(many)
	if e := asked(t, made, err); e.Code == 0 {
		t.Error("100 instances fit into 252 addresses")
	}
	if n := len(r.cloud.Instances()) + len(r.cloud.ENIs()); n != 0 {
		t.Errorf("%d instances and ENIs are left", n)
	}
	broken := spec("web")
	broken.Metadata = []vm.Metadata{{Key: ptr("a/b"), Value: ptr("x")}}
	made, err = r.vm.CreateInstances(apis.NewCreateInstancesRequest(region, broken))
	if e := asked(t, made, err); e.Code != http.StatusBadRequest || len(r.cloud.Instances()) != 0 {
		t.Errorf("custom metadata that cannot be: %+v, %d instances", e, len(r.cloud.Instances()))
	}
	many.SetMaxCount(3)
	made, err = r.vm.CreateInstances(many)
	var names []string
	for _, id := range did(t, made, err).Result.InstanceIds {
		names = append(names, r.describeInstance(t, id).InstanceName)
	}
	if diff := cmp.Diff([]string{"web1", "web2", "web3"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestInstanceLists(t *testing.T) {
	r := newRig(t)
	made, err := r.vm.CreateInstances(apis.NewCreateInstancesRequest(region, spec("web")))
	web := did(t, made, err).Result.InstanceIds[0]
	primary := r.instance(t, "i-db")
	tests := []struct {
		name, value string
		want        []string
	}{
		{"instanceId", "i-db", []string{"i-db"}},
		{"name", "we", []string{web}},
		{"networkInterfaceId", primary, []string{"i-db"}},
		{"status", "stopped", nil},
		{"subnetId", "subnet-a", []string{web, "i-db"}},
		{"az", "cn-north-1a", []string{web}},
		{"privateIpAddress", "10.0.1.3", []string{web}},
		{"instanceType", "g.n3.large", []string{web}},
		{"elasticIpAddress", "198.18.0.1", nil},
	}
	for _, test := range tests {
		req := apis.NewDescribeInstancesRequest(region)
		req.SetFilters([]common.Filter{{Name: test.name, Values: []string{test.value}}})
		resp, err := r.vm.DescribeInstances(req)
		got := map[string]bool{}
		for _, in := range did(t, resp, err).Result.Instances {
			got[in.InstanceId] = true
		}
		want := map[string]bool{}
		for _, id := range test.want {
			want[id] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
}

// TestInstanceTypes: nicLimit counts the primary ENI.
func TestInstanceTypes(t *testing.T) {
	r := newRig(t)
	resp, err := r.vm.DescribeInstanceTypes(apis.NewDescribeInstanceTypesRequest(region))
	got := map[int]int{}
	for _, it := range did(t, resp, err).Result.InstanceTypes {
		got[it.Cpu] = it.NicLimit
	}
	if diff := cmp.Diff(map[int]int{1: 2, 2: 2, 4: 4, 8: 4, 16: 8, 32: 8}, got); diff != "" {
		t.Error(diff)
	}
	// The model must agree with what the list promises.
	for vcpu, limit := range got {
		for _, in := range []string{"g.n3.medium", "g.n3.large", "g.n3.xlarge", "g.n3.2xlarge", "g.n3.4xlarge", "g.n3.8xlarge"} {
			s := spec("t")
			s.InstanceType = &in
			s.PrimaryNetworkInterface.NetworkInterface.SecondaryIpCount = nil
			made, err := r.vm.CreateInstances(apis.NewCreateInstancesRequest(region, s))
			id := did(t, made, err).Result.InstanceIds[0]
			if d, err := r.cloud.DescribeInstance(id); err != nil || d.VCPU == vcpu && d.NICLimit != limit {
				t.Errorf("%s: %d vCPUs, limit %d, %v; the list says %d", in, d.VCPU, d.NICLimit, err, limit)
			}
		}
	}
}

// TestCustomMetadata: what modifyInstanceAttribute sets, describeInstancesCustomData tells and the metadata shows.
func TestCustomMetadata(t *testing.T) {
	r := newRig(t)
	r.instance(t, "i-1")
	set := func(pairs ...vm.Metadata) int {
		req := apis.NewModifyInstanceAttributeRequest(region, "i-1")
		req.SetMetadata(pairs)
		resp, err := r.vm.ModifyInstanceAttribute(req)
		return asked(t, resp, err).Code
	}
	pair := func(key, value string) vm.Metadata { return vm.Metadata{Key: &key, Value: &value} }
	if code := set(pair("Enid", "interfaces: []"), pair("other", "1"), pair("ignored-", "x")); code != 0 {
		t.Fatalf("code %d", code)
	}
	if code := set(pair("other", "2"), pair("z/b", "3")); code != http.StatusBadRequest {
		t.Errorf("a key that cannot be: code %d", code)
	}
	if code := set(pair("third", "3")); code != 0 {
		t.Errorf("code %d", code)
	}
	req := apis.NewDescribeInstancesCustomDataRequest(region)
	req.SetFilters([]common.Filter{{Name: "instanceId", Values: []string{"i-1"}}})
	resp, err := r.vm.DescribeInstancesCustomData(req)
	got := did(t, resp, err).Result
	want := []vm.CustomData{{
		InstanceId: "i-1", Userdata: []vm.Userdata{},
		Metadata: []vm.Metadata{pair("enid", "interfaces: []"), pair("other", "1"), pair("third", "3")},
	}}
	if diff := cmp.Diff(want, got.CustomData); diff != "" || got.TotalCount != 1 {
		t.Errorf("%d (-want +got):\n%s", got.TotalCount, diff)
	}
	if code, body := metadataText(t, r.cloud, "/metadata/latest/attributes/customdata/custom-metadata/enid"); code != http.StatusOK || body != `"interfaces: []"` {
		t.Errorf("metadata: %d %s", code, body)
	}
}
