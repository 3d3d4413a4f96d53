// Package detect tells from what the firmware says of a virtual machine in which cloud it runs. Firmware strings are
// the providers' habit and no contract: what is found here is where to ask, and the cloud's own service has to
// prove itself before it is believed. The strings are those that cloud-init's ds-identify, systemd's
// hwdb.d/40-imds.hwdb and vmware's cloud-network-setup look for.
package detect

import (
	"strings"
)

// The providers, as enid's configuration spells them.
const (
	Aliyun    = "aliyun"
	Azure     = "azure"
	EC2       = "ec2"
	GCP       = "gcp"
	JDCloud   = "jdcloud"
	OCI       = "oci"
	OpenStack = "openstack" // Huawei Cloud too
	Tencent   = "tencent"
)

// azureTag is the chassis tag of every Azure VM. Hyper-V elsewhere has the same vendor and another tag.
const azureTag = "7783-7084-3265-9085-8269-3286-77"

// DMI is what the firmware says (SMBIOS, under /sys/class/dmi/id), each string without white space around it, "" for
// what it does not say or does not say to us: ProductUUID and ProductSerial can be read by root alone.
type DMI struct {
	SysVendor, BIOSVendor, ProductName, ProductSerial, ProductUUID, ChassisAssetTag string
	// HypervisorUUID is Xen's name of the machine, /sys/hypervisor/uuid.
	HypervisorUUID string
}

// Detect is the provider that the firmware names. Where it is sure, there is no other that could be meant. No provider
// and sure is a cloud that enid does not speak with, though its metadata may look as if; no
// provider and not sure is a firmware that says nothing, as Volcengine's, of which nothing is known.
func Detect(d DMI) (provider string, sure bool) {
	d = d.folded()
	if d.lookalike() {
		return "", true
	}
	for _, r := range rules {
		if r.strong(d) {
			return r.provider, true
		}
	}
	for _, r := range rules {
		if r.weak(d) {
			return r.provider, false
		}
	}
	return "", false
}

// rule is how a provider's firmware is known: strong beyond doubt, weak by what may be another's too.
type rule struct {
	provider     string
	strong, weak func(DMI) bool
}

func never(DMI) bool { return false }

// rules are in an order that matters only where firmware says two things: what OpenStack's software calls itself is
// weaker than the name of a cloud that is made with it.
var rules = []rule{
	{JDCloud, DMI.jdcloud, never},
	{EC2, DMI.ec2, DMI.amazon},
	{Aliyun,
		func(d DMI) bool { return strings.Contains(d.ProductName, "alibaba cloud") },
		func(d DMI) bool { return d.SysVendor == "alibaba cloud" }},
	{GCP,
		func(d DMI) bool { return d.ProductName == "google compute engine" },
		func(d DMI) bool {
			return d.ProductName == "google" || strings.HasPrefix(d.ProductSerial, "googlecloud-")
		}},
	// Without the tag the vendor says only Hyper-V, which is nobody's cloud as a rule: there is no weak sign.
	{Azure, func(d DMI) bool { return d.ChassisAssetTag == azureTag }, never},
	{OCI, func(d DMI) bool { return d.ChassisAssetTag == "oraclecloud.com" }, never},
	{Tencent,
		func(d DMI) bool { return d.ProductName == "tencent cloud cvm" },
		func(d DMI) bool { return d.SysVendor == "tencent cloud" }},
	{OpenStack, DMI.huawei, never},
	{OpenStack, DMI.openstack, never},
}

// folded is d in lower case, for vendors change theirs from one generation of machines to the next.
func (d DMI) folded() DMI {
	for _, s := range []*string{&d.SysVendor, &d.BIOSVendor, &d.ProductName, &d.ProductSerial, &d.ProductUUID, &d.ChassisAssetTag, &d.HypervisorUUID} {
		*s = strings.ToLower(strings.TrimSpace(*s))
	}
	return d
}

// lookalike knows the clouds that serve EC2's metadata, some of them with EC2's UUID.
func (d DMI) lookalike() bool {
	return strings.HasSuffix(d.ProductSerial, ".brightbox.com") || strings.HasSuffix(d.ChassisAssetTag, ".zstack.io") ||
		d.SysVendor == "e24cloud" || d.SysVendor == "tilaa" || strings.HasPrefix(d.SysVendor, "3ds outscale")
}

// ec2 knows the UUID that EC2 gives its machines. SMBIOS 2.6 and later write the first three groups with their bytes
// turned round, and which of the two one reads depends on the hypervisor.
func (d DMI) ec2() bool {
	first, _, _ := strings.Cut(d.ProductUUID, "-")
	swapped := len(first) == 8 && first[4] == '2' && first[6:] == "ec"
	return strings.HasPrefix(d.ProductUUID, "ec2") || swapped || strings.HasPrefix(d.HypervisorUUID, "ec2") ||
		d.SysVendor == "amazon ec2" && d.BIOSVendor == "amazon ec2"
}

func (d DMI) amazon() bool {
	return strings.Contains(d.SysVendor, "amazon ec2") || strings.Contains(d.BIOSVendor, "amazon ec2") || strings.Contains(d.ChassisAssetTag, "amazon ec2")
}

// jdcloud looks for the name anywhere: which string bears it is not documented.
func (d DMI) jdcloud() bool {
	all := d.SysVendor + "\n" + d.BIOSVendor + "\n" + d.ProductName + "\n" + d.ChassisAssetTag
	return strings.Contains(all, "jdcloud") || strings.Contains(all, "jd cloud")
}

func (d DMI) huawei() bool {
	return d.ChassisAssetTag == "huaweicloud" || d.SysVendor == "huawei cloud" || d.ChassisAssetTag == "opentelekomcloud"
}

func (d DMI) openstack() bool {
	for _, s := range []string{d.ProductName, d.ChassisAssetTag} {
		switch s {
		case "openstack nova", "openstack compute", "sap ccloud vm", "samsung cloud platform":
			return true
		}
	}
	return false
}
