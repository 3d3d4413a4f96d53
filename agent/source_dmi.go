package agent

import (
	"os"
	"path/filepath"
	"strings"

	"enid/metadata/detect"
)

// readDMI is what the firmware of this machine says, with /sys at this path. What cannot be read is not said.
func readDMI(sys string) detect.DMI {
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(sys, name))
		return strings.TrimSpace(string(b))
	}
	dmi := func(name string) string { return read("class/dmi/id/" + name) }
	return detect.DMI{
		SysVendor: dmi("sys_vendor"), BIOSVendor: dmi("bios_vendor"), ProductName: dmi("product_name"), ProductSerial: dmi("product_serial"),
		ProductUUID: dmi("product_uuid"), ChassisAssetTag: dmi("chassis_asset_tag"), HypervisorUUID: read("hypervisor/uuid"),
	}
}
