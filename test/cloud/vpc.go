package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// DefaultVPC is the VPC that is always there. Subnets that name none are in it.
const DefaultVPC = "vpc-z9r3000001"

// VPC is a private network. Addresses are unique within one, and may be the same
// in two. ENIs and instances of one VPC never meet those of another.
type VPC struct {
	ID, Name string
	CIDR     netip.Prefix // the range that all its subnets lie in, or zero: no such restriction
}

// CreateVPC adds a VPC; an empty id is chosen by the cloud.
func (c *Cloud) CreateVPC(v VPC) (made VPC, err error) {
	err = c.change(func() ([]Event, error) {
		if err := c.checkVPC(v); err != nil {
			return nil, fmt.Errorf("create VPC %q: %w", cmp.Or(v.ID, v.Name), err)
		}
		if v.ID == "" {
			v.ID = newID(c.made, "vpc", c.vpcs)
		}
		c.vpcs[v.ID], made = v, v
		return nil, nil
	})
	return made, err
}

func (c *Cloud) checkVPC(v VPC) error {
	if _, taken := c.vpcs[v.ID]; taken {
		return fmt.Errorf("%w: choose another id", used("vpcId"))
	}
	if v.CIDR != (netip.Prefix{}) && !isPrivate(v.CIDR) {
		return invalid("Range %s: want /16 to /28 without host bits in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, or none", v.CIDR)
	}
	return c.checkQuota(QuotaVPC, "")
}

// VPCs are all VPCs, by id.
func (c *Cloud) VPCs() []VPC {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sorted(c.vpcs)
}

// privateRanges are where JD Cloud's subnets lie.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// isPrivate says whether p is a range that a VPC or a subnet may have.
func isPrivate(p netip.Prefix) bool {
	return p.IsValid() && p == p.Masked() && p.Bits() >= 16 && p.Bits() <= 28 &&
		slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool { return within(p, r) })
}

func within(p, outer netip.Prefix) bool { return p.Bits() >= outer.Bits() && outer.Contains(p.Addr()) }

// newID counts ids of a kind, so that tests can foretell them, and passes over
// those that somebody chose.
func newID[T any](made map[string]int, kind string, taken map[string]T) string {
	for {
		made[kind]++
		id := fmt.Sprintf("%s-a2uv%06d", kind, made[kind])
		if _, there := taken[id]; !there {
			return id
		}
	}
}

// sorted are the values of m in the order of their keys.
func sorted[T any](m map[string]T) []T {
	out := make([]T, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[key])
	}
	return out
}
