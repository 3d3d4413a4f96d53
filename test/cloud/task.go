package cloud

import (
	"fmt"
	"time"
)

// The kinds of task, as JD Cloud's OpenAPI names the operations.
const (
	taskAttach = "attachNetworkInterface"
	taskDetach = "detachNetworkInterface"
	taskStart  = "startInstance"
	taskStop   = "stopInstance"
)

// task is an operation that an instance is busy with; zero: none.
type task struct {
	Kind       string
	ENI        string // of an attach or a detach
	AutoDelete bool   // of an attach
	Parent     string `json:",omitempty"` // of an attach as a VLAN, see ENI.VLANParent
	VLAN       int    `json:",omitempty"`
	Serial     int    // tells tasks apart that are otherwise equal
}

// SetAttachDelay sets how long an attach, a detach, a start or a stop is under
// way from now on; 0: it is done at once. Meanwhile other operations on the
// instance, and on the ENI as a device, are refused; what is under way can no longer fail.
func (c *Cloud) SetAttachDelay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attachDelay = d
}

// idle reports whether an operation may begin on the instance.
func (in *instance) idle() error {
	switch {
	case in.status != Running && in.status != Stopped:
		return fmt.Errorf("%w: wait until the instance is running or stopped", wrongStatus(in))
	case in.task.Kind != "":
		return underway(in.task.Kind)
	}
	return nil
}

func wrongStatus(in *instance) error { return precondition("Invalid instance status %s", in.status) }

func underway(kind string) error {
	return fmt.Errorf("%w: wait until it is done", precondition("Conflict with underlay task %s", kind))
}

// taskOf is the kind of the task that an ENI is subject to, or "".
func (c *Cloud) taskOf(eni string) string {
	for _, in := range c.instances {
		if in.task.Kind != "" && in.task.ENI == eni {
			return in.task.Kind
		}
	}
	return ""
}

// begin does a task, at once or after the delay.
func (c *Cloud) begin(in *instance, t task) []Event {
	if c.attachDelay <= 0 {
		return c.finish(in, t)
	}
	c.made["task"]++
	t.Serial = c.made["task"]
	in.task = t
	c.finishAfter(c.attachDelay, in.id, t)
	return nil
}

// finishAfter does a task later. Where its end cannot be stored, it is tried
// again: an operation that was accepted is done.
func (c *Cloud) finishAfter(d time.Duration, instance string, t task) {
	time.AfterFunc(d, func() {
		err := c.change(func() ([]Event, error) {
			if in, there := c.instances[instance]; there && in.task == t {
				return c.finish(in, t), nil
			}
			return nil, nil
		})
		if err != nil {
			c.finishAfter(d, instance, t)
		}
	})
}

// finish makes a task's effect true.
func (c *Cloud) finish(in *instance, t task) []Event {
	in.task = task{}
	switch t.Kind {
	case taskAttach:
		return c.plug(in.id, c.enis[t.ENI], t)
	case taskDetach:
		return unplug(c.enis[t.ENI])
	case taskStart:
		in.status = Running
		return []Event{{PoweredOn, in.id, c.attached(in.id)[0]}}
	case taskStop:
		in.status = Stopped
		return []Event{{PoweredOff, in.id, c.attached(in.id)[0]}}
	}
	return nil
}
