package jdcloud

import (
	"context"
	"fmt"
	"testing"
)

// TestPages: pages are asked for until all ENIs are found or nothing new comes.
func TestPages(t *testing.T) {
	a, b := eniOf("port-1", "10.0.1.5", "10.0.1.9"), eniOf("port-2", "10.0.1.6")
	for name, tt := range map[string]struct {
		pages   []string
		asked   int
		missing int
	}{
		"one":              {[]string{page(2, a, b)}, 1, 0},
		"two":              {[]string{page(2, a), page(2, b)}, 2, 0},
		"the last again":   {[]string{page(2, a), page(2, a)}, 2, 1},
		"total is right":   {[]string{page(1, a)}, 1, 1},
		"total is wrong":   {[]string{page(0, a), page(0, b)}, 2, 0},
		"total is garbage": {[]string{page("[]", a), page("[]", b)}, 2, 0},
		"empty":            {[]string{page(0)}, 1, 2},
		"endless":          {nil, maxPages, 2},
	} {
		o, n := newService().openAPI(), 0
		o.client.http.Transport = getter(func(_ context.Context, path string) (string, error) {
			if path != enisPath {
				return subnetAnswerOf("subnet-1", "10.0.1.0/24"), nil
			}
			if n++; tt.pages == nil {
				return page(999, eniOf(fmt.Sprintf("port-x%d", n), "10.0.1.7")), nil
			}
			return tt.pages[min(n, len(tt.pages))-1], nil
		})
		got := o.complete(t.Context(), said("port-2"))
		missing := 0
		for _, p := range got.Problems {
			if p.Reason == "openapi-missing" {
				missing++
			}
		}
		if n != tt.asked || missing != tt.missing {
			t.Errorf("%s: %d pages asked for, want %d; %d ENIs missing, want %d: %v", name, n, tt.asked, missing, tt.missing, got.Problems)
		}
	}
}
