package tencent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"enid/metadata"
)

// publics reads the ENIs' public addresses. They are only shown, and a request for each address is a high price for
// that: so they are asked for of an ENI when its list of addresses changes, and of one ENI more with every Fetch, in turn.
type publics struct {
	mu   sync.Mutex
	turn int
	last map[string]public // by directory
}

// public is what was said about one ENI while its list of addresses read like this.
type public struct {
	list    string
	answers metadata.Answers
}

// gather is what is said, or was said last, about the public addresses of each ENI. A failure is not remembered.
func (p *publics) gather(ctx context.Context, dirs []string, answers metadata.Answers, get metadata.Get) metadata.Answers {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	out, last := metadata.Answers{}, map[string]public{}
	var due []string
	for n, dir := range dirs {
		known, ok := p.last[dir]
		if ok && known.list == answers.Of(dir+listKey).Body && n != p.turn%len(dirs) {
			last[dir] = known
			maps.Copy(out, known.answers)
		} else {
			due = append(due, dir)
		}
	}
	asked := askPublics(ctx, due, answers, get)
	for _, dir := range due {
		if !slices.ContainsFunc(slices.Collect(maps.Values(asked[dir])), failed) {
			last[dir] = public{answers.Of(dir + listKey).Body, asked[dir]}
		}
		maps.Copy(out, asked[dir])
	}
	p.last = last
	return out
}

func failed(a metadata.Answer) bool { return a.Err != nil && !a.Absent() }

// askPublics asks, by directory, for the list of public addresses, and where there are some for those of the primary address, and
// only where these are not all for those of the others.
func askPublics(ctx context.Context, dirs []string, answers metadata.Answers, get metadata.Get) map[string]metadata.Answers {
	asked := map[string]metadata.Answers{}
	steps := []func(dir string) []string{
		func(dir string) []string { return []string{dir + publicsKey} },
		func(dir string) []string { return publicPaths(dir, addressesOf(answers, dir).first(1), asked[dir]) },
		func(dir string) []string {
			return publicPaths(dir, addressesOf(answers, dir).values, asked[dir])
		},
	}
	for _, step := range steps {
		var paths []string
		of := map[string]string{}
		for _, dir := range dirs {
			for _, path := range step(dir) {
				of[path] = dir
				paths = append(paths, path)
			}
		}
		for path, answer := range metadata.Gather(ctx, paths, get) {
			if asked[of[path]] == nil {
				asked[of[path]] = metadata.Answers{}
			}
			asked[of[path]][path] = answer
		}
	}
	return asked
}

// publicPaths are the keys that may tell whose public addresses those are that are listed and not yet found.
func publicPaths(dir string, addresses []netip.Addr, asked metadata.Answers) []string {
	listed, _ := metadata.Lines(metadata.IPv4)(asked.Of(dir + publicsKey).Body)
	found, _ := publicOf(dir, addresses, asked)
	if len(found) >= len(listed) {
		return nil
	}
	var paths []string
	for _, a := range addresses {
		path := addressDir(dir, a) + publicKey
		if _, done := asked[path]; !done {
			paths = append(paths, path)
		}
	}
	return paths
}

// publicOf is the public address of each private one that has one, and the first failure.
func publicOf(dir string, addresses []netip.Addr, answers metadata.Answers) (map[netip.Addr]netip.Addr, error) {
	var failure error
	found := map[netip.Addr]netip.Addr{}
	for _, a := range addresses {
		path := addressDir(dir, a) + publicKey
		if answers.Of(path).Absent() {
			continue
		}
		public, err := metadata.Read(answers, path, metadata.IPv4)
		switch {
		case err == nil:
			found[a] = public
		case failure == nil:
			failure = err
		}
	}
	return found, failure
}
