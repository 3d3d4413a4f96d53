package netcfg

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Wrap writes words for a person, in lines of at most 80 columns, of which the first begins with a
// margin of its own. A word that is longer has a line of its own.
func Wrap(w io.Writer, first, others string, words []string) {
	line, empty := first, true
	for _, word := range words {
		if !empty && utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > 80 {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = others
		}
		line, empty = line+word+" ", false
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
