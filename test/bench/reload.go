package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"enid/test/rig"
)

// reloads is how often a network manager reloads that removes every rule which is not its own.
const reloads = 20

// flush is what such a reload does to enid's rules.
const flush = "ip rule flush protocol 225; ip -6 rule flush protocol 225"

// reload measures how long after each of many reloads the addresses of an ENI work again.
func (b *bench) reload(ctx context.Context, r *rig.Rig) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	eni, err := r.Attach("subnet-b", 5)
	if err != nil {
		return err
	}
	if _, err := settle(ctx, r, 2); err != nil {
		return err
	}
	var times []time.Duration
	for range reloads {
		if out, err := r.VM.Run(ctx, "sh", "-c", flush); err != nil {
			return fmt.Errorf("%s: %w: %s", flush, err, out)
		}
		began := time.Now()
		if _, err := r.Await(ctx, eni.Addresses...); err != nil {
			return err
		}
		times = append(times, time.Since(began))
		if _, err := settle(ctx, r, 2); err != nil {
			return err
		}
	}
	worst := slices.Max(times)
	b.value(fmt.Sprintf("all rules removed, %d times in a row -> 5 addresses work", reloads), spread(times), worst < 100*time.Millisecond, "100 ms, each")
	return nil
}
