package document

import (
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds the nesting: the document needs four levels, and the parser
// recurses.
const maxDepth = 32

// maxKeys is how many keys a document may have, enough for a thousand ENIs: the
// parser's time grows with the square of a mapping's length.
const maxKeys = 10000

// preflight refuses what an interfaces document never needs before the parser sees
// it: the parser takes minutes for a mebibyte of "a: a: a: …" or "&a &a &a …".
func (d *decoder) preflight(tokens token.Tokens) bool {
	flow, keys := 0, 0
	colon := 0                  // line of the last colon outside of brackets
	blocks := make([]int, 1, 8) // columns of the blocks that are open
	for _, t := range tokens {
		at := t.Position
		for len(blocks) > 1 && at.Column <= blocks[len(blocks)-1] {
			blocks = blocks[:len(blocks)-1]
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			blocks = append(blocks, at.Column)
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.DirectiveType:
			d.failAt(at.Line, at.Column, "%q is an anchor, alias, tag or directive, which is not used here; write the value out (in quotes, if it begins like that)", t.Value)
			return false
		case token.MappingValueType:
			if flow == 0 && at.Line == colon {
				d.failAt(at.Line, at.Column, "a second colon on this line; put the value in quotes, or the key on a line of its own")
				return false
			}
			if flow == 0 {
				colon = at.Line
			}
			if keys++; keys > maxKeys {
				d.failAt(at.Line, at.Column, "more than %d keys; check that it is the right file", maxKeys)
				return false
			}
		}
		if flow > maxDepth || len(blocks) > maxDepth {
			d.failAt(at.Line, at.Column, "nested more than %d deep; an interfaces document has four levels, check that it is the right file", maxDepth)
			return false
		}
	}
	return true
}
