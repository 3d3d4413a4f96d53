package cloud

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Propagation is how the metadata shows a change step by step, each step
// counted from the moment at which the change is shown at all. Seen on EC2:
// the MAC listed while its keys are 404, device-number 0 for up to 30 s, a
// detached ENI listed for minutes with its device-number 404.
type Propagation struct {
	Keys         time.Duration // an attached ENI is listed this long before its keys are there
	DeviceNumber time.Duration // ec2: an attached ENI's device-number reads 0 this long
	Linger       time.Duration // a detached ENI stays listed this long
}

// record is an instance at one instant of its history.
type record struct {
	at     time.Time
	enis   []ENI
	custom map[string]string
}

type progress struct{ keysAt, numberAt time.Time }

type remnant struct {
	eni   ENI
	until time.Time
}

// SetDelay sets how long after a change the metadata of all instances shows it.
// What has been shown stays shown; what waits, waits for the new delay.
func (c *Cloud) SetDelay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advanceAll()
	c.delay = d
	c.wake()
}

// SetPropagation sets the steps in which later changes are shown.
func (c *Cloud) SetPropagation(p Propagation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advanceAll()
	c.propagation = p
}

func (c *Cloud) advanceAll() {
	for _, in := range c.instances {
		c.advance(in, time.Now())
	}
}

// record adds the instance's present state to its history. The first record is
// shown at once: an instance never boots without metadata.
func (c *Cloud) record(in *instance) {
	now := time.Now()
	next := record{now, c.attached(in.id), in.custom}
	if in.auto {
		next.custom = maps.Clone(in.custom)
		next.custom["enid"] = string(c.encodeYAML(next.enis))
	}
	in.history = append(in.history, next)
	c.advance(in, now)
}

// advance makes the newest record that is old enough the shown one.
func (c *Cloud) advance(in *instance, now time.Time) {
	for len(in.history) > 1 && !in.history[1].at.Add(c.delay).After(now) {
		c.show(in, in.history[0].enis, in.history[1].enis, in.history[1].at.Add(c.delay))
		in.history = slices.Delete(in.history, 0, 1)
	}
	in.remnants = slices.DeleteFunc(in.remnants, func(r remnant) bool { return !now.Before(r.until) })
}

// show notes the steps that begin where the shown ENIs go from before to after.
func (c *Cloud) show(in *instance, before, after []ENI, at time.Time) {
	has := func(enis []ENI, id string) bool {
		return slices.ContainsFunc(enis, func(e ENI) bool { return e.ID == id })
	}
	for _, e := range after {
		if !has(before, e.ID) {
			in.progress[e.ID] = progress{at.Add(c.propagation.Keys), at.Add(c.propagation.DeviceNumber)}
			in.remnants = slices.DeleteFunc(in.remnants, func(r remnant) bool { return r.eni.ID == e.ID })
		}
	}
	for _, e := range before {
		if !has(after, e.ID) {
			delete(in.progress, e.ID)
			in.remnants = append(in.remnants, remnant{e, at.Add(c.propagation.Linger)})
		}
	}
}

// view is what the metadata of an instance shows at an instant.
type view struct {
	instance string
	name, az string
	vcpu     int
	primary  ENI
	nics     []nic // by index
	custom   map[string]string
	role     func() string  // the document about the instance's role
	vpc      []netip.Prefix // the VPC's blocks: all subnets
}

// nic is an ENI as the metadata lists it.
type nic struct {
	ENI
	keys   bool   // its keys are there
	number string // device-number, or "": there is none
}

func (c *Cloud) view(in *instance) view {
	now := time.Now()
	c.advance(in, now)
	shown := in.history[0]
	v := view{instance: in.id, name: in.name, az: in.az, vcpu: in.vcpu, primary: shown.enis[0], custom: shown.custom, vpc: c.ranges(shown.enis[0].VPC)}
	v.role = func() string { return c.role(in.id) }
	taken := map[int]bool{}
	for _, e := range shown.enis {
		taken[e.Index] = true
		n := nic{e, !now.Before(in.progress[e.ID].keysAt), strconv.Itoa(e.Index)}
		if now.Before(in.progress[e.ID].numberAt) {
			n.number = "0"
		}
		v.nics = append(v.nics, n)
	}
	for _, r := range slices.Backward(in.remnants) {
		if !taken[r.eni.Index] {
			taken[r.eni.Index] = true
			v.nics = append(v.nics, nic{r.eni, true, ""})
		}
	}
	slices.SortFunc(v.nics, func(a, b nic) int { return cmp.Compare(a.Index, b.Index) })
	return v
}

// ranges are those of all subnets of a VPC, in order.
func (c *Cloud) ranges(vpc string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range c.subnets {
		if s.VPC == vpc {
			out = append(out, s.Prefixes()...)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}
