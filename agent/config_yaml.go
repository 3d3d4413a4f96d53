package agent

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// setting is a value of the file together with the way to it. The file is read from
// its syntax tree and not by the library's decoder: that one knows the position of a
// wrong value but neither its path nor what would be right.
type setting struct {
	file string
	key  string
	node ast.Node
	at   token.Position
}

// keys says what a mapping may hold: each key with what reads its value.
type keys map[string]func(setting) error

// topSetting is the one document of a file; its node is nil when the file is empty.
func topSetting(file string, data []byte) (setting, error) {
	top := setting{file: file, at: token.Position{Line: 1, Column: 1}}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		top.at = invalidAt(data)
		return top, top.fail("this is not UTF-8 text; save the file as UTF-8")
	}
	tokens := lexer.Tokenize(string(data))
	if at, deep := tooDeep(tokens); deep {
		top.at = at
		return top, top.fail("values are nested more than %d deep here; want 4 at most", maxNesting)
	}
	f, err := parser.Parse(tokens, 0)
	if err != nil {
		return top, top.syntax(err)
	}
	docs := slices.DeleteFunc(f.Docs, func(d *ast.DocumentNode) bool {
		_, directive := d.Body.(*ast.DirectiveNode) // "%YAML 1.2" is a document of its own to the library
		return d.Body == nil || directive
	})
	if len(docs) == 0 {
		return top, nil
	}
	if len(docs) > 1 {
		return top, top.child("", docs[1].Body, top.at).fail("a second document starts here; want one document in the file")
	}
	return top.child("", docs[0].Body, top.at), nil
}

// maxNesting bounds [[[… and - - - …: the parser's time grows with the square of the depth.
const maxNesting = 20

// tooDeep finds the first token that is nested too deep: in brackets, or in a line of
// what can stand before a value.
func tooDeep(tokens token.Tokens) (at token.Position, deep bool) {
	brackets, before, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			before, line = 0, tk.Position.Line
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			before++
		}
		if max(brackets, before) > maxNesting {
			return *tk.Position, true
		}
	}
	return at, false
}

// invalidAt is the position of the first byte that is no UTF-8.
func invalidAt(data []byte) token.Position {
	valid := strings.ToValidUTF8(string(data), "\x00")
	i := 0
	for i < len(valid) && valid[i] == data[i] {
		i++
	}
	line := 1 + strings.Count(valid[:i], "\n")
	start := 1 + strings.LastIndexByte(valid[:i], '\n')
	return token.Position{Line: line, Column: 1 + utf8.RuneCountInString(valid[start:i])}
}

// syntax turns an error of the YAML library into one of ours.
func (s setting) syntax(err error) error {
	text := err.Error()
	if ye := yaml.Error(nil); errors.As(err, &ye) {
		text = ye.GetMessage()
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			s.at = *tk.Position
		}
	}
	return s.fail("the YAML cannot be understood: %s", text)
}

// fail is an error at the place of the setting.
func (s setting) fail(format string, args ...any) error {
	return &ConfigError{
		File: s.file, Line: max(s.at.Line, 1), Column: max(s.at.Column, 1),
		Key: s.key, Text: fmt.Sprintf(format, args...),
	}
}

// child is a value below s. A value that is not written has no place of its own:
// then its key's is shown.
func (s setting) child(key string, n ast.Node, keyAt token.Position) setting {
	c := setting{file: s.file, key: key, node: n, at: keyAt}
	if _, null := n.(*ast.NullNode); null || n == nil {
		return c
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // the library points at the colon
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		c.at = *tk.Position
	}
	return c
}

// empty reports a value that is not written: "interfaces:" and nothing behind it.
func (s setting) empty() bool {
	_, null := s.node.(*ast.NullNode)
	return null || s.node == nil
}

// mapping reads a mapping. One that is empty sets nothing, so that all keys of a
// section can be commented out.
func (s setting) mapping(known keys) error {
	if s.empty() {
		return nil
	}
	m, ok := s.node.(*ast.MappingNode)
	if !ok {
		return s.fail("%s is not a mapping; want the keys %s", s.shown(), listed(known))
	}
	for _, kv := range m.Values {
		name, key, value := s.entry(kv)
		read, ok := known[name]
		if !ok {
			return key.fail("unknown key%s", suggestion(name, slices.Sorted(maps.Keys(known))))
		}
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

// entry is a key of s, as a place for errors, and its value.
func (s setting) entry(kv *ast.MappingValueNode) (name string, key, value setting) {
	name = kv.Key.GetToken().Value
	key = s.child(joined(s.key, name), kv.Key, s.at)
	return name, key, s.child(key.key, kv.Value, key.at)
}

// joined is the way to a key. What no terminal can show, or would take for more than
// one key, is quoted.
func joined(parent, key string) string {
	key = shortened(key)
	if q := strconv.Quote(key); q != `"`+key+`"` || key == "" || strings.ContainsAny(key, " .:") {
		key = q
	}
	if parent == "" {
		return key
	}
	return parent + "." + key
}

func listed(known keys) string { return strings.Join(slices.Sorted(maps.Keys(known)), ", ") }

// find is the value of a key of s, or s itself where the key is not written.
func (s setting) find(key string) setting {
	if m, ok := s.node.(*ast.MappingNode); ok {
		for _, kv := range m.Values {
			if name, _, value := s.entry(kv); name == key {
				return value
			}
		}
	}
	return s
}

// list reads a sequence; want says what it holds.
func (s setting) list(want string, read func(setting) error) error {
	if s.empty() {
		return nil
	}
	seq, ok := s.node.(*ast.SequenceNode)
	if !ok {
		return s.fail("%s is not a list; want a list of %s", s.shown(), want)
	}
	for i, n := range seq.Values {
		if err := read(s.child(fmt.Sprintf("%s[%d]", s.key, i), n, s.at)); err != nil {
			return err
		}
	}
	return nil
}

// text is a scalar as it is written, without its quotes; want says what it should be.
func (s setting) text(want string) (string, error) {
	switch n := s.node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	}
	return "", s.wrong("", want)
}

// wrong is the error for a value that is not as it should be. Problem says what it is
// instead; where it is "", the value shows it.
func (s setting) wrong(problem, want string) error {
	switch s.node.(type) {
	case nil, *ast.NullNode:
		return s.fail("no value; want %s, or leave the key out", want)
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return s.fail("%s; want %s, written out", s.shown(), want)
	}
	if problem != "" {
		problem = " " + problem
	}
	return s.fail("%s%s; want %s", s.shown(), problem, want)
}

// shown is the value as an error quotes it.
func (s setting) shown() string {
	switch n := s.node.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "an anchor, alias or tag of YAML"
	default:
		return fmt.Sprintf("%q", shortened(n.GetToken().Value))
	}
}

// shortened keeps an error on one line of a terminal.
func shortened(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
