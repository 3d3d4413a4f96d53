package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"enid/test/cloud"
	"enid/test/lab"
)

// Rig is a site with one VM, whose primary ENI is in the first of three subnets.
type Rig struct {
	*Site
	*Machine
}

// defaultPoll is how often a rig's enid asks where nothing is said.
const defaultPoll = time.Second

// instance is the VM of a Rig.
const instance = "i-a2uv000001"

// SubnetNames are the subnets of a rig, the primary's first.
var SubnetNames = []string{"subnet-a", "subnet-b", "subnet-c"}

// New boots a VM: fabric, subnets with a neighbour in each, a host outside, metadata, and
// the primary ENI configured as DHCP would have done it. enid does not run yet.
func New(o Options) (*Rig, error) {
	s, err := NewSite(o, cloud.New())
	if err != nil {
		return nil, err
	}
	r := &Rig{Site: s}
	if err := r.boot(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Rig) boot() error {
	for i, name := range SubnetNames {
		s := cloud.Subnet{ID: name, IPv4: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i))}
		if r.IPv6 {
			s.IPv6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%d::/64", i))
		}
		if err := r.Cloud.CreateSubnet(s); err != nil {
			return err
		}
		if _, err := r.AddSubnet(name, s.Prefixes()...); err != nil {
			return err
		}
	}
	options := cloud.ENIOptions{Primary: netip.MustParseAddr("10.0.0.10")}
	for i := range r.PrimarySecondary {
		options.Secondary = append(options.Secondary, netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", 11+i)))
	}
	if r.IPv6 {
		options.IPv6 = []netip.Addr{netip.MustParseAddr("2001:db8::10")}
	}
	if _, err := r.Cloud.CreateInstance(instance, SubnetNames[0], options); err != nil {
		return err
	}
	if err := r.Err(); err != nil {
		return err
	}
	r.Machine = r.Site.Machine(instance)
	if r.Dialect == cloud.JDCloud {
		return r.Cloud.AutoCustom(instance, true)
	}
	return nil
}

// PowerOff stops the VM as a power cut does. Nothing of it is there until PowerOn but its directory.
func (r *Rig) PowerOff() error {
	return errors.Join(r.Cloud.Stop(r.Instance), r.Err())
}

// PowerOn boots the VM again, with the ENIs that it has now. enid does not run yet.
func (r *Rig) PowerOn() error {
	if err := errors.Join(r.Cloud.Start(r.Instance), r.Err()); err != nil {
		return err
	}
	r.Machine = r.Site.Machine(r.Instance)
	return nil
}

// Attach makes an ENI with n addresses in a subnet and attaches it.
func (r *Rig) Attach(subnet string, n int) (cloud.ENI, error) {
	e, err := r.Create(subnet, n)
	if err != nil {
		return e, err
	}
	return r.Reattach(e)
}

// Create makes an ENI with n IPv4 addresses, and as many IPv6 ones in a rig with IPv6.
func (r *Rig) Create(subnet string, n int) (cloud.ENI, error) {
	e, err := r.Cloud.CreateENI(subnet, cloud.ENIOptions{})
	if err != nil {
		return e, err
	}
	if _, err := r.Cloud.AssignCount(e.ID, n-1); err != nil && n > 1 {
		return e, err
	}
	if r.IPv6 {
		base := e.Subnets[1].Addr().As16()
		for i := range n {
			b := base
			b[14], b[15] = e.MAC[5], byte(i+1)
			if err := r.Cloud.Assign(e.ID, netip.AddrFrom16(b)); err != nil {
				return e, err
			}
		}
	}
	return r.Cloud.DescribeENI(e.ID)
}

// Reattach attaches an ENI that is there.
func (r *Rig) Reattach(e cloud.ENI) (cloud.ENI, error) {
	if err := r.Cloud.Attach(r.Instance, e.ID); err != nil {
		return e, err
	}
	if err := r.Err(); err != nil {
		return e, err
	}
	return r.Cloud.DescribeENI(e.ID)
}

// Addresses are all that the cloud says this VM has.
func (r *Rig) Addresses() []netip.Addr {
	var all []netip.Addr
	for _, e := range r.Cloud.Describe(r.Instance) {
		all = append(all, e.Addresses...)
	}
	return all
}

// Await waits until every address is reached from outside, and says how long that took.
func (r *Rig) Await(ctx context.Context, addrs ...netip.Addr) (time.Duration, error) {
	if err := r.VM.ServeEcho(); err != nil {
		return 0, err
	}
	next := 0
	took, err := lab.Await(ctx, func() bool {
		for next < len(addrs) && r.Lab.Reachable(ctx, r.VM, addrs[next]) {
			next++
		}
		return next == len(addrs)
	})
	if err != nil {
		return took, fmt.Errorf("%s is not reached from outside: %w", addrs[next], err)
	}
	return took, nil
}
