package agent

import (
	"fmt"
	"strings"
)

// suggestion says what somebody may have meant by a word that is not known.
func suggestion(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; want one of " + strings.Join(known, ", ")
}

// nearest is the known word that word is a misspelling of, "" where none is near.
func nearest(word string, known []string) string {
	if word = plain(word); len(word) > 40 {
		return ""
	}
	best, least := "", len(word)
	for _, k := range known {
		p := plain(k)
		d := distance(word, p)
		if len(p) > 2 && len(word) > 2 && (strings.HasPrefix(word, p) || strings.HasPrefix(p, word)) {
			d = min(d, 1) // polling, meta
		}
		if d <= max(1, len(p)/3) && d < least {
			best, least = k, d
		}
	}
	return best
}

// plain makes runtimeDir, runtime-dir and runtime_dir alike.
func plain(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, delete, replace or swap with their neighbour
// to get from a to b.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(replace, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
