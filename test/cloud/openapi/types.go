package openapi

import (
	"maps"
	"slices"

	"github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"

	"enid/test/cloud"
)

func typeNamed(name string) (cloud.Type, bool) {
	i := slices.IndexFunc(cloud.Types, func(t cloud.Type) bool { return t.Name == name })
	if i < 0 {
		return cloud.Type{}, false
	}
	return cloud.Types[i], true
}

var typeFields = map[string]field[cloud.Type]{
	"instanceTypes": exact(func(t cloud.Type) string { return t.Name }),
	"architecture":  exact(func(cloud.Type) string { return "x86_64" }),
}

func (s *Service) describeTypes(c call) (any, error) {
	if name := c.query["serviceName"]; name != "" && name != "vm" {
		return nil, invalid("serviceName %q: want vm", name)
	}
	found, err := selected(c.query, cloud.Types, typeFields)
	result := apis.DescribeInstanceTypesResult{InstanceTypes: []vm.InstanceType{}, SpecificInstanceTypes: []vm.InstanceType{}, TotalCount: len(found)}
	for _, t := range found {
		result.InstanceTypes = append(result.InstanceTypes, vm.InstanceType{
			Family: "g.n3", InstanceType: t.Name, Cpu: t.VCPU, MemoryMB: t.MemoryMB, NicLimit: cloud.NICLimit(t.VCPU),
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
