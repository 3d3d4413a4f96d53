package openapi

import (
	"net/netip"
	"strconv"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"

	"enid/test/cloud"
)

// wiredInstance is an instance with its ENIs by index, the primary first.
type wiredInstance struct {
	cloud.Instance
	enis []cloud.ENI
}

func (s *Service) wiredInstances() []wiredInstance {
	var out []wiredInstance
	for _, in := range s.cloud.Instances() {
		// One that is terminated just now has no ENIs any more.
		if enis := s.cloud.Describe(in.ID); len(enis) > 0 {
			out = append(out, wiredInstance{in, enis})
		}
	}
	return out
}

func (in wiredInstance) wire(l lookup) vm.Instance {
	primary := in.enis[0]
	p := l.privateIP(primary, primary.Addresses[0])
	out := vm.Instance{
		InstanceId: in.ID, InstanceName: in.Name, Hostname: in.Name, InstanceType: cloud.TypeOf(in.VCPU).Name,
		VpcId: in.VPC, SubnetId: in.Subnet, Az: in.AZ, Status: in.Status, PrivateIpAddress: p.PrivateIpAddress,
		ElasticIpId: p.ElasticIpId, ElasticIpAddress: p.ElasticIpAddress, OsType: "linux", Architecture: "x86_64",
		PrimaryNetworkInterface:    l.attachment(primary),
		SecondaryNetworkInterfaces: []vm.InstanceNetworkInterfaceAttachment{},
	}
	for _, e := range in.enis[1:] {
		out.SecondaryNetworkInterfaces = append(out.SecondaryNetworkInterfaces, l.attachment(e))
	}
	return out
}

var instanceFields = map[string]field[wiredInstance]{
	"instanceId":         exact(func(in wiredInstance) string { return in.ID }),
	"name":               partial(func(in wiredInstance) string { return in.Name }),
	"az":                 exact(func(in wiredInstance) string { return in.AZ }),
	"vpcId":              exact(func(in wiredInstance) string { return in.VPC }),
	"subnetId":           exact(func(in wiredInstance) string { return in.Subnet }),
	"status":             exact(func(in wiredInstance) string { return in.Status }),
	"instanceType":       exact(func(in wiredInstance) string { return cloud.TypeOf(in.VCPU).Name }),
	"privateIpAddress":   partial(func(in wiredInstance) string { return in.enis[0].Addresses[0].String() }),
	"networkInterfaceId": {of: eniIDs},
	"elasticIpAddress":   {of: publicAddresses},
}

func eniIDs(in wiredInstance) (ids []string) {
	for _, e := range in.enis {
		ids = append(ids, e.ID)
	}
	return ids
}

func publicAddresses(in wiredInstance) (addrs []string) {
	for _, e := range in.enis {
		for _, public := range e.Public {
			addrs = append(addrs, public.String())
		}
	}
	return addrs
}

func (s *Service) describeInstances(c call) (any, error) {
	all, err := selected(c.query, s.wiredInstances(), instanceFields)
	if err != nil {
		return nil, err
	}
	shown, total, err := page(c.query, all, usualPages)
	result := apis.DescribeInstancesResult{Instances: []vm.Instance{}, TotalCount: total}
	l := s.lookup()
	for _, in := range shown {
		result.Instances = append(result.Instances, in.wire(l))
	}
	return result, err
}

func (s *Service) describeInstance(c call) (any, error) {
	in, err := s.cloud.DescribeInstance(c.id)
	if err != nil {
		return nil, err
	}
	enis := s.cloud.Describe(c.id)
	if len(enis) == 0 {
		return nil, notFound("instanceId")
	}
	return apis.DescribeInstanceResult{Instance: wiredInstance{in, enis}.wire(s.lookup())}, nil
}

// createInstances makes instances with their primary ENIs, all of them or none.
// The type says only how many vCPUs there are, and so how many ENIs.
func (s *Service) createInstances(c call) (any, error) {
	req, err := decode[apis.CreateInstancesRequest](c.body)
	if err != nil {
		return nil, err
	}
	count := 1
	if req.MaxCount != nil {
		count = *req.MaxCount
	}
	if count < 1 || count > 100 {
		return nil, invalid("maxCount %d: want 1 to 100", count)
	}
	o, err := instanceOptions(req.InstanceSpec)
	if err != nil {
		return nil, err
	}
	result := apis.CreateInstancesResult{}
	for i := range count {
		one := o
		if count > 1 {
			one.Name += strconv.Itoa(i + 1)
		}
		id, err := s.runInstance(one, req.InstanceSpec.Metadata)
		if err != nil {
			return nil, s.terminate(result.InstanceIds, err)
		}
		result.InstanceIds = append(result.InstanceIds, id)
	}
	return result, nil
}

func (s *Service) runInstance(o cloud.InstanceOptions, custom []vm.Metadata) (id string, err error) {
	in, err := s.cloud.RunInstance(o)
	if err != nil {
		return "", err
	}
	if err := s.setCustom(in.ID, custom); err != nil {
		return "", s.terminate([]string{in.ID}, err)
	}
	return in.ID, nil
}

// terminate takes back what was made before err happened, and returns err.
func (s *Service) terminate(ids []string, err error) error {
	for _, id := range ids {
		_ = s.cloud.Terminate(id) // nobody else knows it: only err matters
	}
	return err
}

func instanceOptions(spec *vm.InstanceSpec) (o cloud.InstanceOptions, err error) {
	if spec == nil || spec.PrimaryNetworkInterface == nil || spec.PrimaryNetworkInterface.NetworkInterface == nil {
		return o, invalid("Parameter 'instanceSpec.primaryNetworkInterface' is required")
	}
	t, ok := typeNamed(value(spec.InstanceType))
	if !ok {
		return o, invalid("instanceType %q: describeInstanceTypes lists those that there are", value(spec.InstanceType))
	}
	nic := *spec.PrimaryNetworkInterface.NetworkInterface
	if err := needs("subnetId", nic.SubnetId); err != nil {
		return o, err
	}
	o = cloud.InstanceOptions{Name: spec.Name, Subnet: nic.SubnetId, AZ: value(spec.Az), VCPU: t.VCPU, Primary: cloud.ENIOptions{
		Name: value(nic.NetworkInterfaceName), Description: value(nic.Description),
		SecurityGroups: nic.SecurityGroups, SecondaryCount: value(nic.SecondaryIpCount),
	}}
	check, err := sanity(nic.SanityCheck)
	if err != nil {
		return o, err
	}
	o.Primary.NoSanityCheck = !check
	if o.Primary.Primary, err = address("primaryIpAddress", value(nic.PrimaryIpAddress)); err != nil {
		return o, err
	}
	o.Primary.Secondary, err = addresses("secondaryIpAddresses", nic.SecondaryIpAddresses)
	return o, err
}

// deleteInstance takes the public addresses of the primary ENI along where asked to.
func (s *Service) deleteInstance(c call) (any, error) {
	var public []netip.Addr
	if c.query["deletePrimaryNetworkInterfaceAllElasticIp"] == "true" {
		if enis := s.cloud.Describe(c.id); len(enis) > 0 {
			for _, a := range enis[0].Public {
				public = append(public, a)
			}
		}
	}
	if err := s.cloud.Terminate(c.id); err != nil {
		return nil, err
	}
	l := s.lookup()
	for _, a := range public {
		if eip, ok := l.eips[a]; ok {
			if err := s.cloud.ReleaseEIP(eip.ID); err != nil {
				return nil, err
			}
		}
	}
	return empty{}, nil
}

func (s *Service) startInstance(c call) (any, error) { return empty{}, s.cloud.Start(c.id) }

func (s *Service) stopInstance(c call) (any, error) { return empty{}, s.cloud.Stop(c.id) }
