package detect

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDetect(t *testing.T) {
	for name, tt := range map[string]struct {
		dmi  DMI
		want string
		sure bool
	}{
		"nothing":                      {DMI{}, "", false},
		"QEMU":                         {DMI{SysVendor: "QEMU", ProductName: "Standard PC (i440FX + PIIX, 1996)", ProductUUID: "0c5a1c2e-1111-4222-8333-444455556666"}, "", false},
		"VMware":                       {DMI{SysVendor: "VMware, Inc.", ProductName: "VMware7,1"}, "", false},
		"ec2 Nitro":                    {DMI{SysVendor: "Amazon EC2", BIOSVendor: "Amazon EC2", ProductName: "m7i.large", ProductUUID: "ec2a1b2c-0d1e-2f30-4152-637485960718"}, "ec2", true},
		"ec2 Nitro, no root":           {DMI{SysVendor: "Amazon EC2", BIOSVendor: "Amazon EC2", ProductName: "c7g.metal"}, "ec2", true},
		"ec2 UUID in upper case":       {DMI{ProductUUID: "EC2E1916-9099-7CAF-FD21-012345ABCDEF"}, "ec2", true},
		"ec2 UUID turned round":        {DMI{ProductUUID: "45E12AEC-DCD1-B213-94ED-01234ABCDEF0"}, "ec2", true},
		"ec2 UUID turned round, lower": {DMI{ProductUUID: "45e12aec-dcd1-b213-94ed-01234abcdef0"}, "ec2", true},
		"ec2 Xen":                      {DMI{SysVendor: "Xen", ProductName: "HVM domU", HypervisorUUID: "ec2f58af-2dad-c57e-88c0-a81cb6084290"}, "ec2", true},
		"ec2 vendor alone":             {DMI{ChassisAssetTag: "Amazon EC2"}, "ec2", false},
		"another UUID with ec":         {DMI{ProductUUID: "45e13aec-dcd1-b213-94ed-01234abcdef0"}, "", false},
		"a UUID with ec2 inside":       {DMI{ProductUUID: "0ec2e191-6909-97ca-ffd2-1012345abcde"}, "", false},
		"a UUID that is cut":           {DMI{ProductUUID: "45e12a"}, "", false},

		"brightbox":            {DMI{ProductSerial: "srv-gb2an.gb1.brightbox.com", ProductUUID: "ec2e1916-9099-7caf-fd21-012345abcdef"}, "", true},
		"a brightbox in words": {DMI{ProductSerial: "brightbox.com.example"}, "", false},
		"zstack":               {DMI{ChassisAssetTag: "zstack.zstack.io", ProductUUID: "ec2e1916-9099-7caf-fd21-012345abcdef"}, "", true},
		"e24cloud":             {DMI{SysVendor: "e24cloud", ProductUUID: "EC2E1916-9099-7CAF-FD21-012345ABCDEF"}, "", true},
		"Tilaa":                {DMI{SysVendor: "Tilaa", ProductUUID: "ec2e1916-9099-7caf-fd21-012345abcdef"}, "", true},
		"Outscale":             {DMI{SysVendor: "3DS Outscale", ProductName: "3DS Outscale VM", ProductUUID: "ec2e1916-9099-7caf-fd21-012345abcdef"}, "", true},

		"jdcloud":                 {DMI{SysVendor: "JDCloud"}, "jdcloud", true},
		"jdcloud in the product":  {DMI{SysVendor: "QEMU", ProductName: "JD Cloud Compute"}, "jdcloud", true},
		"aliyun":                  {DMI{SysVendor: "Alibaba Cloud", ProductName: "Alibaba Cloud ECS"}, "aliyun", true},
		"aliyun by the vendor":    {DMI{SysVendor: "Alibaba Cloud"}, "aliyun", false},
		"gcp":                     {DMI{SysVendor: "Google", ProductName: "Google Compute Engine", ProductSerial: "GoogleCloud-1234"}, "gcp", true},
		"gcp, old":                {DMI{ProductName: "Google"}, "gcp", false},
		"gcp by the serial":       {DMI{ProductSerial: "GoogleCloud-1234"}, "gcp", false},
		"a Chromebook":            {DMI{SysVendor: "Google", ProductName: "Eve"}, "", false},
		"azure":                   {DMI{SysVendor: "Microsoft Corporation", ProductName: "Virtual Machine", ChassisAssetTag: azureTag}, "azure", true},
		"Hyper-V on premises":     {DMI{SysVendor: "Microsoft Corporation", ProductName: "Virtual Machine", ChassisAssetTag: "3102-9856-3434-1234-5678-9012-34"}, "", false},
		"oci":                     {DMI{SysVendor: "QEMU", ChassisAssetTag: "OracleCloud.com"}, "oci", true},
		"VirtualBox":              {DMI{SysVendor: "innotek GmbH", BIOSVendor: "Oracle Corporation"}, "", false},
		"tencent":                 {DMI{SysVendor: "Tencent Cloud", ProductName: "Tencent Cloud CVM"}, "tencent", true},
		"tencent by the vendor":   {DMI{SysVendor: "Tencent Cloud", ProductName: "CVM"}, "tencent", false},
		"huawei":                  {DMI{SysVendor: "OpenStack Foundation", ProductName: "OpenStack Nova", ChassisAssetTag: "HUAWEICLOUD"}, "openstack", true},
		"huawei by the vendor":    {DMI{SysVendor: "Huawei Cloud"}, "openstack", true},
		"Open Telekom Cloud":      {DMI{ChassisAssetTag: "OpenTelekomCloud"}, "openstack", true},
		"openstack":               {DMI{SysVendor: "OpenStack Foundation", ProductName: "OpenStack Nova"}, "openstack", true},
		"openstack, RDO":          {DMI{SysVendor: "Red Hat", ProductName: "OpenStack Compute"}, "openstack", true},
		"openstack by the tag":    {DMI{ChassisAssetTag: "OpenStack Nova"}, "openstack", true},
		"SAP":                     {DMI{SysVendor: "VMware, Inc.", ChassisAssetTag: "SAP CCloud VM"}, "openstack", true},
		"jdcloud with OpenStack":  {DMI{SysVendor: "JDCloud", ProductName: "OpenStack Nova"}, "jdcloud", true},
		"volcengine, not known":   {DMI{SysVendor: "QEMU"}, "", false},
		"white space around it":   {DMI{ProductName: "Alibaba Cloud ECS\n"}, "aliyun", true},
		"openstack and Amazon ID": {DMI{ProductName: "OpenStack Nova", ChassisAssetTag: "Amazon EC2"}, "openstack", true},
	} {
		if got, sure := Detect(tt.dmi); got != tt.want || sure != tt.sure {
			t.Errorf("%s: %q, sure %v; want %q, %v", name, got, sure, tt.want, tt.sure)
		}
	}
}

// TestCase: no string's case decides anything.
func TestCase(t *testing.T) {
	words := []string{"", "Amazon EC2", "Alibaba Cloud", "Google", "Google Compute Engine", "OracleCloud.com", "HUAWEICLOUD", "JD Cloud", azureTag, "Tencent Cloud", "3DS Outscale", "x.brightbox.com", "ec2e1916-9099", "45E12AEC-dcd1"}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom(words)
		d := DMI{word.Draw(t, "vendor"), word.Draw(t, "BIOS"), word.Draw(t, "product"), word.Draw(t, "serial"), word.Draw(t, "UUID"), word.Draw(t, "tag"), word.Draw(t, "hypervisor")}
		upper := d
		for _, s := range []*string{&upper.SysVendor, &upper.BIOSVendor, &upper.ProductName, &upper.ProductSerial, &upper.ProductUUID, &upper.ChassisAssetTag, &upper.HypervisorUUID} {
			*s = strings.ToUpper(*s) + "\n"
		}
		p, sure := Detect(d)
		if q, alike := Detect(upper); p != q || sure != alike {
			t.Errorf("%+v is %q, %v; in upper case %q, %v", d, p, sure, q, alike)
		}
	})
}
