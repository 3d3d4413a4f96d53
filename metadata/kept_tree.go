package metadata

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// TreeKeys are the keys below each MAC of a MACTree that a dialect reads, where the MAC's directory lists them.
type TreeKeys struct {
	Addresses []string // the lists of addresses, asked for each time
	Changing  []string // what else is asked for each time
	Stable    []string // remembered while the lists of addresses read the same
}

// All are the keys of each kind.
func (k TreeKeys) All() []string { return slices.Concat(k.Addresses, k.Changing, k.Stable) }

// TreeMemory is what need not be asked for with every Fetch of a MACTree. The zero TreeMemory remembers nothing.
type TreeMemory struct{ top, keys Kept }

// Gather asks level by level, because each level lists what the next one has. What is remembered of an ENI goes
// with its lists of addresses, so that it is never older than they are.
func (m *TreeMemory) Gather(ctx context.Context, t MACTree, k TreeKeys, get Get) Answers {
	answers := m.top.Gather(ctx, []string{t.Primary, t.Instance, t.MACs}, func(path string) bool { return path != t.MACs }, get)
	dirs := t.Dirs(answers)
	maps.Copy(answers, Gather(ctx, dirs, get))

	var changing, stable []string
	dirOf := map[string]string{}
	for _, dir := range dirs {
		for _, path := range ToAsk(dir, answers.Of(dir), k.All()) {
			if slices.Contains(k.Stable, path[len(dir):]) {
				stable, dirOf[path] = append(stable, path), dir
			} else {
				changing = append(changing, path)
			}
		}
	}
	maps.Copy(answers, Gather(ctx, changing, get))
	addresses := func(path string) string {
		var lists []string
		for _, key := range k.Addresses {
			lists = append(lists, answers.Of(dirOf[path]+key).Body)
		}
		return strings.Join(lists, "\n")
	}
	maps.Copy(answers, m.keys.GatherWhile(ctx, stable, addresses, get))
	return answers
}
