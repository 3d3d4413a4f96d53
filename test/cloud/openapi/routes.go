package openapi

import (
	"strings"

	"enid/test/cloud"
)

// call is one request for an operation.
type call struct {
	id    string // of the resource in the path, "" in a list's
	query query
	body  []byte
}

// operation is one call of the API.
type operation struct {
	service string // whose host it is, vpc or vm: the signature names it
	name    string
	write   bool
	run     func(*Service, call) (any, error)
}

func reads(service, name string, run func(*Service, call) (any, error)) operation {
	return operation{service, name, false, run}
}

func writes(service, name string, run func(*Service, call) (any, error)) operation {
	return operation{service, name, true, run}
}

// operations by method and path below the region; * is an id.
var operations = map[string]operation{
	"POST networkInterfaces":                         writes("vpc", "createNetworkInterface", (*Service).createENI),
	"GET networkInterfaces":                          reads("vpc", "describeNetworkInterfaces", (*Service).describeENIs),
	"GET networkInterfaces/*":                        reads("vpc", "describeNetworkInterface", (*Service).describeENI),
	"GET networkInterfaces/*/cidrIps":                reads("vpc", "describeNetworkInterfaceCidrIps", (*Service).describeCidrIPs),
	"PATCH networkInterfaces/*":                      writes("vpc", "modifyNetworkInterface", (*Service).modifyENI),
	"DELETE networkInterfaces/*":                     writes("vpc", "deleteNetworkInterface", (*Service).deleteENI),
	"POST networkInterfaces/*:assignSecondaryIps":    writes("vpc", "assignSecondaryIps", (*Service).assign),
	"POST networkInterfaces/*:unassignSecondaryIps":  writes("vpc", "unassignSecondaryIps", (*Service).unassign),
	"POST networkInterfaces/*:associateElasticIp":    writes("vpc", "associateElasticIp", (*Service).associate),
	"POST networkInterfaces/*:disassociateElasticIp": writes("vpc", "disassociateElasticIp", (*Service).disassociate),
	"POST vpcs":           writes("vpc", "createVpc", (*Service).createVPC),
	"GET vpcs":            reads("vpc", "describeVpcs", (*Service).describeVPCs),
	"GET vpcs/*":          reads("vpc", "describeVpc", (*Service).describeVPC),
	"POST subnets":        writes("vpc", "createSubnet", (*Service).createSubnet),
	"GET subnets":         reads("vpc", "describeSubnets", (*Service).describeSubnets),
	"GET subnets/*":       reads("vpc", "describeSubnet", (*Service).describeSubnet),
	"GET quotas":          reads("vpc", "describeQuota", (*Service).describeQuota),
	"POST elasticIps":     writes("vpc", "createElasticIps", (*Service).createEIPs),
	"GET elasticIps":      reads("vpc", "describeElasticIps", (*Service).describeEIPs),
	"GET elasticIps/*":    reads("vpc", "describeElasticIp", (*Service).describeEIP),
	"DELETE elasticIps/*": writes("vpc", "deleteElasticIp", (*Service).deleteEIP),

	"POST instances":                                  writes("vm", "createInstances", (*Service).createInstances),
	"GET instances":                                   reads("vm", "describeInstances", (*Service).describeInstances),
	"GET instances/*":                                 reads("vm", "describeInstance", (*Service).describeInstance),
	"DELETE instances/*":                              writes("vm", "deleteInstance", (*Service).deleteInstance),
	"POST instances/*:startInstance":                  writes("vm", "startInstance", (*Service).startInstance),
	"POST instances/*:stopInstance":                   writes("vm", "stopInstance", (*Service).stopInstance),
	"POST instances/*:attachNetworkInterface":         writes("vm", "attachNetworkInterface", (*Service).attach),
	"POST instances/*:detachNetworkInterface":         writes("vm", "detachNetworkInterface", (*Service).detach),
	"POST instances/*:modifyInstanceNetworkAttribute": writes("vm", "modifyInstanceNetworkAttribute", (*Service).modifyNetworks),
	"POST instances/*:associateElasticIp":             writes("vm", "associateElasticIp", (*Service).associateInstance),
	"POST instances/*:disassociateElasticIp":          writes("vm", "disassociateElasticIp", (*Service).disassociateInstance),
	"POST instances/*:modifyInstanceAttribute":        writes("vm", "modifyInstanceAttribute", (*Service).modifyInstance),
	"GET instancesCustomData":                         reads("vm", "describeInstancesCustomData", (*Service).describeCustomData),
	"GET instanceTypes":                               reads("vm", "describeInstanceTypes", (*Service).describeTypes),
}

// route finds the operation of a path, and the id in it. A slash at the end
// makes no difference: the SDK has one in some paths and not in others.
func (s *Service) route(method, path string) (operation, string, error) {
	rest, ok := strings.CutPrefix(path, "/v1/regions/")
	region, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return operation{}, "", notFound(path)
	}
	if region != cloud.Region {
		return operation{}, "", notFound("regionId " + region)
	}
	shape, id := split(strings.TrimSuffix(rest, "/"))
	op, ok := operations[method+" "+shape]
	if !ok {
		return operation{}, "", notFound(method + " " + path)
	}
	return op, id, nil
}

// split makes networkInterfaces/*:action and the id of a path.
func split(path string) (shape, id string) {
	collection, rest, ok := strings.Cut(path, "/")
	if !ok {
		return path, ""
	}
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return path, "" // no id: no operation has this shape
	}
	return collection + "/*" + rest[end:], rest[:end]
}
