package file_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"enid/metadata/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWatch makes one change after the other to what path reads as. After
// each, a call of changed must come after which path reads as wanted; a call that is
// lost makes the test hang until its deadline.
func TestWatch(t *testing.T) {
	type step struct {
		do   func(t *testing.T, dir string)
		want string
	}
	put := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, dir, name, text) }
	}
	swap := func(target string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.Symlink(target, filepath.Join(dir, "..data_tmp")))
			must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		}
	}
	mkdir := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.MkdirAll(filepath.Join(dir, name), 0o755)) }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, name))) }
	}
	rename := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
		}
	}
	symlink := func(target, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Symlink(target, filepath.Join(dir, name))) }
	}
	all := func(steps ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, s := range steps {
				s(t, dir)
			}
		}
	}
	for name, tt := range map[string]struct {
		setup func(*testing.T, string)
		path  string
		steps []step
	}{
		"write in place": {put("f", "1"), "f", []step{{put("f", "2"), "2"}, {put("f", "3"), "3"}}},
		"rename over": {put("f", "1"), "f", []step{
			{all(put("g", "2"), rename("g", "f")), "2"}, {all(put("g", "3"), rename("g", "f")), "3"}, {put("f", "4"), "4"},
		}},
		"delete and create": {put("f", "1"), "f", []step{{remove("f"), ""}, {put("f", "2"), "2"}, {put("f", "3"), "3"}}},
		"directory comes, goes and comes": {func(*testing.T, string) {}, "a/b/f", []step{
			{all(mkdir("a/b"), put("a/b/f", "1")), "1"}, {remove("a"), ""},
			{all(mkdir("a/b"), put("a/b/f", "2")), "2"}, {put("a/b/f", "3"), "3"},
			{all(rename("a", "z"), mkdir("a/b"), put("a/b/f", "4")), "4"}, {put("a/b/f", "5"), "5"},
			{all(remove("a"), mkdir("a/b"), put("a/b/f", "6")), "6"}, {put("a/b/f", "7"), "7"},
		}},
		"configmap": {all(mkdir("..1"), put("..1/f", "1"), symlink("..1", "..data"), symlink("..data/f", "f")), "f", []step{
			{all(mkdir("..2"), put("..2/f", "2"), swap("..2"), remove("..1")), "2"},
			{all(mkdir("..3"), put("..3/f", "3"), swap("..3"), remove("..2")), "3"},
			{put("..3/f", "4"), "4"},
		}},
		"directory": {mkdir("d"), "d", []step{
			{put("d/x", "1"), "x=1 "}, {put("d/y", "2"), "x=1 y=2 "}, {put("d/x", "3"), "x=3 y=2 "},
			{remove("d/x"), "y=2 "}, {all(put("t", "4"), rename("t", "d/y")), "y=4 "}, {remove("d"), ""},
			{all(mkdir("d"), put("d/z", "5")), "z=5 "}, {put("d/z", "6"), "z=6 "},
		}},
		"directory behind a symlink": {all(mkdir("one"), put("one/x", "1"), mkdir("two"), put("two/x", "2"), symlink("one", "..data")), "..data", []step{
			{swap("two"), "x=2 "}, {put("two/x", "3"), "x=3 "},
		}},
		"directory of symlinks": {all(mkdir("d"), mkdir("e"), put("e/x", "1"), symlink("../e/x", "d/x")), "d", []step{
			{put("e/x", "2"), "x=2 "}, {all(put("t", "3"), rename("t", "e/x")), "x=3 "}, {put("e/x", "4"), "x=4 "},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.setup(t, dir)
			path := filepath.Join(dir, tt.path)
			changed := watch(t, path)
			<-changed // the watch stands
			for _, s := range tt.steps {
				s.do(t, dir)
				for got := ""; ; {
					<-changed
					if got = read(path); got == s.want {
						break
					}
				}
			}
		})
	}
}

// TestWatchIgnoresNeighbours shows that neighbours of a watched file are no event: after a
// hundred changes of one and a write of the file there are at most two calls (the
// write truncates first).
func TestWatchIgnoresNeighbours(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "f", "1")
	changed := watch(t, path)
	<-changed
	for range 100 {
		write(t, dir, "neighbour", "x")
	}
	write(t, dir, "f", "2")
	for read(path) != "2" {
		<-changed
	}
	<-changed
	if len(changed) > 1 {
		t.Errorf("%d more calls of changed for one write", len(changed))
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	err := file.Watch(ctx, []string{filepath.Join(t.TempDir(), "no/such/file")}, func() { calls++; cancel() })
	if err != nil || calls != 1 {
		t.Errorf("Watch: %v after %d calls, want nil after one", err, calls)
	}
}

// watch runs Watch until the test ends; its calls come through the channel.
func watch(t *testing.T, path string) <-chan struct{} {
	t.Helper()
	changed := make(chan struct{}, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- file.Watch(ctx, []string{path}, func() { changed <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return changed
}

// read is a file's text, or what is in a directory; "" where there is nothing.
func read(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil {
		data, _ := os.ReadFile(path) // missing reads as empty
		return string(data)
	}
	all := ""
	for _, e := range entries {
		data, _ := os.ReadFile(filepath.Join(path, e.Name()))
		all += e.Name() + "=" + string(data) + " "
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
