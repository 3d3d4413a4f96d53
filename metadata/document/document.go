// Package document reads the interfaces document: the ENIs of a host, written
// down in YAML or JSON. It is the whole answer of the file provider, and
// completes what another provider does not say (overlay, custom metadata).
package document

import (
	"errors"
	"fmt"
	"net/netip"

	"enid/metadata"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxSize is how many bytes an interfaces document may have. Two hundred ENIs
// with all their addresses need a tenth of it.
const MaxSize = 1 << 20

// maxErrors is how many errors of one document are reported: enough to mend it
// in one go, and no flood from a file of another kind.
const maxErrors = 10

// Document is an interfaces document that was read without an error.
type Document struct {
	// Name says where it came from; it becomes the Origin of every fact.
	Name       string
	interfaces []metadata.Interface
}

// Interfaces is what the document says, in its order, with Name as the origin of
// each fact. What an entry leaves out is Unknown, with these exceptions: a
// gateway that is left out is the first host of a family's first subnet, and an
// entry that lists addresses lists all of its prefixes and local ranges too. An explicit
// "prefixes: []", "local: []", "gateway: []", "vlan: {}" or "public: {}" says that there is none.
func (d Document) Interfaces() []metadata.Interface {
	out := make([]metadata.Interface, 0, len(d.interfaces))
	for _, i := range d.interfaces {
		i = i.Clone()
		for _, origin := range []struct {
			state metadata.State
			text  *string
		}{
			{i.ID.State, &i.ID.Origin}, {i.Primary.State, &i.Primary.Origin},
			{i.Subnets.State, &i.Subnets.Origin}, {i.Gateways.State, &i.Gateways.Origin},
			{i.Addresses.State, &i.Addresses.Origin}, {i.Prefixes.State, &i.Prefixes.Origin},
			{i.Local.State, &i.Local.Origin}, {i.VLAN.State, &i.VLAN.Origin},
			{i.MTU.State, &i.MTU.Origin}, {i.Public.State, &i.Public.Origin},
		} {
			if origin.state != metadata.Unknown {
				*origin.text = d.Name
			}
		}
		out = append(out, i)
	}
	return out
}

// Parse reads a document. Every error begins with name:line:column and says what
// to write instead; the first ten are joined. A document that is empty, lists
// no interface or has more than MaxSize bytes is an error too.
func Parse(name string, data []byte) (Document, error) {
	d := decoder{name: name}
	if len(data) > MaxSize {
		d.failAt(1, 1, "the document has %d bytes; at most %d are read, split it or check that it is the right file", len(data), MaxSize)
		return Document{}, d.err()
	}
	found := d.root(data)
	if err := d.err(); err != nil {
		return Document{}, err
	}
	return Document{Name: name, interfaces: found}, nil
}

// root parses the text and decodes the only document in it.
func (d *decoder) root(data []byte) []metadata.Interface {
	tokens := lexer.Tokenize(string(data))
	if !d.preflight(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		d.syntax(err)
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		d.failAt(1, 1, "the document is empty; write an interfaces list, or remove the file")
		return nil
	case 1:
		return d.document(bodies[0])
	default:
		d.fail(bodies[1], "a second YAML document begins here; put all interfaces into one list")
		return nil
	}
}

// document decodes the top level: one key, interfaces.
func (d *decoder) document(body ast.Node) []metadata.Interface {
	var list ast.Node
	pairs, ok := d.pairs(body, "the document", "interfaces")
	if !ok {
		return nil
	}
	for _, pair := range pairs {
		if d.key(pair) == "interfaces" {
			list = pair.Value
			continue
		}
		d.unknownKey(pair, []string{"interfaces"})
	}
	if list == nil {
		d.fail(body, `the key "interfaces" is missing; want "interfaces:" with a list of entries, one an ENI`)
		return nil
	}
	entries, ok := d.items(list, "interfaces")
	if ok && len(entries) == 0 {
		d.fail(list, "interfaces is empty, which is not an answer; list at least one interface, or remove the document")
	}
	var out []metadata.Interface
	seen := map[metadata.MAC]*token.Position{}
	for _, entry := range entries {
		i, at, ok := d.entry(entry)
		if !ok {
			continue
		}
		if first := seen[i.MAC]; first != nil {
			d.failAt(at.Line, at.Column, "mac: %s is the MAC of another entry too, see %s:%d:%d; an ENI has one entry, join them", i.MAC, d.name, first.Line, first.Column)
			continue
		}
		seen[i.MAC] = at
		out = append(out, i)
	}
	return out
}

// firstHosts is the default of the gateway: the first host of each family's
// first subnet, for the families that given does not name. A subnet of one
// address has no other host.
func firstHosts(subnets []netip.Prefix, given []netip.Addr) []netip.Addr {
	var out []netip.Addr
	done := map[bool]bool{}
	for _, g := range given {
		done[g.Is4()] = true
	}
	for _, s := range subnets {
		if done[s.Addr().Is4()] {
			continue
		}
		done[s.Addr().Is4()] = true
		if !s.IsSingleIP() {
			out = append(out, s.Addr().Next())
		}
	}
	return out
}

// decoder collects the errors of one document.
type decoder struct {
	name string
	errs []error
}

func (d *decoder) err() error { return errors.Join(d.errs[:min(len(d.errs), maxErrors)]...) }

func (d *decoder) fail(n ast.Node, format string, args ...any) {
	at := position(n)
	d.failAt(at.Line, at.Column, format, args...)
}

func (d *decoder) failAt(line, column int, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d:%d: %s", d.name, line, column, fmt.Sprintf(format, args...)))
}

// syntax turns the parser's error into one line. Its Error method prints an
// excerpt, and takes minutes for it where the text is long: it is not called.
func (d *decoder) syntax(err error) {
	var positioned yaml.Error
	if !errors.As(err, &positioned) {
		d.failAt(1, 1, "%v", err)
		return
	}
	at, text := &token.Position{Line: 1, Column: 1}, positioned.GetMessage()
	if t := positioned.GetToken(); t != nil && t.Position != nil {
		at = t.Position
	}
	d.failAt(at.Line, at.Column, "%s; correct the YAML (or JSON) here", text)
}
