package document

import (
	"strings"

	"enid/metadata"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// position is where a node begins: for a mapping its first key, not the colon
// that the parser names.
func position(n ast.Node) *token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position
	}
	return &token.Position{Line: 1, Column: 1}
}

// pairs are the keys and values of a mapping.
func (d *decoder) pairs(n ast.Node, what string, keys ...string) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	d.fail(n, "%s must be a mapping (%s), not %s", what, strings.Join(keys, ", "), kind(n))
	return nil, false
}

// items are the elements of a list.
func (d *decoder) items(n ast.Node, field string) ([]ast.Node, bool) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, "%s must be a list, not %s", field, kind(n))
		return nil, false
	}
	return seq.Values, true
}

func (d *decoder) key(pair *ast.MappingValueNode) string {
	if _, ok := pair.Key.(*ast.StringNode); !ok {
		return ""
	}
	return pair.Key.GetToken().Value
}

// unknownKey names the key that was probably meant, or else all of them.
func (d *decoder) unknownKey(pair *ast.MappingValueNode, keys []string) {
	d.fail(pair.Key, "unknown key %q; want one of: %s", strings.TrimSpace(pair.Key.GetToken().Value), strings.Join(keys, ", "))
}

// parsed is the value of a scalar. Numbers and words are taken as they are
// written, so that a MAC or an id of digits needs no quotes.
func parsed[T any](d *decoder, n ast.Node, field string, parse func(string) (T, error)) (value T, ok bool) {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
	default:
		d.fail(n, "%s must be a single value, not %s", field, kind(n))
		return value, false
	}
	value, err := parse(n.GetToken().Value)
	if err != nil {
		d.fail(n, "%s: %v", field, err)
		var zero T
		return zero, false
	}
	return value, true
}

// list is a list of scalars, no two alike.
func list[T comparable](d *decoder, n ast.Node, field string, parse func(string) (T, error)) ([]T, bool) {
	nodes, ok := d.items(n, field)
	if !ok {
		return nil, false
	}
	out := make([]T, 0, len(nodes))
	seen := map[T]*token.Position{}
	for _, n := range nodes {
		v, good := parsed(d, n, field, parse)
		if first := seen[v]; good && first != nil {
			d.fail(n, "%s: %v is in the list already, see %s:%d:%d; keep one", field, v, d.name, first.Line, first.Column)
			good = false
		}
		if !good {
			ok = false
			continue
		}
		seen[v] = position(n)
		out = append(out, v)
	}
	return out, ok
}

// known is a fact without its origin, which Interfaces adds; what was not
// readable stays Unknown.
func known[T any](v T, ok bool) metadata.Fact[T] {
	if !ok {
		return metadata.Fact[T]{}
	}
	return metadata.Is(v, "")
}

// kind says what a node is, and for the parts of YAML that are of no use here
// what to write instead.
func kind(n ast.Node) string {
	switch n.Type() {
	case ast.NullType:
		return "nothing; write a value, or leave the key out"
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		return "an anchor, alias or tag; write the value out"
	case ast.LiteralType:
		return "a text block; write it on one line"
	default:
		return strings.ToLower(n.Type().String())
	}
}
