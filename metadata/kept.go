package metadata

import (
	"context"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// keptFor is how long an answer is not asked for again at the most.
const keptFor = 10 * time.Minute

// Kept remembers from one Fetch to the next the answers of keys that never change while an
// ENI stays attached: its id, its subnet's id. They are half of what a text tree is
// asked for. The zero Kept remembers nothing. It is safe for concurrent use.
//
// It is safe to remember them because a MAC names one ENI for as long as it is listed, and
// an ENI keeps its id, VPC and subnet for its whole life; because only
// what two answers in a row said alike is remembered, and never an error or an empty body;
// because a path that a Fetch does not want any more, as its MAC is not listed, its
// directory is absent or does not list the key, is forgotten at once; and
// because each is asked for again after eight to ten minutes, at a time of its own, so that even a wrong
// answer that was given twice heals. Address lists and prefixes are never to be remembered.
type Kept struct {
	mu    sync.Mutex
	paths map[string]kept
}

// kept is what was said about a path. Until it has been said twice, until is zero.
type kept struct {
	body  string
	until time.Time
}

// Gather is the function Gather, except that paths that are stable and remembered are not
// asked for. The paths are to be all of their kind that the Fetch wants: the others are
// forgotten.
func (k *Kept) Gather(ctx context.Context, paths []string, stable func(path string) bool, get Get) Answers {
	answers := k.recall(paths)
	var rest []string
	for _, path := range paths {
		if _, known := answers[path]; !known {
			rest = append(rest, path)
		}
	}
	asked := Gather(ctx, rest, get)
	k.learn(answers, asked, stable)
	maps.Copy(answers, asked)
	return answers
}

// GatherWhile is Gather for paths that are all stable, each for as long as mark says the same of it: what the answer
// goes with and is asked for each time, such as the list of the ENI's addresses. With another mark the path is asked
// for again at once.
func (k *Kept) GatherWhile(ctx context.Context, paths []string, mark func(path string) string, get Get) Answers {
	plain := map[string]string{} // by marked path; a path has no line feed
	var marked []string
	for _, path := range paths {
		m := path + "\n" + mark(path)
		plain[m] = path
		marked = append(marked, m)
	}
	always := func(string) bool { return true }
	asked := k.Gather(ctx, marked, always, func(ctx context.Context, m string) (string, error) { return get(ctx, plain[m]) })
	answers := Answers{}
	for m, answer := range asked {
		answers[plain[m]] = answer
	}
	return answers
}

// recall is what is remembered about paths and not yet to be asked for again.
func (k *Kept) recall(paths []string) Answers {
	k.mu.Lock()
	defer k.mu.Unlock()
	answers, now := Answers{}, time.Now()
	for _, path := range paths {
		if p := k.paths[path]; now.Before(p.until) {
			answers[path] = Answer{Body: p.body}
		}
	}
	return answers
}

// learn replaces what is remembered by what was recalled and what was asked for.
func (k *Kept) learn(recalled, asked Answers, stable func(path string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	paths := map[string]kept{}
	for path := range recalled {
		paths[path] = k.paths[path]
	}
	for path, answer := range asked {
		if !stable(path) || answer.Err != nil || strings.TrimSpace(answer.Body) == "" {
			continue
		}
		p := kept{body: answer.Body}
		if k.paths[path].body == answer.Body {
			p.until = time.Now().Add(keptFor - rand.N(keptFor/5))
		}
		paths[path] = p
	}
	k.paths = paths
}
