package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// instance is a VM: what it is, what its metadata shows of it, and who asked.
type instance struct {
	id     string
	custom map[string]string // custom metadata, by key in lower case
	auto   bool              // the cloud keeps the custom key enid

	history  []record            // [0] is shown; the later ones wait for the delay
	progress map[string]progress // of ENIs that were shown after the instance was made, by id
	remnants []remnant           // ENIs that are gone and still listed

	requests map[Request]int
	tokens   map[string]time.Time // ec2: the instant at which each expires
}

// CreateInstance makes an instance together with its primary ENI, and returns that.
func (c *Cloud) CreateInstance(id, subnetID string, o ENIOptions) (primary ENI, err error) {
	err = c.change(func() ([]Event, error) {
		if _, taken := c.instances[id]; taken || id == "" {
			return nil, fmt.Errorf("create instance %q: id: %w: choose one that is new and not empty", id, ErrConflict)
		}
		made, events, err := c.create(subnetID, o)
		if err != nil {
			return nil, fmt.Errorf("create instance %q: primary ENI in subnet %q: %w", id, subnetID, err)
		}
		c.instances[id] = &instance{
			id: id, custom: map[string]string{}, progress: map[string]progress{},
			requests: map[Request]int{}, tokens: map[string]time.Time{},
		}
		e := c.enis[made.ID]
		e.Instance, e.Primary = id, true
		primary = e.Clone()
		return append(events, Event{Attached, id, e.Clone()}), nil
	})
	return primary, err
}

// Attach plugs an ENI into an instance, at the lowest free index.
func (c *Cloud) Attach(instance, eni string) error {
	return c.change(func() ([]Event, error) {
		_, e, err := c.pair(instance, eni)
		if err == nil && e.Instance != "" {
			err = fmt.Errorf("%w: it is attached to instance %s; detach it first", ErrPrecondition, e.Instance)
		}
		if err != nil {
			return nil, fmt.Errorf("attach ENI %q to instance %q: %w", eni, instance, err)
		}
		e.Index = 0
		for _, other := range c.attached(instance) {
			if other.Index == e.Index {
				e.Index++
			}
		}
		e.Instance = instance
		return []Event{{Attached, instance, e.Clone()}}, nil
	})
}

// Detach unplugs a secondary ENI. It keeps its MAC and its addresses.
func (c *Cloud) Detach(instance, eni string) error {
	return c.change(func() ([]Event, error) {
		_, e, err := c.pair(instance, eni)
		switch {
		case err != nil:
		case e.Instance != instance:
			err = fmt.Errorf("%w: it is attached to %q", ErrPrecondition, e.Instance)
		case e.Primary:
			err = fmt.Errorf("%w: the primary ENI lives and dies with its instance", ErrPrecondition)
		}
		if err != nil {
			return nil, fmt.Errorf("detach ENI %q from instance %q: %w", eni, instance, err)
		}
		left := e.Clone()
		e.Instance, e.Index = "", 0
		return []Event{{Detached, instance, left}}, nil
	})
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

func (c *Cloud) pair(instance, eni string) (*instance, *ENI, error) {
	in, err := c.instance(instance)
	if err != nil {
		return nil, nil, err
	}
	e, err := c.eni(eni)
	return in, e, err
}

func (c *Cloud) instance(id string) (*instance, error) {
	if in, ok := c.instances[id]; ok {
		return in, nil
	}
	return nil, fmt.Errorf("instance: %w: create it first", ErrNotFound)
}

// The limits of custom metadata on JD Cloud.
const (
	maxCustomPairs = 40
	maxCustomKey   = 256
	maxCustomValue = 16 << 10
)

// SetCustom sets a key of the instance's custom metadata, which the jdcloud
// dialect shows; an empty value removes it. Keys know no case. JD Cloud ignores
// keys that end in "-": here they are an error.
func (c *Cloud) SetCustom(instance, key, value string) error {
	return c.change(func() ([]Event, error) {
		in, err := c.instance(instance)
		if err == nil {
			err = checkCustom(in, key, value)
		}
		if err != nil {
			return nil, fmt.Errorf("set custom metadata %q of instance %q: %w", key, instance, err)
		}
		in.custom = maps.Clone(in.custom)
		in.custom[strings.ToLower(key)] = value
		if value == "" {
			delete(in.custom, strings.ToLower(key))
		}
		c.record(in)
		return nil, nil
	})
}

func checkCustom(in *instance, key, value string) error {
	_, there := in.custom[strings.ToLower(key)]
	switch {
	case key == "" || len(key) > maxCustomKey || strings.HasSuffix(key, "-") || strings.Contains(key, "/"):
		return fmt.Errorf("key: %w: want 1 to %d characters, no slash, no dash at the end", ErrInvalid, maxCustomKey)
	case len(value) > maxCustomValue:
		return fmt.Errorf("value of %d bytes: %w: want %d at most", len(value), ErrInvalid, maxCustomValue)
	case !there && len(in.custom) == maxCustomPairs:
		return fmt.Errorf("%w: an instance has %d pairs at most; remove one", ErrPrecondition, maxCustomPairs)
	}
	return nil
}

// AutoCustom has the cloud keep the custom key enid equal to the instance's
// interfaces document, as an operator's automation would. It goes before a
// value set by hand, and is seen after the same delay as every change.
func (c *Cloud) AutoCustom(instance string, on bool) error {
	return c.change(func() ([]Event, error) {
		in, err := c.instance(instance)
		if err != nil {
			return nil, fmt.Errorf("keep custom metadata of instance %q: %w", instance, err)
		}
		in.auto = on
		c.record(in)
		return nil, nil
	})
}
