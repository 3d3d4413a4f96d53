package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
	"enid/test/lab"
	"enid/test/rig"
)

// The fleet: machines with a primary ENI and as many others as four vCPUs may have.
const (
	fleetSize     = 50
	fleetENIs     = 3
	fleetTogether = 10              // addresses that move at a time
	longest       = 2 * time.Minute // for anything to happen
)

// fleet is one cloud with many machines, each with its own enid.
type fleet struct {
	*rig.Site
	api      *openapi.Service
	machines []*rig.Machine
	enis     [][]string // by machine
}

// fleet measures many agents against one cloud, on JD Cloud with its OpenAPI: what a host cannot see alone.
func (b *bench) fleet(ctx context.Context) (err error) {
	f, err := b.newFleet()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Err(), f.Close()) }()
	b.heading("A fleet: %d machines on this one, %d ENIs each, metadata and OpenAPI of JD Cloud asked every %s", fleetSize, fleetENIs+1, idlePoll)
	attached, err := f.attachAll(ctx)
	if err != nil {
		return err
	}
	b.percentiles("from attach to the first packet, one after the other", attached)
	if err := b.fleetAtRest(ctx, f); err != nil {
		return err
	}
	gained, lost, err := f.failovers(ctx)
	if err != nil {
		return err
	}
	b.percentiles("an address moves: from the assignment to a packet from its new holder", gained)
	b.percentiles("  and until it is gone from the old one", lost)
	spoofed, err := f.Lab.Spoofed()
	if err != nil {
		return err
	}
	for _, s := range spoofed {
		err = errors.Join(err, fmt.Errorf("spoofed: %s", s))
	}
	b.show("packets out of a wrong NIC", "%d", len(spoofed))
	return err
}

func (b *bench) newFleet() (*fleet, error) {
	s, api, err := rig.NewJDCloud(rig.Options{Enid: b.enid, Poll: idlePoll}, cloud.New())
	if err != nil {
		return nil, err
	}
	f := &fleet{Site: s, api: api, enis: make([][]string, fleetSize)}
	if err := f.boot(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return f, nil
}

func (f *fleet) boot() error {
	if err := f.Cloud.SetQuota(cloud.QuotaENI, fleetSize*fleetENIs); err != nil {
		return err
	}
	for i, id := range rig.SubnetNames {
		if err := f.Cloud.CreateSubnet(cloud.Subnet{ID: id, IPv4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)}); err != nil {
			return err
		}
	}
	for i := range fleetSize {
		id := fmt.Sprintf("i-%03d", i)
		if _, err := f.Cloud.RunInstance(cloud.InstanceOptions{ID: id, Subnet: rig.SubnetNames[0], VCPU: 4}); err != nil {
			return err
		}
		if err := f.Err(); err != nil {
			return err
		}
		m := f.Machine(id)
		if _, err := m.Start(); err != nil {
			return err
		}
		if err := m.VM.ServeEcho(); err != nil {
			return err
		}
		f.machines = append(f.machines, m)
	}
	return nil
}

// attachAll gives every machine its ENIs, and says how long each took until its address answered outside.
func (f *fleet) attachAll(ctx context.Context) (took []time.Duration, err error) {
	for n := range fleetENIs {
		for i, m := range f.machines {
			e, err := f.Cloud.CreateENI(rig.SubnetNames[n%2+1], cloud.ENIOptions{SecondaryCount: 1})
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if err := f.Cloud.Attach(m.Instance, e.ID); err != nil {
				return nil, err
			}
			if err := f.reached(ctx, m, e.Addresses[0]); err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
			f.enis[i] = append(f.enis[i], e.ID)
		}
	}
	return took, f.Err()
}

func (f *fleet) reached(ctx context.Context, m *rig.Machine, a netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if _, err := lab.Await(ctx, func() bool { return f.Lab.Reachable(ctx, m.VM, a) }); err != nil {
		return fmt.Errorf("%s of %s is not reached: %w\n%s", a, m.Instance, err, m.Log())
	}
	return nil
}

// failovers moves a service address from each machine to the next, ten at a time.
func (f *fleet) failovers(ctx context.Context) (gained, lost []time.Duration, err error) {
	gained, lost = make([]time.Duration, fleetSize), make([]time.Duration, fleetSize)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fleetTogether)
	for i, old := range f.machines {
		next := (i + 1) % fleetSize
		e, err := f.Cloud.DescribeENI(f.enis[i][0])
		if err != nil {
			return nil, nil, err
		}
		moving := e.Addresses[1]
		group.Go(func() error {
			began := time.Now()
			if err := f.Cloud.Assign(f.enis[next][0], moving); err != nil {
				return err
			}
			both, ctx := errgroup.WithContext(ctx)
			both.Go(func() error {
				err := f.reached(ctx, f.machines[next], moving)
				gained[i] = time.Since(began)
				return err
			})
			both.Go(func() error {
				err := f.gone(ctx, old, moving)
				lost[i] = time.Since(began)
				return err
			})
			return both.Wait()
		})
	}
	return gained, lost, group.Wait()
}

func (f *fleet) gone(ctx context.Context, m *rig.Machine, a netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	_, err := lab.Await(ctx, func() bool {
		addrs, err := m.VM.Netlink().AddrList(nil, 0)
		if err != nil {
			return false
		}
		for _, x := range addrs {
			if x.IP.Equal(a.AsSlice()) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%s stays on %s: %w", a, m.Instance, err)
	}
	return nil
}

// fleetAtRest measures what the fleet costs while nothing changes. What waits for new NICs has calmed down by then.
func (b *bench) fleetAtRest(ctx context.Context, f *fleet) error {
	if err := idleFor(ctx, 2*idlePoll); err != nil {
		return err
	}
	asked := f.asked()
	began := time.Now()
	if err := idleFor(ctx, b.idle); err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	now := f.asked()
	b.show("requests a second at rest, of all together", "%.1f to the metadata, %.2f to the OpenAPI", float64(now[0]-asked[0])/seconds, float64(now[1]-asked[1])/seconds)
	var sizes []int
	for _, m := range f.machines {
		own, file, err := memory(m.PID())
		if err != nil {
			return err
		}
		sizes = append(sizes, own+file)
	}
	slices.Sort(sizes)
	b.show("resident, each", "%.1f MiB, the largest %.1f MiB", float64(sizes[len(sizes)/2])/mib, float64(sizes[len(sizes)-1])/mib)
	return nil
}

// asked counts the requests so far: to the metadata, and to the OpenAPI.
func (f *fleet) asked() (n [2]int) {
	for _, m := range f.machines {
		for _, r := range f.Cloud.Requests(m.Instance) {
			n[0] += r.Count
		}
	}
	for _, count := range f.api.Requests() {
		n[1] += count
	}
	return n
}

func idleFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bench) percentiles(what string, took []time.Duration) {
	slices.Sort(took)
	at := func(p float64) string { return short(took[int(p*float64(len(took)-1)+0.5)]) }
	b.show(what, "p50 %s, p99 %s (%d times)", at(0.5), at(0.99), len(took))
}
