package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Events of one change come in bursts: changed is called when they have been quiet for
// settle, or at the latest limit after the first.
const (
	settle = 20 * time.Millisecond
	limit  = 200 * time.Millisecond
)

// Watch calls changed whenever one of the paths may read differently: files,
// directories with what is directly in them, or things that do not exist yet. It follows
// writes in place, renames, deletion and symlinks, also those in the middle of a path. It
// calls changed once at the start, when the watch stands, so that nothing
// is missed between a first read and then. An event may be a false alarm; it says
// "look again" and nothing more. changed is called from the calling goroutine.
//
// Watch returns nil when ctx ends, and an error where the kernel refuses to watch.
func Watch(ctx context.Context, paths []string, changed func()) error {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch files: %w; raise the sysctls fs.inotify.max_user_instances or fs.inotify.max_user_watches", err)
	}
	defer fsw.Close()
	w := watcher{fsw: fsw}
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return fmt.Errorf("cannot watch %s: %w", p, err)
		}
		w.paths = append(w.paths, abs)
	}
	if err := w.sync(); err != nil {
		return err
	}
	changed()
	return w.run(ctx, changed)
}

// watcher keeps fsnotify's watches on the directories that the paths lead through.
type watcher struct {
	fsw   *fsnotify.Watcher
	paths []string
	seen  trail
}

// run waits for events that concern the paths, and coalesces them.
func (w *watcher) run(ctx context.Context, changed func()) error {
	var fire <-chan time.Time
	var first time.Time
	for {
		hit := false
		select {
		case <-ctx.Done():
			return nil
		case <-fire:
			fire = nil
			changed()
			continue
		case ev := <-w.fsw.Events:
			var err error
			if hit, err = w.event(ev); err != nil {
				return err
			}
		case err := <-w.fsw.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching files failed: %w", err)
			}
			// Events were lost: everything may have changed.
			if err := w.sync(); err != nil {
				return err
			}
			hit = true
		}
		if !hit {
			continue
		}
		if fire == nil {
			first = time.Now()
		}
		fire = time.After(max(0, min(settle, limit-time.Since(first))))
	}
}

// event reports whether ev concerns the paths, and moves the watches after them.
func (w *watcher) event(ev fsnotify.Event) (bool, error) {
	name := filepath.Clean(ev.Name) // "//etc" in the root directory
	if !w.seen.concerns(name) && !w.seen.dirs[name] {
		return false, nil
	}
	if ev.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
		w.forget(name)
	}
	return true, w.sync()
}

// forget removes the watches on name and below it. A watch stays with its
// directory when that or one above it is renamed: what is now under the old
// name would go unwatched.
func (w *watcher) forget(name string) {
	for _, dir := range w.fsw.WatchList() {
		if dir == name || strings.HasPrefix(dir, name+"/") {
			_ = w.fsw.Remove(dir) // an error means that the kernel removed it already
		}
	}
}

// sync sets the watches, again and again until the paths lead the same way before and
// after: what appeared before its directory was watched made no event.
func (w *watcher) sync() error {
	for {
		t := follow(w.paths)
		if err := w.watch(t.dirs); err != nil {
			return err
		}
		w.seen = t
		if again := follow(w.paths); maps.Equal(t.names, again.names) && maps.Equal(t.dirs, again.dirs) {
			return nil
		}
	}
}

// watch makes the watched directories be dirs. Directories that vanished or may
// not be read are left out: their parents are watched.
func (w *watcher) watch(dirs map[string]bool) error {
	have := w.fsw.WatchList()
	for _, dir := range have {
		if !dirs[dir] {
			_ = w.fsw.Remove(dir) // gone already, or not: nothing to do about it
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if slices.Contains(have, dir) {
			continue
		}
		err := w.fsw.Add(dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR):
		case errors.Is(err, syscall.ENOSPC):
			return fmt.Errorf("cannot watch %s: %w; raise the sysctl fs.inotify.max_user_watches", dir, err)
		default:
			return fmt.Errorf("cannot watch %s: %w", dir, err)
		}
	}
	return nil
}
