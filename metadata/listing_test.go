package metadata_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
)

func listedMAC(n byte) metadata.MAC { return metadata.MAC{2, 0, 0, 0, 0, n} }

func TestListing(t *testing.T) {
	t.Parallel()
	l := metadata.Listing{Snapshot: metadata.Snapshot{Provider: "x", Complete: true}}
	problem := metadata.Problem{Field: "addresses", Text: "no"}
	l.Add(metadata.Interface{MAC: listedMAC(3), ID: metadata.Is("three", "x")}, []metadata.Problem{problem})
	l.Add(metadata.Interface{MAC: listedMAC(1), ID: metadata.Is("one", "x")}, nil)
	got, err := l.Done()
	want := metadata.Snapshot{Provider: "x", Complete: true, Problems: []metadata.Problem{problem}, Interfaces: []metadata.Interface{
		{MAC: listedMAC(1), ID: metadata.Is("one", "x")}, {MAC: listedMAC(3), ID: metadata.Is("three", "x")},
	}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A MAC that is listed twice or more keeps its MAC only, is told once, and leaves the list in doubt.
func TestListingTwice(t *testing.T) {
	t.Parallel()
	l := metadata.Listing{Snapshot: metadata.Snapshot{Complete: true}}
	for _, id := range []string{"a", "b", "c"} {
		l.Add(metadata.Interface{MAC: listedMAC(1), ID: metadata.Is(id, "x")}, nil)
	}
	got, err := l.Done()
	if diff := cmp.Diff([]metadata.Interface{{MAC: listedMAC(1)}}, got.Interfaces); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got.Complete || len(got.Problems) != 1 || got.Problems[0].Reason != metadata.ReasonDuplicateMAC {
		t.Errorf("complete %t, %v", got.Complete, got.Problems)
	}
}

func TestListingOfNothing(t *testing.T) {
	t.Parallel()
	l := metadata.Listing{}
	if _, err := l.Done(); err == nil {
		t.Error("a list without an ENI is no error")
	}
	l.Incomplete(metadata.Problem{Text: "the third is broken"})
	if _, err := l.Done(); err == nil || !strings.Contains(err.Error(), "the third is broken; no ENI is taken for detached meanwhile") {
		t.Errorf("got %v", err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for raw, absent := range map[string]bool{"": true, "null": true, `"x"`: false, "[": false, "{}": false} {
		_, err := metadata.JSON[int]("key", json.RawMessage(raw))
		_, bad := errors.AsType[*metadata.BadAnswerError](err)
		if errors.Is(err, metadata.ErrNotFound) != absent || bad == absent || !strings.HasPrefix(err.Error(), "key") {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if n, err := metadata.JSON[int]("key", json.RawMessage(" 7 ")); n != 7 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}
