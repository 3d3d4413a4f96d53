package ec2

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"enid/metadata"
)

func TestProbe(t *testing.T) {
	const mac = "0a:07:84:3d:6e:38"
	whole := map[string]string{"mac": mac + "\n", tree.MACs + mac + "/interface-id": "eni-1"}
	for name, tt := range map[string]struct {
		keys   map[string]string
		status int // of the PUT
		proves bool
	}{
		"IMDSv2":                   {whole, 200, true},
		"IMDSv1":                   {whole, 404, true},
		"no token for now":         {whole, 500, false},
		"another cloud's keys":     {map[string]string{"mac": mac, tree.MACs + mac + "/network-interface-id": "eni-1"}, 200, false},
		"no MAC":                   {map[string]string{tree.MACs + mac + "/interface-id": "eni-1"}, 200, false},
		"a MAC that is none":       {map[string]string{"mac": "../x", tree.MACs + "../x/interface-id": "eni-1"}, 200, false},
		"an interface-id of words": {map[string]string{"mac": mac, tree.MACs + mac + "/interface-id": "not here"}, 200, false},
		"a page":                   {map[string]string{"mac": mac, tree.MACs + mac + "/interface-id": "<html>"}, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					w.WriteHeader(tt.status)
					fmt.Fprint(w, "token")
					return
				}
				for path, body := range tt.keys {
					if r.URL.Path == tree.Root+path {
						fmt.Fprint(w, body)
						return
					}
				}
				http.NotFound(w, r)
			}))
			defer server.Close()
			s, err := New(server.URL, metadata.Dial{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Probe(t.Context()); (err == nil) != tt.proves {
				t.Errorf("the probe says %v", err)
			}
		})
	}
}
