package metadata_test

import (
	"context"
	"errors"
	"testing"

	"enid/metadata"
)

// What cannot be had, or is no identifier, is asked for again; what was told is not.
func TestOnce(t *testing.T) {
	t.Parallel()
	var once metadata.Once
	asked := 0
	for _, answer := range []struct {
		body string
		err  error
		want string
	}{
		{"", errors.New("down"), ""},
		{"", nil, ""},
		{`{"Code":"fail"}`, nil, ""},
		{"i-1\n", nil, "i-1"},
		{"i-2", nil, "i-1"},
		{"", errors.New("down"), "i-1"},
	} {
		got := once.Get(t.Context(), func(context.Context) (string, error) { asked++; return answer.body, answer.err })
		if got != answer.want {
			t.Errorf("%+v: got %q", answer, got)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times, want 4", asked)
	}
}

func TestIdentifier(t *testing.T) {
	t.Parallel()
	for body, ok := range map[string]bool{
		"02aab8a4-74ef-476e-8182-f6d2ba4166a6": true, "ocid1.instance.oc1..a_b": true, " i-1\r\n": true,
		"": false, "a b": false, `{"a":1}`: false, "<html>": false, `"i-1"`: false, "é": false,
	} {
		if got, err := metadata.Identifier(body); (err == nil) != ok {
			t.Errorf("%q: %q, %v", body, got, err)
		}
	}
}
