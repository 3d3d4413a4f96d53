package openapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	common "github.com/jdcloud-api/jdcloud-sdk-go/services/common/models"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
)

// TestVPCAndSubnet makes both through the SDK, and looks at them in its structs.
func TestVPCAndSubnet(t *testing.T) {
	r := newRig(t)
	req := apis.NewCreateVpcRequest(region, "net")
	req.SetAddressPrefix("192.168.0.0/16")
	made, err := r.vpc.CreateVpc(req)
	id := did(t, made, err).Result.VpcId
	sub, err := r.vpc.CreateSubnet(apis.NewCreateSubnetRequest(region, id, "front", "192.168.7.0/26"))
	subnet := did(t, sub, err).Result.SubnetId

	e, err := r.cloud.CreateENI(subnet, cloud.ENIOptions{SecondaryCount: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cloud.AssignSecondary(e.ID, cloud.AssignOptions{Block: netip.MustParsePrefix("192.168.7.16/28")}); err != nil {
		t.Fatal(err)
	}
	want := vpc.Subnet{
		SubnetId: subnet, SubnetName: "front", VpcId: id, AddressPrefix: "192.168.7.0/26", StartIp: "192.168.7.1", EndIp: "192.168.7.62",
		AvailableIpCount: 64 - 4 - 5 - 16, SubnetType: "standard", PublicSubnet: true, DomainNames: []string{}, DomainNameServers: []string{},
	}
	described, err := r.vpc.DescribeSubnet(apis.NewDescribeSubnetRequest(region, subnet))
	if diff := cmp.Diff(want, did(t, described, err).Result.Subnet); diff != "" {
		t.Errorf("subnet (-want +got):\n%s", diff)
	}
	list := apis.NewDescribeSubnetsRequest(region)
	list.SetFilters([]common.Filter{{Name: "vpcId", Values: []string{id}}})
	subnets, err := r.vpc.DescribeSubnets(list)
	if diff := cmp.Diff([]vpc.Subnet{want}, did(t, subnets, err).Result.Subnets); diff != "" {
		t.Errorf("subnets (-want +got):\n%s", diff)
	}
	one, err := r.vpc.DescribeVpc(apis.NewDescribeVpcRequest(region, id))
	wantVPC := vpc.Vpc{
		VpcId: id, VpcName: "net", AddressPrefix: "192.168.0.0/16", AzType: "standard",
		AclIds: []string{}, RouteTableIds: []string{}, Subnets: []vpc.Subnet{want},
	}
	if diff := cmp.Diff(wantVPC, did(t, one, err).Result.Vpc); diff != "" {
		t.Errorf("VPC (-want +got):\n%s", diff)
	}
	all, err := r.vpc.DescribeVpcs(apis.NewDescribeVpcsRequest(region))
	if got := did(t, all, err).Result; got.TotalCount != 2 {
		t.Errorf("%d VPCs, want the default one and that", got.TotalCount)
	}
}

// TestAddressOfAnotherSubnet: since 2026 the API tells whose subnet each address and block is of.
func TestAddressOfAnotherSubnet(t *testing.T) {
	r := newRig(t)
	if err := r.cloud.CreateSubnet(cloud.Subnet{ID: "subnet-b", IPv4: netip.MustParsePrefix("10.0.2.0/24")}); err != nil {
		t.Fatal(err)
	}
	post := func(path, body string) (int, core.ErrorResponse) {
		return served(t, r.service, signed(t, http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces"+path, body, "vpc", time.Now(), person, nil))
	}
	if code, e := post("", `{"subnetId":"subnet-a","secondaryIpCount":1,"secondaryIpSubnetId":"subnet-b"}`); code != http.StatusOK {
		t.Fatalf("%d %+v", code, e)
	}
	id := r.cloud.ENIs()[0].ID
	if code, e := post("/"+id+":assignSecondaryIps", `{"secondaryIpCount":1}`); code != http.StatusOK {
		t.Fatalf("%d %+v", code, e)
	}
	if code, e := post("/"+id+":assignSecondaryIps", `{"secondaryIpMaskLen":28,"secondaryIpSubnetId":"subnet-b"}`); code != http.StatusOK {
		t.Fatalf("%d %+v", code, e)
	}
	get := func(path string) string {
		w := httptest.NewRecorder()
		r.service.ServeHTTP(w, signed(t, http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces/"+id+path, "", "vpc", time.Now(), person, nil))
		return w.Body.String()
	}
	for path, want := range map[string][]string{
		"": {
			`"primaryIp":{"privateIpAddress":"10.0.1.3","elasticIpId":"","elasticIpAddress":"","subnetId":"subnet-a"}`,
			`"privateIpAddress":"10.0.2.3","elasticIpId":"","elasticIpAddress":"","subnetId":"subnet-b"`,
			`"secondaryCidrsEx":[{"secondaryCidr":"10.0.2.16/28","subnetId":"subnet-b"}]`,
		},
		"/cidrIps": {
			`{"privateIpType":"Primary","privateIpAddress":"10.0.1.3","elasticIpAddress":"","elasticIpId":"","cidr":"","bindMode":"","subnetId":"subnet-a"}`,
			`"privateIpType":"Secondary","privateIpAddress":"10.0.2.3"`, `"totalCount":3`,
		},
		"/cidrIps?filters.1.name=type&filters.1.values.1=CIDR": {`"cidr":"10.0.2.16/28"`, `"totalCount":1`},
		"/cidrIps?filters.1.name=type&filters.1.values.1=X":    {`INVALID_ARGUMENT`},
	} {
		for _, text := range want {
			if got := get(path); !strings.Contains(got, text) {
				t.Errorf("%q: no %s in\n%s", path, text, got)
			}
		}
	}
}

// TestSecondFamilyAndSecondVPC: IPv6 is no secondary IPv4 address, and what another
// VPC uses of the same range takes nothing from this one.
func TestSecondFamilyAndSecondVPC(t *testing.T) {
	r := newRig(t)
	v, err := r.cloud.CreateVPC(cloud.VPC{})
	if err != nil {
		t.Fatal(err)
	}
	twin := cloud.Subnet{ID: "subnet-twin", VPC: v.ID, IPv4: netip.MustParsePrefix("10.0.1.0/24"), IPv6: netip.MustParsePrefix("2001:db8::/64")}
	if err := r.cloud.CreateSubnet(twin); err != nil {
		t.Fatal(err)
	}
	e, err := r.cloud.CreateInstance("i-6", "subnet-twin", cloud.ENIOptions{IPv6: []netip.Addr{netip.MustParseAddr("2001:db8::9")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.eni(t, e.ID); len(got.SecondaryIps) != 0 || got.PrimaryIp.PrivateIpAddress != "10.0.1.3" {
		t.Errorf("%+v", got)
	}
	want := []vm.NetworkInterfaceIpv6Address{{Ipv6Address: "2001:db8::9"}}
	nic := r.describeInstance(t, "i-6").PrimaryNetworkInterface.NetworkInterface
	if diff := cmp.Diff(want, nic.Ipv6Addresses); diff != "" || len(nic.SecondaryIps) != 0 {
		t.Error(diff, nic.SecondaryIps)
	}
	w := httptest.NewRecorder()
	r.service.ServeHTTP(w, signed(t, http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces/"+e.ID+"/cidrIps", "", "vpc", time.Now(), person, nil))
	if got := w.Body.String(); !strings.Contains(got, `"subnetId":"subnet-twin"`) {
		t.Errorf("the address is of another VPC's subnet: %s", got)
	}
	for id, free := range map[string]int{"subnet-a": 252, "subnet-twin": 251} {
		resp, err := r.vpc.DescribeSubnet(apis.NewDescribeSubnetRequest(region, id))
		if got := did(t, resp, err).Result.Subnet.AvailableIpCount; got != free {
			t.Errorf("%s has %d free addresses, want %d", id, got, free)
		}
	}
}

// TestNewerParameters: what the API has got since v1.64.0 of the SDK.
func TestNewerParameters(t *testing.T) {
	r := newRig(t)
	id := r.createENI(t, func(req *apis.CreateNetworkInterfaceRequest) { req.SetSecondaryIpAddresses([]string{"10.0.1.50"}) })
	send := func(method, path, body string) core.ErrorResponse {
		t.Helper()
		_, e := served(t, r.service, signed(t, method, "/v1/regions/cn-north-1/networkInterfaces/"+id+path, body, "vpc", time.Now(), person, nil))
		return e
	}
	if e := send(http.MethodPatch, "", `{"macAddress":"02:aa:bb:cc:dd:01"}`); e.Code != 0 || r.eni(t, id).MacAddress != "02:aa:bb:cc:dd:01" {
		t.Errorf("MAC: %+v, %s", e, r.eni(t, id).MacAddress)
	}
	if e := send(http.MethodPatch, "", `{"macAddress":"nonsense"}`); e.Code != http.StatusBadRequest {
		t.Errorf("no MAC: %+v", e)
	}
	eip, _ := r.createEIP(t)
	if err := r.cloud.AssociateEIP(id, eip, netip.MustParseAddr("10.0.1.50")); err != nil {
		t.Fatal(err)
	}
	if e := send(http.MethodPost, ":unassignSecondaryIps", `{"secondaryIps":["10.0.1.50"],"deleteElasticIp":true}`); e.Code != 0 || len(r.cloud.ElasticIPs()) != 0 {
		t.Errorf("unassigned together with its public address: %+v, %v", e, r.cloud.ElasticIPs())
	}
}

func TestQuota(t *testing.T) {
	r := newRig(t)
	id := r.createENI(t, func(req *apis.CreateNetworkInterfaceRequest) { req.SetSecondaryIpCount(3) })
	for _, want := range []vpc.Quota{
		{Type: "network_interface", MaxLimit: 100, Count: 1},
		{Type: "secondaryIp", ParentResourceId: id, MaxLimit: 20, Count: 3},
	} {
		req := apis.NewDescribeQuotaRequest(region, want.Type)
		if want.ParentResourceId != "" {
			req.SetParentResourceId(want.ParentResourceId)
		}
		resp, err := r.vpc.DescribeQuota(req)
		got := did(t, resp, err).Result.Quota
		wanted := map[string]any{
			"type": want.Type, "parentResourceId": want.ParentResourceId, "maxLimit": float64(want.MaxLimit), "count": float64(want.Count),
		}
		if diff := cmp.Diff(any(wanted), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Type, diff)
		}
	}
}

// TestUnknown: what is no operation, and what is no JSON.
func TestUnknown(t *testing.T) {
	s := openapi.New(cloud.New())
	s.AddKey(access, secret)
	tests := []struct {
		name, method, path, body string
		code                     int
	}{
		{"path", http.MethodGet, "/v1/regions/cn-north-1/loadBalancers", "", 404},
		{"action", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces/port-1:explode", "", 404},
		{"action without an id", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces/:assignSecondaryIps", "", 404},
		{"below an id", http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces/port-1/more", "", 404},
		{"method", http.MethodPut, "/v1/regions/cn-north-1/networkInterfaces", "", 404},
		{"version", http.MethodGet, "/v2/regions/cn-north-1/networkInterfaces", "", 404},
		{"region", http.MethodGet, "/v1/regions/cn-south-1/networkInterfaces", "", 404},
		{"no region", http.MethodGet, "/v1/regions", "", 404},
		{"root", http.MethodGet, "/", "", 404},
		{"no JSON", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces", `{"subnetId":`, 400},
		{"two values", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces", `{"subnetId":"a"}{}`, 400},
		{"wrong type", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces", `{"subnetId":7}`, 400},
		{"no body", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces", "", 400},
		{"too long", http.MethodPost, "/v1/regions/cn-north-1/networkInterfaces", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, 400},
		{"page size", http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces?pageSize=9", "", 400},
		{"page number", http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces?pageNumber=x", "", 400},
		{"filter", http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces?filters.1.name=colour&filters.1.values.1=red", "", 400},
		{"filter without values", http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces?filters.1.name=role", "", 400},
		{"filter operator", http.MethodGet, "/v1/regions/cn-north-1/networkInterfaces?filters.1.name=role&filters.1.operator=ne&filters.1.values.1=a", "", 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, e := served(t, s, signed(t, test.method, test.path, test.body, "vpc", time.Now(), person, nil))
			if code != test.code || e.Message == "" {
				t.Errorf("%d %+v, want %d", code, e, test.code)
			}
		})
	}
}

// TestLimit: each access key has its own share of requests, and a new one each second.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openapi.New(cloud.New())
		s.AddKey(access, secret)
		s.AddKey("OTHER", secret)
		s.SetLimit(2)
		ask := func(key string) int {
			code, e := served(t, s, signed(t, http.MethodGet, listPath, "", "vpc", time.Now(), core.Credential{AccessKey: key, SecretKey: secret}, nil))
			if code == http.StatusTooManyRequests && e.Status != "QUOTA_EXCEEDED" {
				t.Errorf("%+v", e)
			}
			return code
		}
		got := []int{ask(access), ask(access), ask(access), ask("OTHER")}
		time.Sleep(time.Second) // of the bubble's clock
		got = append(got, ask(access))
		s.SetLimit(0)
		got = append(got, ask(access), ask(access), ask(access))
		if diff := cmp.Diff([]int{200, 200, 429, 200, 200, 200, 200, 200}, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int{"vpc.describeNetworkInterfaces": 8}, s.Requests()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRequestsCountRefusedOnes(t *testing.T) {
	s := openapi.New(cloud.New())
	for _, path := range []string{listPath, "/nowhere", "/v1/regions/cn-north-1/instances"} {
		served(t, s, httptest.NewRequest(http.MethodGet, path, nil))
	}
	want := map[string]int{"vpc.describeNetworkInterfaces": 1, "vm.describeInstances": 1, "unknown": 1}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Error(diff)
	}
}
