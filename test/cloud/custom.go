package cloud

import (
	"fmt"
	"maps"
	"strings"
)

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
		return []Event{{Kind: settings, Instance: instance}}, nil
	})
}

func checkCustom(in *instance, key, value string) error {
	_, there := in.custom[strings.ToLower(key)]
	switch {
	case key == "" || len(key) > maxCustomKey || strings.HasSuffix(key, "-") || strings.Contains(key, "/"):
		return invalid("metadata key: want 1 to %d characters, no slash, no dash at the end", maxCustomKey)
	case len(value) > maxCustomValue:
		return invalid("metadata value of %d bytes: want %d at most", len(value), maxCustomValue)
	case !there && len(in.custom) == maxCustomPairs:
		return precondition("An instance has %d pairs of metadata at most: remove one", maxCustomPairs)
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
		return []Event{{Kind: settings, Instance: instance}}, nil
	})
}

// Custom is the custom metadata of an instance that SetCustom has set, by key in
// lower case; nil for an instance that does not exist.
func (c *Cloud) Custom(instance string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in, ok := c.instances[instance]; ok {
		return maps.Clone(in.custom)
	}
	return nil
}
