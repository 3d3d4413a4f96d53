package openapi

import (
	"maps"
	"slices"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
)

// instanceType is a size of instance. nics counts the primary ENI: 2 up to two
// vCPUs, 4 up to eight, 8 above.
type instanceType struct {
	name     string
	vcpu     int
	memoryMB int
	nics     int
}

// types are one family, smallest first.
var types = []instanceType{
	{"g.n3.medium", 1, 4 << 10, 2},
	{"g.n3.large", 2, 8 << 10, 2},
	{"g.n3.xlarge", 4, 16 << 10, 4},
	{"g.n3.2xlarge", 8, 32 << 10, 4},
	{"g.n3.4xlarge", 16, 64 << 10, 8},
	{"g.n3.8xlarge", 32, 128 << 10, 8},
}

// typeOf is the smallest type with that many vCPUs, or the largest of all.
func typeOf(vcpu int) instanceType {
	i := slices.IndexFunc(types, func(t instanceType) bool { return t.vcpu >= vcpu })
	if i < 0 {
		i = len(types) - 1
	}
	return types[i]
}

func typeNamed(name string) (instanceType, bool) {
	i := slices.IndexFunc(types, func(t instanceType) bool { return t.name == name })
	if i < 0 {
		return instanceType{}, false
	}
	return types[i], true
}

var typeFields = map[string]field[instanceType]{
	"instanceTypes": exact(func(t instanceType) string { return t.name }),
	"architecture":  exact(func(instanceType) string { return "x86_64" }),
}

func (s *Service) describeTypes(c call) (any, error) {
	if name := c.query["serviceName"]; name != "" && name != "vm" {
		return nil, invalid("serviceName %q: want vm", name)
	}
	found, err := selected(c.query, types, typeFields)
	result := apis.DescribeInstanceTypesResult{InstanceTypes: []vm.InstanceType{}, SpecificInstanceTypes: []vm.InstanceType{}, TotalCount: len(found)}
	for _, t := range found {
		result.InstanceTypes = append(result.InstanceTypes, vm.InstanceType{
			Family: "g.n3", InstanceType: t.name, Cpu: t.vcpu, MemoryMB: t.memoryMB, NicLimit: t.nics,
			Architecture: "x86_64", Generation: 3,
		})
	}
	return result, err
}

// describeCustomData tells the custom metadata of instances, and takes the
// filters of describeInstances.
func (s *Service) describeCustomData(c call) (any, error) {
	all, err := selected(c.query, s.wiredInstances(), instanceFields)
	if err != nil {
		return nil, err
	}
	shown, total, err := page(c.query, all, customPages)
	if err != nil {
		return nil, err
	}
	result := apis.DescribeInstancesCustomDataResult{CustomData: []vm.CustomData{}, TotalCount: total}
	for _, in := range shown {
		custom := s.cloud.Custom(in.ID)
		data := vm.CustomData{InstanceId: in.ID, Metadata: []vm.Metadata{}, Userdata: []vm.Userdata{}}
		for _, key := range slices.Sorted(maps.Keys(custom)) {
			text := custom[key]
			data.Metadata = append(data.Metadata, vm.Metadata{Key: &key, Value: &text})
		}
		result.CustomData = append(result.CustomData, data)
	}
	return result, nil
}
