package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"enid/test/cloud"
	"enid/test/rig"
)

// asked is what an idle agent asks the metadata for in a dialect.
type asked struct {
	dialect  cloud.Dialect
	requests int
	polls    int // how often the path came that came most often
	over     time.Duration
}

// peersAsk is what others ask for, on a host with two NICs; the first asks for each NIC apart.
const peersAsk = "amazon-ec2-net-utils 9.6, nm-cloud-setup 1.2, google-guest-agent 0.5 to 1, cloud-init 0"

// dialects counts the requests of an idle agent in every dialect, all side by side.
func (b *bench) dialects(ctx context.Context) error {
	var all []*asked
	group, ctx := errgroup.WithContext(ctx)
	for _, d := range cloud.Dialects() {
		a := &asked{dialect: d}
		all = append(all, a)
		group.Go(func() error {
			if err := b.askIdle(ctx, a); err != nil {
				return fmt.Errorf("%s: %w", a.dialect, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.heading("Metadata requests of an idle agent, %d ENIs with %d addresses each, asked every %s", secondaries+1, perENI, idlePoll)
	for _, a := range all {
		minute := float64(a.requests) * float64(time.Minute) / float64(a.over)
		b.show(string(a.dialect), "%.1f a minute, %.1f a poll", minute, float64(a.requests)/float64(max(a.polls, 1)))
	}
	b.show("others, measured with 2 NICs", "%s a minute", peersAsk)
	return nil
}

// askIdle brings an agent up with all its ENIs, lets it calm down, and counts for whole polls.
func (b *bench) askIdle(ctx context.Context, a *asked) (err error) {
	r, err := rig.New(rig.Options{Dialect: a.dialect, Enid: b.enid, Poll: idlePoll, PrimarySecondary: perENI - 1, Overlay: a.dialect.TellsOneAddress()})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if _, err := r.Start(); err != nil {
		return err
	}
	for i := range secondaries {
		if _, err := r.Attach(rig.SubnetNames[1+i%2], perENI); err != nil {
			return err
		}
	}
	if err := idleFor(ctx, calm); err != nil {
		return err
	}
	s, err := r.Status(ctx)
	if err != nil {
		return err
	}
	var wrong []string
	for _, e := range s.ENIs {
		if e.NIC == "" || len(e.Addresses) == 0 {
			wrong = append(wrong, e.Name)
		}
	}
	if len(s.ENIs) != secondaries+1 || len(wrong) > 0 {
		return fmt.Errorf("after %s of %d ENIs %d are known, without NIC or addresses: %s\n%s", calm, secondaries+1, len(s.ENIs), strings.Join(wrong, " "), r.Log())
	}
	r.Cloud.ResetRequests(r.Instance)
	began := time.Now()
	if err := idleFor(ctx, slices.Max([]time.Duration{b.idle, 6 * idlePoll})); err != nil {
		return err
	}
	a.over = time.Since(began)
	for _, q := range r.Cloud.Requests(r.Instance) {
		a.requests += q.Count
		a.polls = max(a.polls, q.Count)
	}
	return nil
}

// calm is when an agent has stopped to ask in haste for what a new NIC's ENI is, see agent/poll.go.
const calm = 90 * time.Second
