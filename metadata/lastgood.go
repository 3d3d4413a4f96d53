package metadata

import (
	"fmt"
	"slices"
)

// UnmarshalText is the State of a word that MarshalText made.
func (s *State) UnmarshalText(text []byte) error {
	for _, state := range []State{Unknown, None, Known, AtLeast} {
		if state.String() == string(text) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("%q is not the state of a fact", text)
}

// Remember is a Belief in what was believed earlier, before a restart: everything in it is held (see Believed.Hold)
// and nothing is confirmed, so that it can add and never take away. Answers then change it as ever.
// Of two interfaces with one MAC the earlier counts.
func Remember(interfaces []Interface) Belief {
	var b Belief
	for _, i := range interfaces {
		if slices.Contains(b.listed, i.MAC) {
			continue
		}
		b.listed = append(b.listed, i.MAC)
		b.entries = append(b.entries, belief{value: i.Clone()})
	}
	slices.SortFunc(b.listed, compareMAC)
	slices.SortFunc(b.entries, func(x, y belief) int { return compareMAC(x.value.MAC, y.value.MAC) })
	return b
}
