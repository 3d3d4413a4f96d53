package agent

import (
	"net/netip"
	"slices"

	"enid/metadata"
)

// mains completes the gateways of a primary ENI whose IPv6 router no source tells. By which router the primary reaches
// the world is decided in main, by whoever keeps it, so that there is nothing more to learn: the ENI is known, and an
// answer may take something away.
func mains(i metadata.Interface) (layer metadata.Interface, complete bool) {
	told6 := slices.ContainsFunc(i.Gateways.Value, netip.Addr.Is6)
	told4 := told4(i, slices.ContainsFunc(i.Gateways.Value, netip.Addr.Is4))
	if !i.Primary.Value || i.Gateways.State != metadata.AtLeast || told6 || !told4 {
		return layer, false
	}
	return metadata.Interface{MAC: i.MAC, Gateways: metadata.Is(i.Gateways.Value, "")}, true
}
