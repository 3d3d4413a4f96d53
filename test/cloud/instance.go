package cloud

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The values of Instance.Status. Starting and stopping are seen where operations
// take time (SetAttachDelay).
const (
	Running  = "running"
	Stopped  = "stopped"
	Starting = "starting"
	Stopping = "stopping"
)

// Instance is a VM at an instant.
type Instance struct {
	ID, Name    string
	VPC, Subnet string // of its primary ENI
	AZ          string // availability zone
	Status      string // Running, Stopped, Starting or Stopping
	VCPU        int
	NICLimit    int    // how many ENIs it may have, the primary included
	Task        string // the operation that is under way, or "": none
}

// InstanceOptions are the choices in making an instance; only Subnet has no default.
type InstanceOptions struct {
	ID      string // "": chosen by the cloud
	Name    string // "": the id
	Subnet  string
	AZ      string // "": DefaultAZ
	VCPU    int    // 0: 2
	Primary ENIOptions
}

// DefaultAZ is the availability zone of instances that name none.
const DefaultAZ = "cn-north-1c"

// NICLimit is how many ENIs an instance may have, the primary included: 2 with up to
// 2 vCPUs, 4 with up to 8, otherwise 8 (JD Cloud's manual, "Attach ENI").
func NICLimit(vcpu int) int {
	switch {
	case vcpu <= 2:
		return 2
	case vcpu <= 8:
		return 4
	default:
		return 8
	}
}

// instance is a VM: what it is, what its metadata shows of it, and who asked.
type instance struct {
	id, name, az, status string
	vcpu                 int
	task                 task
	custom               map[string]string // custom metadata, by key in lower case
	auto                 bool              // the cloud keeps the custom key enid

	history  []record            // [0] is shown; the later ones wait for the delay
	progress map[string]progress // of ENIs that were shown after the instance was made, by id
	remnants []remnant           // ENIs that are gone and still listed

	requests map[Request]int
	tokens   map[string]time.Time // ec2: the instant at which each expires

	openStack openStackCache
}

func newInstance(id string) *instance {
	return &instance{
		id: id, status: Running, custom: map[string]string{}, progress: map[string]progress{},
		requests: map[Request]int{}, tokens: map[string]time.Time{},
	}
}

// CreateInstance makes an instance of 16 vCPUs, and so of 8 ENIs at most, together
// with its primary ENI, and returns that.
func (c *Cloud) CreateInstance(id, subnetID string, o ENIOptions) (primary ENI, err error) {
	if id == "" {
		return ENI{}, fmt.Errorf("create instance %q: %w: choose an id that is new and not empty", id, used("instanceId"))
	}
	_, primary, err = c.run(InstanceOptions{ID: id, Subnet: subnetID, VCPU: 16, Primary: o})
	return primary, err
}

// RunInstance makes an instance together with its primary ENI, and starts it.
func (c *Cloud) RunInstance(o InstanceOptions) (Instance, error) {
	made, _, err := c.run(o)
	return made, err
}

func (c *Cloud) run(o InstanceOptions) (made Instance, primary ENI, err error) {
	err = c.change(func() ([]Event, error) {
		if _, taken := c.instances[o.ID]; taken {
			return nil, fmt.Errorf("create instance %q: %w: choose an id that is new", o.ID, used("instanceId"))
		}
		if o.VCPU < 0 {
			return nil, fmt.Errorf("create instance %q: %w", o.ID, invalid("%d vCPUs: want at least one", o.VCPU))
		}
		first, events, err := c.create(o.Subnet, o.Primary)
		if err != nil {
			return nil, fmt.Errorf("create instance %q: primary ENI in subnet %q: %w", o.ID, o.Subnet, err)
		}
		if o.ID == "" {
			o.ID = newID(c.made, "i", c.instances)
		}
		in := newInstance(o.ID)
		in.name, in.az, in.vcpu = cmp.Or(o.Name, o.ID), cmp.Or(o.AZ, DefaultAZ), cmp.Or(o.VCPU, 2)
		c.instances[in.id] = in
		e := c.enis[first.ID]
		e.Instance, e.Primary, e.AutoDelete = in.id, true, true
		made, primary = c.describe(in), e.Clone()
		return append(events, Event{Attached, in.id, e.Clone()}), nil
	})
	return made, primary, err
}

// Start starts a stopped instance.
func (c *Cloud) Start(id string) error { return c.switchTo(id, taskStart, Stopped, Starting) }

// Stop stops a running instance. Its ENIs stay attached.
func (c *Cloud) Stop(id string) error { return c.switchTo(id, taskStop, Running, Stopping) }

func (c *Cloud) switchTo(id, kind, from, meanwhile string) error {
	return c.change(func() ([]Event, error) {
		in, err := c.instance(id)
		if err == nil {
			err = in.idle()
		}
		if err == nil && in.status != from {
			err = fmt.Errorf("%w: want %s", wrongStatus(in), from)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", kind, id, err)
		}
		in.status = meanwhile
		return c.begin(in, task{Kind: kind}), nil
	})
}

// Terminate deletes an instance, its primary ENI and those that are set to go
// with it; its other ENIs are detached.
func (c *Cloud) Terminate(id string) error {
	return c.change(func() ([]Event, error) {
		in, err := c.instance(id)
		if err == nil {
			err = in.idle()
		}
		if err != nil {
			return nil, fmt.Errorf("terminate instance %q: %w", id, err)
		}
		var events []Event
		for _, left := range vlansFirst(c.attached(id)) { // the primary last
			events = append(events, Event{Detached, id, left})
			e := c.enis[left.ID]
			e.Instance, e.Index, e.VLANParent, e.VLAN = "", 0, "", 0
			if e.AutoDelete {
				c.remove(e)
			}
		}
		delete(c.instances, id)
		return events, nil
	})
}

// Instances are all instances, by id.
func (c *Cloud) Instances() []Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Instance, 0, len(c.instances))
	for _, in := range sorted(c.instances) {
		out = append(out, c.describe(in))
	}
	return out
}

// DescribeInstance is the state of one instance.
func (c *Cloud) DescribeInstance(id string) (Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, err := c.instance(id)
	if err != nil {
		return Instance{}, fmt.Errorf("describe instance %q: %w", id, err)
	}
	return c.describe(in), nil
}

func (c *Cloud) describe(in *instance) Instance {
	out := Instance{
		ID: in.id, Name: in.name, AZ: in.az, Status: in.status, VCPU: in.vcpu, NICLimit: NICLimit(in.vcpu), Task: in.task.Kind,
	}
	for _, e := range c.enis {
		if e.Primary && e.Instance == in.id {
			out.VPC, out.Subnet = e.VPC, e.SubnetID
		}
	}
	return out
}

// Describe is the state of an instance's ENIs by index, whatever its metadata
// shows; empty for an instance that does not exist.
func (c *Cloud) Describe(instance string) []ENI {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attached(instance)
}

func (c *Cloud) attached(instance string) []ENI {
	var out []ENI
	for _, e := range c.enis {
		if instance != "" && e.Instance == instance {
			out = append(out, e.Clone())
		}
	}
	slices.SortFunc(out, func(a, b ENI) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

func (c *Cloud) instance(id string) (*instance, error) {
	if in, ok := c.instances[id]; ok {
		return in, nil
	}
	return nil, fmt.Errorf("%w: create the instance first", notFound("instanceId"))
}
