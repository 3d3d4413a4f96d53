package file

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symlinks are followed for one path, as the kernel does.
const maxLinks = 40

// trail is the way that paths take through the file system: every name whose change
// can make one of them read differently, and the directories to watch for that.
type trail struct {
	names map[string]bool
	dirs  map[string]bool
	whole map[string]bool // directories in which every name counts
}

// concerns reports whether an event about this name matters.
func (t trail) concerns(name string) bool {
	return t.names[name] || t.whole[filepath.Dir(name)]
}

// follow walks along the paths. A path that is a directory counts with everything
// directly in it, and symlinks in it are followed.
func follow(paths []string) trail {
	t := trail{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, p := range paths {
		end, ok := t.walk(p)
		if !ok {
			continue
		}
		entries, err := os.ReadDir(end)
		if err != nil {
			continue // a file, or gone meanwhile
		}
		t.dirs[end], t.whole[end] = true, true
		for _, e := range entries {
			if e.Type()&os.ModeSymlink != 0 {
				t.walk(filepath.Join(end, e.Name()))
			}
		}
	}
	return t
}

// walk adds the names that path leads through. end is where it leads, without
// symlinks; ok is false where it leads nowhere.
func (t trail) walk(path string) (end string, ok bool) {
	todo := strings.Split(strings.Trim(path, "/"), "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		name := filepath.Join(at, todo[0])
		t.names[name], t.dirs[at] = true, true
		todo = todo[1:]
		info, err := os.Lstat(name)
		if err != nil {
			return "", false
		}
		if info.Mode()&os.ModeSymlink == 0 {
			at = name
			continue
		}
		target, err := os.Readlink(name)
		if links++; err != nil || links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		todo = append(strings.Split(strings.Trim(target, "/"), "/"), todo...)
	}
	return at, true
}
