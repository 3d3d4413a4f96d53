package jdcloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProbe(t *testing.T) {
	for name, tt := range map[string]struct {
		path, body string
		proves     bool
	}{
		"documented":    {"/metadata/latest/network/", "0/\n1/\n", true},
		"alias":         {"/jcs-metadata/latest/network/", "0/", true},
		"another cloud": {"/latest/meta-data/network/interfaces/macs/", "0/", false},
		"no NIC":        {"/metadata/latest/network/", "", false},
		"no numbers":    {"/metadata/latest/network/", "interfaces/\n", false},
		"a page":        {"/metadata/latest/network/", "<html>0/</html>", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != tt.path {
					http.NotFound(w, r)
					return
				}
				fmt.Fprint(w, tt.body)
			}))
			defer server.Close()
			if err := newSource(t, server.URL).Probe(t.Context()); (err == nil) != tt.proves {
				t.Errorf("the probe says %v", err)
			}
		})
	}
}
