package agent

import (
	"context"
	"fmt"

	"enid/metadata"
	"enid/metadata/document"
	"enid/metadata/file"
	"enid/metadata/jdcloud"
)

// Source answers what is attached to this instance, as of now. An error means that nothing
// was learnt; what was partly readable is a Snapshot with unknown facts.
type Source interface {
	Fetch(ctx context.Context) (metadata.Snapshot, error)
}

// completer is a source that can say more about an answer than it has in it, once everything that is trusted more has
// been added: what it is asked for has a price.
type completer interface {
	Complete(ctx context.Context, s metadata.Snapshot) metadata.Snapshot
}

// completed is a source whose answers are completed by overlay documents and rid of what
// cannot be believed.
type completed struct {
	Source
	overlay string
}

// NewSource is the source that the configuration asks for.
func NewSource(c MetadataConfig) (Source, error) {
	s, err := dialect(c)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return withOffers(withRouters(completed{s, c.Overlay}), c), nil
}

func dialect(c MetadataConfig) (Source, error) {
	if c.Provider == ProviderFile {
		return file.New(c.File), nil
	}
	dial := metadata.Dial{Mark: c.Mark, Interface: c.Interface}
	var candidates []candidate
	for _, cloud := range clouds {
		if c.Provider != ProviderAuto && c.Provider != cloud.provider {
			continue
		}
		s, err := cloud.open(c, dial)
		if err != nil || c.Provider == cloud.provider {
			return s, err
		}
		candidates = append(candidates, candidate{string(cloud.provider), s})
	}
	return newDetector(readDMI("/sys"), candidates...), nil
}

func newJDCloud(c MetadataConfig, dial metadata.Dial) (*jdcloud.Source, error) {
	s, err := jdcloud.New(c.Endpoint, dial)
	if err != nil || c.OpenAPI == OpenAPIOff {
		return s, err
	}
	endpoint := c.OpenAPI
	if endpoint == OpenAPIAuto {
		endpoint = ""
	}
	return s, s.UseOpenAPI(endpoint, c.Poll)
}

// Fetch is the provider's answer, completed in the order of trust: the overlay first, then
// what the cloud itself carries for its users, then what its API says of the rest.
func (c completed) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	s, err := c.Source.Fetch(ctx)
	if err != nil {
		return s, err
	}
	if c.overlay != "" {
		docs, problems := document.LoadDir(c.overlay)
		for _, d := range docs {
			s = metadata.Complete(s, d.Interfaces())
		}
		s.Problems = append(s.Problems, problems...)
	}
	s = metadata.Complete(s, s.Custom)
	s.Custom = nil
	return metadata.Validate(complete(ctx, c.Source, s)), nil
}

func complete(ctx context.Context, source Source, s metadata.Snapshot) metadata.Snapshot {
	if c, ok := source.(completer); ok {
		return c.Complete(ctx, s)
	}
	return s
}

// inner is the provider.
func (c completed) inner() Source { return c.Source }

// Requests counts the provider's requests by result, where it makes any.
func (c completed) Requests() map[string]uint64 { return requests(c.Source) }

func requests(s Source) map[string]uint64 {
	if counter, ok := s.(interface{ Requests() map[string]uint64 }); ok {
		return counter.Requests()
	}
	return nil
}
