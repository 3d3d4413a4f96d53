package jdcloud

import (
	"context"
	"fmt"
)

// Probe is nil where JD Cloud's service answers: no other cloud known to enid has its paths, and the list of NICs
// there has to be one. It makes one request, two where only the alias of the base is served.
func (s *Source) Probe(ctx context.Context) error {
	_, listing := s.list(ctx)
	if listing.Err != nil {
		return listing.Err
	}
	listed, _, err := nics(listing.Body)
	if err == nil && len(listed) == 0 {
		err = fmt.Errorf("%s lists no NIC", networkPath)
	}
	return err
}
