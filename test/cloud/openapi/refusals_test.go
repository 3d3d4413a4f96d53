package openapi_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vmapis "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"

	"enid/test/cloud"
)

// TestDocumentedRefusals: what the documents of JD Cloud say about a refusal, through the SDK.
func TestDocumentedRefusals(t *testing.T) {
	r := newRig(t)
	primary := r.instance(t, "i-1")
	if _, err := r.cloud.RunInstance(cloud.InstanceOptions{ID: "i-small", Subnet: "subnet-a", VCPU: 2}); err != nil {
		t.Fatal(err)
	}
	taken, spare := r.createENI(t, nil), r.createENI(t, nil)
	attach := func(instance, eni string) (*vmapis.AttachNetworkInterfaceResponse, error) {
		return r.vm.AttachNetworkInterface(vmapis.NewAttachNetworkInterfaceRequest(region, instance, eni))
	}
	first, err := attach("i-small", taken)
	did(t, first, err)
	create := func(change func(*apis.CreateNetworkInterfaceRequest)) func() (any, error) {
		return func() (any, error) {
			req := apis.NewCreateNetworkInterfaceRequest(region, "subnet-a")
			change(req)
			return r.vpc.CreateNetworkInterface(req)
		}
	}
	tests := []struct {
		name    string
		ask     func() (any, error)
		code    int
		status  string
		message string
	}{
		{"subnet that is not there", create(func(q *apis.CreateNetworkInterfaceRequest) { q.SubnetId = "subnet-none" }), 404, "NOT_FOUND", "Resource 'subnetId' not found"},
		{"primary address that is used", create(func(q *apis.CreateNetworkInterfaceRequest) { q.SetPrimaryIpAddress("10.0.1.3") }), 409, "", "Resource 'primaryIp' already be used"},
		{"six security groups", create(func(q *apis.CreateNetworkInterfaceRequest) {
			q.SetSecurityGroups([]string{"sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"})
		}), 400, "", ""},
		{"limit of the type", func() (any, error) { return attach("i-small", spare) }, 400, "FAILED_PRECONDITION", "Flavor constraints. NetworkInterface limit exceeded"},
		{"attached already", func() (any, error) { return attach("i-1", taken) }, 400, "FAILED_PRECONDITION", "NetworkInterface has been attached on other device"},
		{"no instance", func() (any, error) { return attach("i-none", spare) }, 404, "NOT_FOUND", ""},
		{"no ENI", func() (any, error) { return attach("i-1", "port-none") }, 404, "NOT_FOUND", ""},
		{"detach of the primary", func() (any, error) {
			return r.vm.DetachNetworkInterface(vmapis.NewDetachNetworkInterfaceRequest(region, "i-1", primary))
		}, 400, "FAILED_PRECONDITION", "Can't detach primaryNetworkInterface"},
		{"auto-delete of the primary", func() (any, error) {
			return r.vm.ModifyInstanceNetworkAttribute(vmapis.NewModifyInstanceNetworkAttributeRequest(region, "i-1",
				[]vm.InstanceNetworkAttribute{{NetworkInterfaceId: &primary, AutoDelete: ptr(false)}}))
		}, 400, "FAILED_PRECONDITION", ""},
		{"more than 20 secondary addresses", func() (any, error) {
			q := apis.NewAssignSecondaryIpsRequest(region, spare)
			q.SetSecondaryIpCount(21)
			return r.vpc.AssignSecondaryIps(q)
		}, 0, "", ""},
		{"release of the primary address", func() (any, error) {
			q := apis.NewUnassignSecondaryIpsRequest(region, primary)
			q.SetSecondaryIps([]string{"10.0.1.3"})
			return r.vpc.UnassignSecondaryIps(q)
		}, 0, "", ""},
		{"deletion of an attached ENI", func() (any, error) {
			return r.vpc.DeleteNetworkInterface(apis.NewDeleteNetworkInterfaceRequest(region, taken))
		}, 400, "FAILED_PRECONDITION", ""},
		{"start of what runs", func() (any, error) { return r.vm.StartInstance(vmapis.NewStartInstanceRequest(region, "i-1")) }, 400, "FAILED_PRECONDITION", "Invalid instance status running"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := []any{r.cloud.ENIs(), r.cloud.Instances()}
			resp, err := test.ask()
			e := asked(t, resp, err)
			if e.Code < 400 || test.code != 0 && e.Code != test.code || test.status != "" && e.Status != test.status ||
				test.message != "" && e.Message != test.message || e.Message == "" {
				t.Errorf("%+v, want %d %s %q", e, test.code, test.status, test.message)
			}
			if diff := cmp.Diff(before, []any{r.cloud.ENIs(), r.cloud.Instances()}, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
				cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("something has changed:\n%s", diff)
			}
		})
	}
	t.Run("task in flight", func(t *testing.T) {
		r.cloud.SetAttachDelay(time.Hour)
		resp, err := attach("i-1", spare)
		did(t, resp, err)
		resp, err = attach("i-1", r.createENI(t, nil))
		if e := asked(t, resp, err); e.Code != 400 || e.Status != "FAILED_PRECONDITION" || !strings.HasPrefix(e.Message, "Conflict with underlay task") {
			t.Errorf("%+v", e)
		}
	})
}

// TestQuotaOfENIs: the hundredth secondary ENI is the last.
func TestQuotaOfENIs(t *testing.T) {
	r := newRig(t)
	for range 100 {
		if _, err := r.cloud.CreateENI("subnet-a", cloud.ENIOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := r.vpc.CreateNetworkInterface(apis.NewCreateNetworkInterfaceRequest(region, "subnet-a"))
	if e := asked(t, resp, err); e.Code != http.StatusTooManyRequests || e.Message != "NetworkInterface quota limit exceeded" {
		t.Errorf("%+v", e)
	}
}
