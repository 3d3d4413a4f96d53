package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SetCustomPairs sets several keys of the instance's custom metadata as SetCustom
// does, all of them or none, seen in one step. Those with an empty value go first.
func (c *Cloud) SetCustomPairs(instance string, pairs map[string]string) error {
	return c.change(func() ([]Event, error) {
		in, err := c.instance(instance)
		if err != nil {
			return nil, fmt.Errorf("set custom metadata of instance %q: %w", instance, err)
		}
		next, err := withPairs(in.custom, pairs)
		if err != nil {
			return nil, fmt.Errorf("set custom metadata of instance %q: %w", instance, err)
		}
		in.custom = next
		return []Event{{Kind: settings, Instance: instance}}, nil
	})
}

func withPairs(custom, pairs map[string]string) (map[string]string, error) {
	trial := newInstance("")
	trial.custom = maps.Clone(custom)
	keys := slices.SortedFunc(maps.Keys(pairs), func(a, b string) int {
		return cmp.Or(cmp.Compare(min(1, len(pairs[a])), min(1, len(pairs[b]))), cmp.Compare(a, b))
	})
	for _, key := range keys {
		if err := checkCustom(trial, key, pairs[key]); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		setPair(trial.custom, key, pairs[key])
	}
	return trial.custom, nil
}

func setPair(custom map[string]string, key, value string) {
	custom[strings.ToLower(key)] = value
	if value == "" {
		delete(custom, strings.ToLower(key))
	}
}
