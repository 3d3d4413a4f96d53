// Package file is the provider whose metadata is an interfaces document on disk,
// and the watcher for this and every other file that enid reads.
package file

import (
	"bytes"
	"context"
	"slices"

	"enid/metadata"
	"enid/metadata/document"
)

// Source is a document on disk.
type Source struct{ path string }

// New is the source that reads the document at path, at each Fetch anew.
func New(path string) *Source { return &Source{path} }

// Fetch reads the document. Its interfaces are all that are attached. An interface that
// does not say "primary" is not the primary one; everything else that it
// leaves out is Unknown. Errors are those of document.Read.
func (s *Source) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return metadata.Snapshot{}, err
	}
	doc, err := document.Read(s.path)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	interfaces := doc.Interfaces()
	for n, i := range interfaces {
		if i.Primary.State == metadata.Unknown {
			interfaces[n].Primary = metadata.Is(false, doc.Name)
		}
	}
	slices.SortFunc(interfaces, func(a, b metadata.Interface) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return metadata.Snapshot{Provider: "file", Interfaces: interfaces, Complete: true}, nil
}
