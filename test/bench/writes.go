package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// writes measures a whole host from nothing: by ip -batch, by enid's writes alone, and by a
// whole pass of the daemon's loop.
func (b *bench) writes(ctx context.Context) error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	var start, batch, apply, pass []time.Duration
	kinds := ""
	for round := range b.rounds {
		variants := []func(*machine) error{
			func(m *machine) (err error) {
				kinds, err = m.byBatch(ctx, &start, &batch)
				return err
			},
			func(m *machine) error { return m.byApply(ctx, &apply) },
			func(m *machine) error { return m.byLoop(ctx, &pass) },
		}
		for i := range variants { // in turns, a different one first each round
			m, err := s.machine()
			if err == nil {
				err = variants[(i+round)%len(variants)](m)
			}
			if err != nil {
				return err
			}
		}
	}
	b.heading("%d ENIs with %d addresses each, from nothing (%d rounds in turns, medians)", secondaries, perENI, b.rounds)
	b.show("the objects", "%s", kinds)
	b.show("ip -batch, and the sysctls written to their files", "%s   1.00 x", spread(batch))
	b.show("  of which the start of ip itself (ip -V)", "%s", spread(start))
	b.ratio("enid's writes alone, record of ownership included", apply, batch, 1)
	b.ratio("whole pass, from metadata to verified", pass, batch, 2)
	return nil
}

// plan is what enid would do on a machine, and the Kernel that can do it.
func (m *machine) plan(ctx context.Context) (*netcfg.Kernel, []netcfg.Op, error) {
	k, err := netcfg.NewKernel(filepath.Join(m.dir, "run"))
	if err != nil {
		return nil, nil, err
	}
	ops, err := decide(ctx, k, false)
	return k, ops, err
}

// decide is what the agent does between an answer and the writes; chains on a host that forwards.
func decide(ctx context.Context, k *netcfg.Kernel, chains bool) ([]netcfg.Op, error) {
	belief := metadata.Belief{}.Update(snapshot(), time.Now(), time.Minute)
	numbers := netcfg.DefaultNumbers
	scope := netcfg.Scope{MACs: map[metadata.MAC]bool{}, Protos: []int{numbers.Protocol}, Full: true, Chains: chains, Numbers: numbers}
	var enis []netcfg.ENI
	for _, i := range belief.Interfaces() {
		scope.MACs[i.MAC] = true
		enis = append(enis, netcfg.ENI{Interface: i.Interface, Hold: i.Hold})
	}
	seen, err := k.Observe(ctx, scope)
	if err != nil {
		return nil, err
	}
	slots, _ := netcfg.Slots{}.Assign(enis, belief.Settled(), seen, numbers)
	return netcfg.Plan(seen.Own, netcfg.Desired(netcfg.Input{
		Numbers: numbers, ENIs: enis, Slots: slots, Settled: belief.Settled(), ReturnPath: netcfg.Auto, Seen: seen})), nil
}

// byBatch does the plan by ip -batch, and as ip knows no sysctls, those by writing their files.
func (m *machine) byBatch(ctx context.Context, start, took *[]time.Duration) (kinds string, err error) {
	return kinds, m.Do(func() error {
		k, ops, err := m.plan(ctx)
		if err != nil {
			return err
		}
		defer k.Close()
		kinds = count(ops)
		file, lines := filepath.Join(m.dir, "batch"), []string{}
		var sysctls [][2]string
		for _, op := range ops {
			if set, ok := op.Object.(netcfg.Setting); ok && set.Knob.Path(op.Dev) != "" {
				sysctls = append(sysctls, [2]string{filepath.Join("/proc/sys/net", set.Knob.Path(op.Dev)), set.Value})
				continue
			}
			line, isIP := strings.CutPrefix(op.String(), "ip ")
			if !isIP || strings.HasPrefix(line, "-") {
				return fmt.Errorf("ip -batch cannot do %q", op)
			}
			lines = append(lines, line)
		}
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return err
		}
		began := time.Now()
		if out, err := exec.CommandContext(ctx, "ip", "-V").CombinedOutput(); err != nil {
			return fmt.Errorf("ip -V: %w: %s", err, out)
		}
		*start = append(*start, time.Since(began))

		began = time.Now()
		for _, s := range sysctls {
			if err := os.WriteFile(s[0], []byte(s[1]), 0); err != nil {
				return err
			}
		}
		if out, err := exec.CommandContext(ctx, "ip", "-batch", file).CombinedOutput(); err != nil {
			return fmt.Errorf("ip -batch: %w: %s", err, out)
		}
		*took = append(*took, time.Since(began))
		return nil
	})
}

// byApply does the plan by netcfg alone.
func (m *machine) byApply(ctx context.Context, took *[]time.Duration) error {
	return m.Do(func() error {
		k, ops, err := m.plan(ctx)
		if err != nil {
			return err
		}
		defer k.Close()
		began := time.Now()
		results := k.Apply(ctx, ops)
		*took = append(*took, time.Since(began))
		var errs []error
		for _, r := range results {
			errs = append(errs, r.Err)
		}
		left, err := decide(ctx, k, false)
		if len(left) > 0 {
			err = fmt.Errorf("after the writes something is left to do: %s", left[0])
		}
		return errors.Join(append(errs, k.RecordProblem(), err)...)
	})
}

// byLoop lets the daemon's loop do it, from its first answer of the metadata to the empty plan.
func (m *machine) byLoop(ctx context.Context, took *[]time.Duration) error {
	d, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer d.stop()
	p, err := d.converged(ctx)
	if err == nil {
		*took = append(*took, p.ended.Sub(p.answered))
	}
	return err
}

// count says how many of which kind there are.
func count(ops []netcfg.Op) string {
	kinds := map[string]int{}
	for _, op := range ops {
		kind := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", op.Object), "netcfg."))
		if set, ok := op.Object.(netcfg.Setting); ok && set.Knob.Path(op.Dev) != "" {
			kind = "sysctl"
		}
		kinds[kind]++
	}
	var words []string
	for kind, n := range kinds {
		words = append(words, fmt.Sprintf("%d %ss", n, kind))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
