package agent

import (
	"enid/metadata"
	"enid/metadata/aliyun"
	"enid/metadata/azure"
	"enid/metadata/ec2"
	"enid/metadata/gcp"
	"enid/metadata/oci"
	"enid/metadata/openstack"
	"enid/metadata/tencent"
	"enid/metadata/volcengine"
)

// clouds are the dialects of metadata that are spoken here, in the order in which a host that names no
// cloud of its own is asked.
var clouds = []struct {
	provider Provider
	open     func(MetadataConfig, metadata.Dial) (Source, error)
}{
	{ProviderJDCloud, func(c MetadataConfig, d metadata.Dial) (Source, error) { return newJDCloud(c, d) }},
	{ProviderEC2, func(c MetadataConfig, d metadata.Dial) (Source, error) { return ec2.New(c.Endpoint, d) }},
	{ProviderAliyun, func(c MetadataConfig, d metadata.Dial) (Source, error) { return aliyun.New(c.Endpoint, d) }},
	{ProviderGCP, func(c MetadataConfig, d metadata.Dial) (Source, error) { return gcp.New(c.Endpoint, d) }},
	{ProviderAzure, func(c MetadataConfig, d metadata.Dial) (Source, error) { return azure.New(c.Endpoint, d) }},
	{ProviderOCI, func(c MetadataConfig, d metadata.Dial) (Source, error) { return oci.New(c.Endpoint, d) }},
	{ProviderTencent, func(c MetadataConfig, d metadata.Dial) (Source, error) { return tencent.New(c.Endpoint, d) }},
	{ProviderVolcengine, func(c MetadataConfig, d metadata.Dial) (Source, error) { return volcengine.New(c.Endpoint, d) }},
	{ProviderOpenStack, func(c MetadataConfig, d metadata.Dial) (Source, error) { return openstack.New(c.Endpoint, d) }},
}
