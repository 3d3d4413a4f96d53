package tencent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// maxSubnets is of how many subnets the addresses of one ENI may be. The cloud gives an ENI one; a service whose
// masks are wrong must not be asked for that of every address.
const maxSubnets = 4

// memory is what need not be asked for with every Fetch.
type memory struct {
	top     metadata.Kept
	keys    metadata.Kept
	subnets [maxSubnets]metadata.Kept
	publics publics
}

func always(string) bool { return true }

// gather asks level by level, because each level leads to the next.
func (m *memory) gather(ctx context.Context, get metadata.Get) metadata.Answers {
	answers := m.top.Gather(ctx, []string{tree.Primary, tree.Instance, tree.MACs}, func(path string) bool { return path == tree.Instance }, get)
	var lists, dirs []string
	for _, dir := range tree.Dirs(answers) {
		lists = append(lists, dir+listKey)
	}
	maps.Copy(answers, metadata.Gather(ctx, lists, get))
	for _, dir := range tree.Dirs(answers) {
		if !answers.Of(dir + listKey).Absent() {
			dirs = append(dirs, dir)
		}
	}
	maps.Copy(answers, m.gatherKeys(ctx, dirs, answers, get))
	for n := range m.subnets {
		maps.Copy(answers, m.subnets[n].Gather(ctx, subnetPaths(dirs, answers), always, get))
	}
	maps.Copy(answers, m.publics.gather(ctx, dirs, answers, get))
	return answers
}

// gatherKeys asks for the keys of each ENI. Which address is the primary is remembered only for as
// long as the list reads the same, so that a new primary address is never taken for a secondary one: the list is
// made part of the remembered path, where no path has a line feed.
func (m *memory) gatherKeys(ctx context.Context, dirs []string, answers metadata.Answers, get metadata.Get) metadata.Answers {
	var paths []string
	for _, dir := range dirs {
		paths = append(paths, dir+subnetKey, dir+primaryKey+"\n"+answers.Of(dir+listKey).Body)
	}
	plain := func(path string) string {
		path, _, _ = strings.Cut(path, "\n")
		return path
	}
	asked := m.keys.Gather(ctx, paths, always, func(ctx context.Context, path string) (string, error) { return get(ctx, plain(path)) })
	out := metadata.Answers{}
	for path, answer := range asked {
		out[plain(path)] = answer
	}
	return out
}

// subnetPaths are what to ask for next to learn the subnets: of each ENI the mask of one address that is in
// none of those that are known so far, the primary address first and with its gateway.
func subnetPaths(dirs []string, answers metadata.Answers) []string {
	var paths []string
	for _, dir := range dirs {
		a := addressesOf(answers, dir)
		for n, address := range a.values {
			at := addressDir(dir, address)
			if _, asked := answers[at+maskKey]; asked || inAny(a.subnets(answers, dir), address) {
				continue
			}
			paths = append(paths, at+maskKey)
			if n == 0 {
				paths = append(paths, at+gatewayKey)
			}
			break
		}
	}
	return paths
}

func addressDir(dir string, a netip.Addr) string { return dir + listKey + a.String() + "/" }

func inAny(subnets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(subnets, func(p netip.Prefix) bool { return p.Contains(a) })
}
