package cloud

import "strings"

// node is a key or a directory of a metadata tree.
type node struct {
	name   string
	text   string        // of a key
	kids   func() []node // of a directory; a function, so that a request builds only what it walks
	hidden bool          // there, and not listed
	absent bool          // listed, and not there
}

func leaf(name, text string) node { return node{name: name, text: text} }

func dir(name string, kids ...node) node { return lazyDir(name, func() []node { return kids }) }

func lazyDir(name string, kids func() []node) node { return node{name: name, kids: kids} }

// unready is a directory that is listed, and below which there is nothing yet.
func unready(name string) node {
	n := dir(name)
	n.absent = true
	return n
}

func (n node) isDir() bool { return n.kids != nil }

// names are the listed names of a directory, its directories with a suffix.
func (n node) names(suffix string) []string {
	out := []string{}
	for _, k := range n.kids() {
		switch {
		case k.hidden:
		case k.isDir():
			out = append(out, k.name+suffix)
		default:
			out = append(out, k.name)
		}
	}
	return out
}

// find walks a path below n. A directory is found with and without a slash at
// the end, a key only without.
func (n node) find(path string) (node, bool) {
	for rest := strings.TrimPrefix(path, "/"); rest != ""; {
		var name string
		var slash bool
		name, rest, slash = strings.Cut(rest, "/")
		kid, ok := n.kid(name)
		if !ok || slash && !kid.isDir() {
			return node{}, false
		}
		n = kid
	}
	return n, true
}

func (n node) kid(name string) (node, bool) {
	if !n.isDir() {
		return node{}, false
	}
	for _, k := range n.kids() {
		if k.name == name && !k.absent {
			return k, true
		}
	}
	return node{}, false
}
