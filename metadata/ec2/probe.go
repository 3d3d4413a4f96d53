package ec2

import (
	"context"
	"fmt"
	"strings"

	"enid/metadata"
)

// Probe is nil where IMDS answers: the primary ENI has an interface-id, which in the trees of other clouds that
// begin like EC2's has another name. It makes 2 requests and, the first time, asks for the token.
func (s *Source) Probe(ctx context.Context) error {
	get, err := s.begin(ctx)
	if err != nil {
		return err
	}
	body, err := get(ctx, root+tree.Primary)
	if err != nil {
		return err
	}
	if _, err := metadata.ParseMAC(body); err != nil {
		return fmt.Errorf("%s%s: %w", root, tree.Primary, err)
	}
	path := root + tree.MACs + strings.TrimSpace(body) + "/interface-id"
	body, err = get(ctx, path)
	if err != nil {
		return err
	}
	if _, err := metadata.Word(body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
