package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// Settings of the rig in which reactions are measured. A NIC is late by seconds where the
// requirement says 20: the daemon asks as often after 3 s as after 20.
const (
	reactPoll = time.Second
	lateBy    = 3 * time.Second
	patience  = 30 * time.Second
)

// reactions are the times of all rounds.
type reactions struct {
	plug, assign, asked, late []time.Duration
	repairs                   [3][]time.Duration // as in harms
}

// harm is something of an ENI that somebody deletes, and the events of its going and coming.
type harm struct {
	what     string
	command  func(agent.ENIStatus) string
	del, add uint16
}

var harms = [3]harm{
	{"a rule", func(e agent.ENIStatus) string { return fmt.Sprintf("ip rule del pref %d", 33001+10*e.Slot) }, unix.RTM_DELRULE, unix.RTM_NEWRULE},
	{"a route", func(e agent.ENIStatus) string { return fmt.Sprintf("ip route del default table %d", e.Table) }, unix.RTM_DELROUTE, unix.RTM_NEWROUTE},
	{"an address", func(e agent.ENIStatus) string {
		return fmt.Sprintf("ip addr del %s/32 dev %s", e.Addresses[len(e.Addresses)-1].Address, e.NIC)
	}, unix.RTM_DELADDR, unix.RTM_NEWADDR},
}

// react measures how soon the built daemon does what changes ask for, as seen from outside.
func (b *bench) react(ctx context.Context) error {
	r, err := rig.New(rig.Options{Dialect: cloud.EC2, Enid: b.enid, Poll: reactPoll, PrimarySecondary: 1})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	d, err := r.Start()
	if err != nil {
		return err
	}
	if _, err := settle(ctx, r, 1); err != nil {
		return err
	}
	e, err := listen(r.VM)
	if err != nil {
		return err
	}
	defer e.close()
	var t reactions
	for range b.rounds {
		if err := t.round(ctx, r, e); err != nil {
			return fmt.Errorf("%w; enid's log:\n%s", errors.Join(err, r.Err()), d.Log())
		}
	}
	b.heading("The daemon's reactions, metadata of EC2 asked every %s (%d rounds, medians)", reactPoll, b.rounds)
	b.below("NIC hot-plugged with its metadata ready -> 5 addresses work", t.plug, 100*time.Millisecond)
	b.below("address assigned -> reached, minus the poll interval", t.assign, 50*time.Millisecond)
	b.show("  since the daemon asked for it", "%s", spread(t.asked))
	b.below(fmt.Sprintf("NIC %s before its metadata -> works, since that shows it", lateBy), t.late, 200*time.Millisecond)
	for i, h := range harms {
		b.below(h.what+" deleted by hand -> back", t.repairs[i], 100*time.Millisecond)
	}
	return b.reload(ctx, r)
}

// settle waits until the daemon has so many ENIs configured.
func settle(ctx context.Context, r *rig.Rig, enis int) (last *agent.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = r.AwaitStatus(ctx, func(s *agent.Status) bool {
		last = s
		bad := func(e agent.ENIStatus) bool { return e.Phase != agent.PhaseConfigured }
		return s.Converged && s.Metadata.OK && len(s.ENIs) == enis && !slices.ContainsFunc(s.ENIs, bad)
	})
	return last, err
}

// round does everything once and leaves the VM as it was.
func (t *reactions) round(ctx context.Context, r *rig.Rig, e *events) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	eni, err := t.hotplug(ctx, r, e)
	if err != nil {
		return fmt.Errorf("hot-plug: %w", err)
	}
	s, err := settle(ctx, r, 2)
	if err != nil {
		return err
	}
	for i, h := range harms {
		command := h.command(s.ENIs[slices.IndexFunc(s.ENIs, func(e agent.ENIStatus) bool { return e.MAC == eni.MAC })])
		if err := t.harm(ctx, r, e, i, command); err != nil {
			return fmt.Errorf("%s deleted: %w", h.what, err)
		}
	}
	if err := t.assigned(ctx, r, eni); err != nil {
		return fmt.Errorf("assign: %w", err)
	}
	if err := leave(ctx, r, eni); err != nil {
		return err
	}
	if err := t.delayed(ctx, r); err != nil {
		return fmt.Errorf("NIC before its metadata: %w", err)
	}
	return nil
}

func (t *reactions) hotplug(ctx context.Context, r *rig.Rig, e *events) (cloud.ENI, error) {
	eni, err := r.Create("subnet-b", 5)
	if err != nil {
		return eni, err
	}
	e.forget()
	if eni, err = r.Reattach(eni); err != nil {
		return eni, err
	}
	if _, err := r.Await(ctx, eni.Addresses...); err != nil {
		return eni, err
	}
	works := time.Now()
	appeared, err := e.next(ctx, unix.RTM_NEWLINK)
	t.plug = append(t.plug, works.Sub(appeared))
	return eni, err
}

// harm deletes something and waits until the kernel tells that it is back.
func (t *reactions) harm(ctx context.Context, r *rig.Rig, e *events, i int, command string) error {
	e.forget()
	words := strings.Fields(command)
	if _, err := r.VM.Run(ctx, words[0], words[1:]...); err != nil {
		return err
	}
	gone, err := e.next(ctx, harms[i].del)
	if err != nil {
		return err
	}
	back, err := e.next(ctx, harms[i].add)
	t.repairs[i] = append(t.repairs[i], back.Sub(gone))
	return err
}

// assigned assigns an address right after a question, so that the whole interval is to be waited for.
func (t *reactions) assigned(ctx context.Context, r *rig.Rig, eni cloud.ENI) error {
	if err := nextQuestion(ctx, r); err != nil {
		return err
	}
	began := time.Now()
	addrs, err := r.Cloud.AssignCount(eni.ID, 1)
	if err != nil {
		return err
	}
	if err := nextQuestion(ctx, r); err != nil {
		return err
	}
	asked := time.Now()
	if _, err := r.Await(ctx, addrs...); err != nil {
		return err
	}
	t.asked = append(t.asked, time.Since(asked))
	t.assign = append(t.assign, time.Since(began)-reactPoll)
	return nil
}

// nextQuestion waits until the daemon asks for the list of ENIs.
func nextQuestion(ctx context.Context, r *rig.Rig) error {
	r.Cloud.ResetRequests(r.Instance)
	_, err := lab.Await(ctx, func() bool { return questions(r) > 0 })
	return err
}

// questions counts how often the list of ENIs was asked for.
func questions(r *rig.Rig) (n int) {
	for _, q := range r.Cloud.Requests(r.Instance) {
		if strings.HasSuffix(strings.TrimSuffix(q.Path, "/"), "network/interfaces/macs") {
			n += q.Count
		}
	}
	return n
}

// delayed plugs a NIC of which the metadata speaks later.
func (t *reactions) delayed(ctx context.Context, r *rig.Rig) error {
	eni, err := r.Create("subnet-c", 5)
	if err != nil {
		return err
	}
	r.Cloud.SetDelay(lateBy)
	shown := time.Now().Add(lateBy)
	if eni, err = r.Reattach(eni); err != nil {
		return err
	}
	if _, err := r.Await(ctx, eni.Addresses...); err != nil {
		return err
	}
	t.late = append(t.late, time.Since(shown))
	r.Cloud.SetDelay(0)
	return leave(ctx, r, eni)
}

// leave detaches and deletes nothing else: it waits until the daemon is done with the ENI.
func leave(ctx context.Context, r *rig.Rig, eni cloud.ENI) error {
	if err := r.Cloud.Detach(r.Instance, eni.ID); err != nil {
		return err
	}
	for _, a := range eni.Addresses[1:] {
		if err := r.Cloud.Release(eni.ID, a); err != nil {
			return err
		}
	}
	_, err := settle(ctx, r, 1)
	return err
}
