package netcfg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// notTried is the error of an Op that the end of the context left undone.
type notTried struct{ cause error }

func (e notTried) Error() string        { return "not tried: " + e.cause.Error() }
func (e notTried) Unwrap() error        { return e.cause }
func (e notTried) Is(target error) bool { return target == ErrSkipped }

// errForeign marks an object that is in the kernel already, and is not ours.
var errForeign = errors.New("somebody else has put it there")

// Apply executes ops in order, one Result for each. After a failure what would add to the
// same Slot is skipped (to any, where it was NoSlot), so that no address comes without
// its rules; removals go on. What is gone already counts as removed. The record of
// ownership is on disk before the first change, and when that fails nothing is
// changed. With no ops only the record is brought up to date. The Op in a Result of
// Restore has the value that was put back.
func (k *Kernel) Apply(ctx context.Context, ops []Op) []Result {
	b, err := k.begin(ops)
	results := make([]Result, len(ops))
	for i, op := range ops {
		if err != nil {
			results[i] = Result{op, fmt.Errorf("%s: %w", op.Name(), err), false}
			continue
		}
		results[i] = b.step(ctx, op)
	}
	if err == nil {
		_ = k.save(k.record) // RecordProblem says; on disk is more than is ours, never less
		k.announce(results)
	}
	return results
}

// announce tells the subnets of the addresses that came, once rules and routes for them stand.
func (k *Kernel) announce(results []Result) {
	for _, r := range results {
		if a, ok := r.Op.Object.(Addr); ok && r.Op.Verb == Add && r.Err == nil {
			k.announcer.pending = append(k.announcer.pending, a)
		}
	}
	if len(k.announcer.pending) == 0 {
		return
	}
	if l, err := k.look(); err == nil { // else the next Observe does it, or says what is wrong
		k.announcer.tell(l)
	}
}

// batch is one Apply under way.
type batch struct {
	*Kernel
	look   look
	before record        // what was recorded when the batch began
	failed map[Slot]bool // whose additions are skipped
}

// begin looks at the present state and writes down what ops will make ours.
func (k *Kernel) begin(ops []Op) (*batch, error) {
	l, err := k.look()
	if err != nil {
		return nil, err
	}
	b := &batch{Kernel: k, look: l, before: k.record.clone(), failed: map[Slot]bool{}}
	for _, op := range ops {
		if err := b.claim(op); err != nil {
			k.record = b.before
			return nil, err
		}
	}
	if err := k.save(k.record); err != nil {
		k.record = b.before
		return nil, err
	}
	return b, nil
}

// claim records what an Op will make ours. What is there already is not: to add
// it will fail, or it is somebody else's setting.
func (b *batch) claim(op Op) error {
	if op.Verb == Del || op.Verb == Restore {
		return nil
	}
	switch o := op.Object.(type) {
	case Route:
		b.record.protocols[o.Proto] = true
	case Rule:
		b.record.protocols[o.Proto] = true
	case Addr:
		if b.look.recordable(o.Link) && !b.look.has(o) {
			b.record.addrs[b.look.owned(o)] = true
		}
	case Setting:
		return b.claimSetting(o)
	case Chain:
		b.claimChain()
	}
	return nil
}

func (b *batch) claimSetting(s Setting) error {
	if !b.look.recordable(s.Link) {
		return nil
	}
	link := b.look.byID[s.Link]
	present, ok, err := knob(link, s.Knob)
	if err != nil {
		return fmt.Errorf("read the setting %s of %s: %w", s.Knob, link.Name, err)
	}
	id := ownedKnob{link.id(), s.Knob}
	old, recorded := b.record.knobs[id]
	switch {
	case !ok || present == s.Value && !recorded:
	case recorded && old.isOurs(present):
		b.record.knobs[id] = change{old.found, []string{present, s.Value}}
	default: // also where another has changed a setting of ours: theirs is put back
		b.record.knobs[id] = change{present, []string{present, s.Value}}
	}
	return nil
}

// step does one Op, or skips it.
func (b *batch) step(ctx context.Context, op Op) Result {
	adds := op.Verb != Del && op.Verb != Restore
	_, chain := op.Object.(Chain)
	switch {
	case ctx.Err() != nil:
		b.disclaim(op)
		return Result{op, fmt.Errorf("%s: %w", op.Name(), notTried{context.Cause(ctx)}), true}
	case adds && !chain && (b.failed[op.Slot] || b.failed[NoSlot]):
		b.disclaim(op)
		return Result{op, fmt.Errorf("%s: %w", op.Name(), ErrSkipped), true}
	}
	op, err := b.do(op)
	if err == nil {
		return Result{Op: op}
	}
	b.disclaim(op)
	// An MTU that the driver refuses holds up nothing, nor does what is wrong with iptables.
	if s, ok := op.Object.(Setting); !chain && (!ok || s.Knob != LinkMTU) {
		b.failed[op.Slot] = true
	}
	return Result{Op: op, Err: fmt.Errorf("%s: %w", op.Name(), advise(err))}
}

// disclaim takes back what claim recorded of an Op that was not done.
func (b *batch) disclaim(op Op) {
	switch o := op.Object.(type) {
	case Addr:
		if id := b.look.owned(o); op.Verb == Add && !b.before.addrs[id] {
			delete(b.record.addrs, id)
		}
	case Setting:
		id := ownedKnob{b.look.byID[o.Link].id(), o.Knob}
		if old, was := b.before.knobs[id]; op.Verb == Set && was {
			b.record.knobs[id] = old
		} else if op.Verb == Set {
			delete(b.record.knobs, id)
		}
	}
}

// do executes an Op and keeps the record in step with it.
func (b *batch) do(op Op) (Op, error) {
	switch o := op.Object.(type) {
	case Addr:
		return op, b.doAddr(op.Verb, o)
	case Route:
		return op, b.doRoute(op.Verb, o)
	case Rule:
		return op, doRule(b.conn, op.Verb, o)
	case Setting:
		if op.Verb == Restore {
			return b.restore(op, o)
		}
		return op, b.doSetting(op, o)
	case Chain:
		return op, b.doChain(op.Verb, o)
	default:
		return op, fmt.Errorf("netcfg cannot apply a %T", op.Object)
	}
}

func (b *batch) doAddr(v Verb, a Addr) error {
	id := b.look.owned(a)
	if v == Del {
		if err := b.conn.setAddr(Del, a); err != nil && !gone(err) {
			return err
		}
		delete(b.record.addrs, id)
		return nil
	}
	if !b.look.recordable(a.Link) {
		return fmt.Errorf("NIC %d is gone or is no Ethernet NIC: %w", a.Link, unix.ENODEV)
	}
	err := b.conn.setAddr(Add, a)
	if errors.Is(err, unix.EEXIST) { // it serves as well, and stays when ours go
		if !b.before.addrs[id] {
			delete(b.record.addrs, id)
		}
		return nil
	}
	if err == nil {
		b.record.addrs[id] = true // also where the same batch deleted it first
	}
	return err
}

func (b *batch) doRoute(v Verb, r Route) error {
	if r.Table == MainTable {
		b.watch.mainChanged() // its event may come after the next Observe
	}
	switch v {
	case Del:
		if err := b.conn.setRoute(Del, r); err != nil && !gone(err) {
			return err
		}
		return nil
	case Replace:
		if err := b.replaceable(r); err != nil {
			return err
		}
	}
	err := b.conn.setRoute(v, r)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if foreign := b.replaceable(r); foreign != nil {
		return foreign
	}
	return err
}

// replaceable fails where a route stands in this one's place that is not of a
// protocol of ours: the kernel would let us take it over.
func (b *batch) replaceable(r Route) error {
	there, err := b.conn.inPlace(r)
	if err != nil {
		return fmt.Errorf("look what is in its place: %w", err)
	}
	for _, other := range there {
		if !b.record.protocols[other.Proto] {
			return fmt.Errorf("a route of protocol %d to %s with metric %d is in table %d already and %w; delete it, or let enid use other tables (routing.table)",
				other.Proto, other.Dst, other.Metric, other.Table, errForeign)
		}
	}
	return nil
}

func doRule(c *conn, v Verb, r Rule) error {
	err := c.setRule(v, r)
	switch {
	case v == Del && gone(err):
		return nil
	case errors.Is(err, unix.EEXIST): // the kernel compares the protocol too
		return fmt.Errorf("a rule with this priority, selector and protocol %d is there already and %w since enid looked; or give enid another number (routing.protocol): %w",
			r.Proto, errForeign, err)
	}
	return err
}

// gone: the faces of "there is no such thing". ENODEV is a NIC that went, and
// with it everything that was on it.
func gone(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ESRCH) ||
		errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// advise adds what to do about it. A netlink EACCES is no lack of permission:
// IPv6 says so on a NIC where it is disabled.
func advise(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w; it needs CAP_NET_ADMIN: run enid as root, or give its service AmbientCapabilities=CAP_NET_ADMIN", err)
	case errors.Is(err, unix.EROFS) || errors.As(err, new(*fs.PathError)) && errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w; it needs CAP_NET_ADMIN and a writable /proc/sys: run enid as root, a container privileged", err)
	}
	return err
}

// has reports whether the address is there.
func (l look) has(a Addr) bool {
	for _, p := range l.addrs {
		if p.Addr == a {
			return true
		}
	}
	return false
}
