package metadata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// keptService answers paths from a map, and notes what it was asked.
type keptService struct {
	kept  Kept
	says  Answers
	asked []string
}

// gather is a Fetch of all paths, of which those that end in id are stable.
func (s *keptService) gather(t interface{ Context() context.Context }, paths ...string) Answers {
	s.asked = nil
	stable := func(path string) bool { return strings.HasSuffix(path, "id") }
	seen := make(chan string, len(paths))
	answers := s.kept.Gather(t.Context(), paths, stable, func(_ context.Context, path string) (string, error) {
		seen <- path
		return s.says[path].Body, s.says[path].Err
	})
	close(seen)
	for path := range seen {
		s.asked = append(s.asked, path)
	}
	slices.Sort(s.asked)
	return answers
}

func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keptService{says: Answers{"a/id": {Body: "eni-a"}, "a/list": {Body: "10.0.0.1"}, "b/id": {Body: "eni-b"}}}
		steps := []struct {
			name  string
			do    func()
			paths []string
			want  []string
		}{
			{"first", nil, []string{"a/id", "a/list", "b/id"}, []string{"a/id", "a/list", "b/id"}},
			{"said once is not believed", nil, []string{"a/id", "a/list", "b/id"}, []string{"a/id", "a/list", "b/id"}},
			{"said twice", nil, []string{"a/id", "a/list", "b/id"}, []string{"a/list"}},
			{"b is gone", nil, []string{"a/id", "a/list"}, []string{"a/list"}},
			{"b is back, another one", func() { s.says["b/id"] = Answer{Body: "eni-c"} }, []string{"a/id", "a/list", "b/id"}, []string{"a/list", "b/id"}},
			{"long after", func() { time.Sleep(keptFor) }, []string{"a/id", "a/list", "b/id"}, []string{"a/id", "a/list", "b/id"}},
		}
		for _, step := range steps {
			if step.do != nil {
				step.do()
			}
			got := s.gather(t, step.paths...)
			if diff := cmp.Diff(step.want, s.asked); diff != "" {
				t.Errorf("%s: asked (-want +got):\n%s", step.name, diff)
			}
			for _, path := range step.paths {
				if got.Of(path).Body != s.says[path].Body {
					t.Errorf("%s: %s is %q", step.name, path, got.Of(path).Body)
				}
			}
		}
	})
}

func TestKeptForgetsWhatWentWrong(t *testing.T) {
	bad := map[string]Answer{"error": {Err: errors.New("down")}, "404": {Err: ErrNotFound}, "empty": {}, "blank": {Body: " \r\n"}}
	for name, answer := range bad {
		s := keptService{says: Answers{"id": answer}}
		for range 3 {
			got := s.gather(t, "id")
			if diff := cmp.Diff([]string{"id"}, s.asked); diff != "" || got["id"] != answer {
				t.Errorf("%s: %v %s", name, got, diff)
			}
		}
	}
}

// A wrong first answer is replaced by the next, and one that was given twice within ten minutes.
func TestKeptHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keptService{says: Answers{"id": {Body: "wrong"}}}
		s.gather(t, "id")
		s.says["id"] = Answer{Body: "right"}
		if got := s.gather(t, "id"); got["id"].Body != "right" {
			t.Errorf("got %v", got)
		}
		s = keptService{says: Answers{"id": {Body: "wrong"}}}
		s.gather(t, "id")
		s.gather(t, "id")
		s.says["id"] = Answer{Body: "right"}
		time.Sleep(keptFor)
		if got := s.gather(t, "id"); got["id"].Body != "right" {
			t.Errorf("got %v", got)
		}
	})
}

// What goes with a list is remembered while the list reads the same.
func TestKeptWhile(t *testing.T) {
	k, says, list := Kept{}, "one", "10.0.0.1"
	for n, step := range []struct {
		do   func()
		asks bool
		want string
	}{
		{func() {}, true, "one"}, {func() {}, true, "one"}, {func() { says = "two" }, false, "one"},
		{func() { list = "10.0.0.2" }, true, "two"}, {func() {}, true, "two"}, {func() {}, false, "two"},
	} {
		step.do()
		asked := false
		got := k.GatherWhile(t.Context(), []string{"a/id"}, func(string) string { return list }, func(_ context.Context, path string) (string, error) {
			asked = path == "a/id"
			return says, nil
		})
		if asked != step.asks || len(got) != 1 || got["a/id"].Body != step.want {
			t.Errorf("step %d: asked %t, got %v", n, asked, got)
		}
	}
}

// Whatever happens in whatever order: what is asked for each time is as the service says,
// what is kept was said by the service within ten minutes, and nothing that a
// Fetch did not want survives it.
func TestKeptProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			said := map[string]map[string]time.Time{}
			s := keptService{says: Answers{}}
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				time.Sleep(time.Duration(rapid.IntRange(0, 300).Draw(rt, "seconds")) * time.Second)
				var paths []string
				for _, path := range []string{"a/id", "b/id", "c/list"} {
					s.says[path] = Answer{Body: fmt.Sprint(rapid.IntRange(1, 2).Draw(rt, "value"))}
					if rapid.Bool().Draw(rt, "fails") {
						s.says[path] = Answer{Err: errors.New("down")}
					}
					if rapid.IntRange(0, 4).Draw(rt, "wanted") > 0 {
						paths = append(paths, path)
					} else {
						delete(said, path)
					}
				}
				got := s.gather(t, paths...)
				checkKept(rt, &s, said, paths, got)
			}
		})
	})
}

func checkKept(rt *rapid.T, s *keptService, said map[string]map[string]time.Time, paths []string, got Answers) {
	if len(got) != len(paths) {
		rt.Fatalf("%d answers to %v", len(got), paths)
	}
	for _, path := range paths {
		if slices.Contains(s.asked, path) {
			if got[path] != s.says[path] {
				rt.Fatalf("%s: %v, the service says %v", path, got[path], s.says[path])
			}
			if said[path] == nil {
				said[path] = map[string]time.Time{}
			}
			said[path][got[path].Body] = time.Now()
			continue
		}
		at, known := said[path][got[path].Body]
		if path == "c/list" || got[path].Err != nil || !known || time.Since(at) >= keptFor {
			rt.Fatalf("%s: %v without asking, said at %v", path, got[path], at)
		}
	}
}
