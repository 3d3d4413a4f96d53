package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"enid/agent"
)

// foreignRoutes is what a host with a full routing table has in main.
const foreignRoutes = 200_000

// quietRounds are many, as one takes no time.
const quietRounds = 101

// quiet measures a pass that finds nothing to do, with and without somebody else's routes.
func (b *bench) quiet(ctx context.Context) error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	cases := []*quietCase{
		{name: "no foreign routes"},
		{name: "200,000 in main, through a veth that is no ENI", dev: nic(secondaries + 1)},
		{name: "200,000 in main, through the primary's NIC", dev: nic(0)},
	}
	for _, c := range cases {
		if err := c.prepare(ctx, s); err != nil {
			return err
		}
		defer c.stop()
	}
	for range quietRounds {
		for _, c := range cases {
			if err := c.once(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	b.heading("A pass that finds nothing to do, %d ENIs, the watch running (%d rounds in turns, medians)", secondaries+1, quietRounds)
	for _, c := range cases {
		b.below(c.name, c.times, 2*time.Millisecond)
	}
	return nil
}

// quietCase is a converged machine with its loop.
type quietCase struct {
	name, dev string
	*loop
	times []time.Duration
}

func (c *quietCase) prepare(ctx context.Context, s *site) error {
	m, err := s.machine()
	if err != nil {
		return err
	}
	if c.dev != "" {
		if err := m.flood(ctx, s, c.dev); err != nil {
			return err
		}
	}
	if c.loop, err = m.start(ctx); err != nil {
		return err
	}
	_, err = c.converged(ctx)
	return err
}

// flood gives main somebody else's routes through a NIC.
func (m *machine) flood(ctx context.Context, s *site, dev string) error {
	if dev != nic(0) {
		if err := s.plug(m, secondaries+1); err != nil {
			return err
		}
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "link set %s up\n", dev)
	for i := range foreignRoutes {
		fmt.Fprintf(&lines, "route add 16.%d.%d.%d/32 dev %s proto bird\n", byte(i>>16), byte(i>>8), byte(i), dev)
	}
	return m.Do(func() error {
		ip := exec.CommandContext(ctx, "ip", "-batch", "-")
		ip.Stdin = strings.NewReader(lines.String())
		if out, err := ip.CombinedOutput(); err != nil {
			return fmt.Errorf("add the foreign routes: %w: %s", err, out)
		}
		return nil
	})
}

// once asks for a pass and times it.
func (c *quietCase) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c.drain()
	agent.Poke(c.events.Kernel)
	p, err := c.next(ctx)
	if err != nil {
		return err
	}
	if p.wrote != 0 || !p.converged {
		return fmt.Errorf("a quiet pass did %d operations, converged: %v", p.wrote, p.converged)
	}
	c.times = append(c.times, p.took())
	return nil
}
