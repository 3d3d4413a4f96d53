package openapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBadParameters: each is refused before anything happens, by a message that names it.
func TestBadParameters(t *testing.T) {
	r := newRig(t)
	r.instance(t, "i-1")
	eni := r.createENI(t, nil)
	const spec = `{"instanceSpec":{"name":"x","instanceType":"g.n3.large","primaryNetworkInterface":{"networkInterface":{`
	tests := []struct{ service, method, path, body, name string }{
		{"vpc", "POST", "networkInterfaces", `{}`, "subnetId"},
		{"vpc", "POST", "networkInterfaces", `{"subnetId":"subnet-a","primaryIpAddress":"10.0.1"}`, "primaryIpAddress"},
		{"vpc", "POST", "networkInterfaces", `{"subnetId":"subnet-a","primaryIpAddress":"2001:db8::1"}`, "primaryIpAddress"},
		{"vpc", "POST", "networkInterfaces", `{"subnetId":"subnet-a","secondaryIpAddresses":["10.0.1.9",""]}`, "secondaryIpAddresses"},
		{"vpc", "POST", "networkInterfaces", `{"subnetId":"subnet-a","sanityCheck":2}`, "sanityCheck"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":assignSecondaryIps", `{"secondaryIps":["x"]}`, "secondaryIps"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":assignSecondaryIps", `{"secondaryIpAddress":"10.0.1.64"}`, "secondaryIpMaskLen"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":assignSecondaryIps", `{"secondaryIpAddress":"10.0.1.65","secondaryIpMaskLen":28}`, "secondaryIpAddress"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":assignSecondaryIps", `{"secondaryIpAddress":"10.0.1.64","secondaryIpMaskLen":99}`, "secondaryIpAddress"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":assignSecondaryIps", `{"force":true,"secondaryIpMaskLen":28}`, "force"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":unassignSecondaryIps", `{"secondaryIps":["x"]}`, "secondaryIps"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":unassignSecondaryIps", `{"secondaryCidrs":["10.0.1.9"]}`, "secondaryCidrs"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":associateElasticIp", `{}`, "elasticIpId"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":associateElasticIp", `{"elasticIpId":"fip-1","privateIpAddress":"x"}`, "privateIpAddress"},
		{"vpc", "POST", "networkInterfaces/" + eni + ":disassociateElasticIp", `{"elasticIpAddress":"x"}`, "elasticIpAddress"},
		{"vpc", "PATCH", "networkInterfaces/" + eni, `{"macAddress":"x"}`, "macAddress"},
		{"vpc", "POST", "vpcs", `{}`, "vpcName"},
		{"vpc", "POST", "vpcs", `{"vpcName":"a","addressPrefix":"10.0.0.0"}`, "addressPrefix"},
		{"vpc", "POST", "subnets", `{"subnetName":"a","addressPrefix":"10.9.0.0/24"}`, "vpcId"},
		{"vpc", "POST", "subnets", `{"vpcId":"vpc-z9r3000001","subnetName":"a","addressPrefix":"2001:db8::/64"}`, "addressPrefix"},
		{"vpc", "POST", "subnets", `{"vpcId":"vpc-z9r3000001","subnetName":"a","addressPrefix":"10.9.0.0/24","dryRun":true}`, "dryRun"},
		{"vpc", "POST", "elasticIps", `{}`, "maxCount"},
		{"vpc", "POST", "elasticIps", `{"maxCount":101}`, "maxCount"},
		{"vpc", "POST", "elasticIps", `{"maxCount":1,"elasticIpAddress":"198.18.0.9"}`, "elasticIpAddress"},
		{"vpc", "GET", "quotas", "", "type"},
		{"vm", "POST", "instances/i-1:attachNetworkInterface", `{}`, "networkInterfaceId"},
		{"vm", "POST", "instances/i-1:detachNetworkInterface", `{}`, "networkInterfaceId"},
		{"vm", "POST", "instances/i-1:modifyInstanceNetworkAttribute", `{}`, "networks"},
		{"vm", "POST", "instances/i-1:modifyInstanceNetworkAttribute", `{"networks":[{"autoDelete":true}]}`, "networkInterfaceId"},
		{"vm", "POST", "instances/i-1:associateElasticIp", `{}`, "elasticIpId"},
		{"vm", "POST", "instances/i-1:disassociateElasticIp", `{}`, "elasticIpId"},
		{"vm", "POST", "instances/i-1:modifyInstanceAttribute", `{"hostname":"x"}`, "hostname"},
		{"vm", "POST", "instances", `{}`, "primaryNetworkInterface"},
		{"vm", "POST", "instances", spec + `}}}}`, "subnetId"},
		{"vm", "POST", "instances", strings.Replace(spec, "g.n3.large", "g.n9.huge", 1) + `"subnetId":"subnet-a"}}}}`, "instanceType"},
		{"vm", "POST", "instances", spec + `"subnetId":"subnet-a","sanityCheck":7}}}}`, "sanityCheck"},
		{"vm", "POST", "instances", spec + `"subnetId":"subnet-a","primaryIpAddress":"x"}}}}`, "primaryIpAddress"},
		{"vm", "POST", "instances", spec + `"subnetId":"subnet-a","secondaryIpAddresses":["x"]}}}}`, "secondaryIpAddresses"},
		{"vm", "POST", "instances", spec + `"subnetId":"subnet-a"}}},"maxCount":0}`, "maxCount"},
		{"vm", "GET", "instanceTypes?serviceName=nc", "", "serviceName"},
		{"vm", "GET", "instancesCustomData?pageSize=11", "", "pageSize"},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path+" "+test.name, func(t *testing.T) {
			code, e := served(t, r.service, signed(t, test.method, "/v1/regions/cn-north-1/"+test.path, test.body, test.service, time.Now(), person, nil))
			if code != http.StatusBadRequest || !strings.Contains(e.Message, test.name) {
				t.Errorf("%d %+v, want 400 that names %s", code, e, test.name)
			}
			if n := len(r.cloud.ENIs()) + len(r.cloud.Instances()) + len(r.cloud.ElasticIPs()) + len(r.cloud.Subnets()) + len(r.cloud.VPCs()); n != 5 {
				t.Errorf("there are %d things, want 5 as before", n)
			}
		})
	}
}

// TestDryRun checks and makes nothing.
func TestDryRun(t *testing.T) {
	r := newRig(t)
	code, e := served(t, r.service, signed(t, "POST", "/v1/regions/cn-north-1/elasticIps", `{"maxCount":1,"dryRun":true}`, "vpc", time.Now(), person, nil))
	if n := len(r.cloud.ElasticIPs()); code != http.StatusOK || n != 0 {
		t.Errorf("%d %+v, %d public addresses", code, e, n)
	}
}
