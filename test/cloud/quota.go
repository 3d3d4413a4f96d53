package cloud

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// The kinds of Quota, as JD Cloud's describeQuota names them.
const (
	QuotaVPC       = "vpc"                    // VPCs of the region, DefaultVPC included
	QuotaSubnet    = "subnet"                 // of a VPC
	QuotaENI       = "network_interface"      // secondary ENIs of the region, attached or not
	QuotaSecondary = "secondaryIp"            // secondary IPv4 addresses of an ENI
	QuotaBlock     = "network_interface_cidr" // delegated prefixes of an ENI
)

// defaultQuotas are the limits of JD Cloud's manual; that of blocks is not
// written anywhere and a guess.
var defaultQuotas = map[string]int{QuotaVPC: 10, QuotaSubnet: 10, QuotaENI: 100, QuotaSecondary: 20, QuotaBlock: 20}

var quotaNames = map[string]string{
	QuotaVPC: "Vpc", QuotaSubnet: "Subnet", QuotaENI: "NetworkInterface", QuotaSecondary: "SecondaryIp", QuotaBlock: "SecondaryCidr",
}

// Quota is how many of a kind there may be, and are. The parent is a VPC for
// subnets and an ENI for secondary addresses and blocks; other kinds have none.
func (c *Cloud) Quota(kind, parent string) (limit, used int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used, err = c.inUse(kind, parent)
	if err != nil {
		return 0, 0, fmt.Errorf("quota %q of %q: %w", kind, parent, err)
	}
	return c.quotas[kind], used, nil
}

// SetQuota sets a limit, as a ticket to JD Cloud would. It takes nothing away.
func (c *Cloud) SetQuota(kind string, limit int) error {
	return c.change(func() ([]Event, error) {
		if _, known := c.quotas[kind]; !known || limit < 0 {
			return nil, fmt.Errorf("set quota %q to %d: %w", kind, limit, unknownQuota(kind))
		}
		c.quotas[kind] = limit
		return nil, nil
	})
}

func unknownQuota(kind string) error {
	return invalid("Quota type '%s': want one of %v, and no negative limit", kind, slices.Sorted(maps.Keys(defaultQuotas)))
}

func (c *Cloud) inUse(kind, parent string) (used int, err error) {
	switch kind {
	case QuotaVPC:
		return len(c.vpcs), nil
	case QuotaSubnet:
		for _, s := range c.subnets {
			if s.VPC == parent {
				used++
			}
		}
		if _, ok := c.vpcs[parent]; !ok {
			err = notFound("parentResourceId")
		}
		return used, err
	case QuotaENI:
		for _, e := range c.enis {
			if !e.Primary {
				used++
			}
		}
		return used, nil
	case QuotaSecondary, QuotaBlock:
		return c.inUseOf(kind, parent)
	}
	return 0, unknownQuota(kind)
}

func (c *Cloud) inUseOf(kind, eni string) (int, error) {
	e, ok := c.enis[eni]
	switch {
	case !ok:
		return 0, notFound("parentResourceId")
	case kind == QuotaBlock:
		return len(e.Prefixes), nil
	default:
		return len(e.family(netip.Addr.Is4)) - 1, nil
	}
}

// checkQuota reports whether there can be one more of a kind.
func (c *Cloud) checkQuota(kind, parent string) error {
	used, err := c.inUse(kind, parent)
	if err == nil && used >= c.quotas[kind] {
		err = fmt.Errorf("%w: there are %d of %d; delete one, or raise the quota", exceeded(quotaNames[kind]), used, c.quotas[kind])
	}
	return err
}
