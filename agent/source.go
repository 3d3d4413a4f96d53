package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"enid/metadata"
	"enid/metadata/document"
	"enid/metadata/ec2"
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
	return withOffers(completed{s, c.Overlay}, c), nil
}

func dialect(c MetadataConfig) (Source, error) {
	dial := metadata.Dial{Mark: c.Mark, Interface: c.Interface}
	switch {
	case c.Provider == ProviderFile || c.Provider == ProviderAuto && c.File != "":
		return file.New(c.File), nil
	case c.Provider == ProviderEC2:
		return ec2.New(c.Endpoint, dial)
	case c.Provider == ProviderJDCloud:
		return newJDCloud(c)
	}
	jd, err := newJDCloud(c)
	if err != nil {
		return nil, err
	}
	aws, err := ec2.New(c.Endpoint, dial)
	if err != nil {
		return nil, err
	}
	return newDetector(vendor("/sys/class/dmi/id"), candidate{"jdcloud", jd}, candidate{"ec2", aws}), nil
}

func newJDCloud(c MetadataConfig) (*jdcloud.Source, error) {
	s, err := jdcloud.New(c.Endpoint, metadata.Dial{Mark: c.Mark, Interface: c.Interface})
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

// Requests counts the provider's requests by result, where it makes any.
func (c completed) Requests() map[string]uint64 { return requests(c.Source) }

func requests(s Source) map[string]uint64 {
	if counter, ok := s.(interface{ Requests() map[string]uint64 }); ok {
		return counter.Requests()
	}
	return nil
}

// candidate is a dialect that may be the one of this cloud.
type candidate struct {
	name   string
	source Source
}

// detector finds out which dialect is spoken here: the one whose full answer makes sense,
// the vendor that the firmware names asked first. Once found it stays.
type detector struct {
	candidates []candidate
	found      Source
}

func newDetector(vendor string, candidates ...candidate) *detector {
	d := &detector{}
	for _, c := range candidates {
		if c.name == vendor {
			d.candidates = append([]candidate{c}, d.candidates...)
		} else {
			d.candidates = append(d.candidates, c)
		}
	}
	return d
}

// Fetch asks the dialect that was found, or one after the other.
func (d *detector) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	if d.found != nil {
		return d.found.Fetch(ctx)
	}
	var errs []error
	for _, c := range d.candidates {
		s, err := c.source.Fetch(ctx)
		if err == nil {
			d.found = c.source
			return s, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
	}
	return metadata.Snapshot{}, fmt.Errorf("no cloud's metadata answers here; name the provider in the configuration, or give it a file: %w", errors.Join(errs...))
}

// Complete is that of the dialect that was found.
func (d *detector) Complete(ctx context.Context, s metadata.Snapshot) metadata.Snapshot {
	return complete(ctx, d.found, s)
}

// Requests is the sum over the dialects that were asked.
func (d *detector) Requests() map[string]uint64 {
	sum := map[string]uint64{}
	for _, c := range d.candidates {
		for result, n := range requests(c.source) {
			sum[result] += n
		}
	}
	return sum
}

// vendor is the dialect that the firmware's vendor strings point at, "" for none that is known here.
func vendor(dmi string) string {
	for _, name := range []string{"sys_vendor", "bios_vendor", "product_name", "chassis_asset_tag"} {
		b, err := os.ReadFile(filepath.Join(dmi, name))
		switch s := strings.ToLower(string(b)); {
		case err != nil:
		case strings.Contains(s, "amazon ec2"):
			return "ec2"
		case strings.Contains(s, "jdcloud"), strings.Contains(s, "jd cloud"):
			return "jdcloud"
		}
	}
	return ""
}
