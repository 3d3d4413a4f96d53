package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A document may be larger than a value, and comes with its headers.
func TestGetDocument(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]string{maxBody + 1: "", maxDocument: "", maxDocument + 1: "more than 4194304 bytes"} {
		c := start(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", "e")
			fmt.Fprint(w, strings.Repeat("x", size))
		})
		d, err := c.GetDocument(t.Context(), "/a", nil, 0)
		switch {
		case want != "":
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%d bytes: error %v, want %q", size, err, want)
			}
		case err != nil || len(d.Body) != size || d.Header.Get("ETag") != "e":
			t.Errorf("%d bytes: %d came, ETag %q, error %v", size, len(d.Body), d.Header.Get("ETag"), err)
		}
	}
}

// Patience is the time of the whole request.
func TestGetDocumentPatience(t *testing.T) {
	t.Parallel()
	c := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := c.GetDocument(t.Context(), "/a", nil, 10*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(map[string]uint64{"timeout": 1}, c.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
