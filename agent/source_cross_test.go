package agent

import (
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"enid/metadata"
	"enid/metadata/detect"
	sim "enid/test/cloud"
)

// TestEveryCloudIsFound: on a host whose firmware says nothing each cloud's service proves itself to its own dialect and to no
// other, though all are asked at one address.
func TestEveryCloudIsFound(t *testing.T) {
	served := sim.Dialects()
	for _, c := range clouds {
		dialect := sim.Dialect(c.provider)
		if !slices.Contains(served, dialect) {
			t.Errorf("the simulated cloud does not speak %s", dialect)
			continue
		}
		t.Run(string(c.provider), func(t *testing.T) {
			t.Parallel()
			simulated := sim.New()
			if err := simulated.CreateSubnet(sim.Subnet{ID: "subnet-a", IPv4: netip.MustParsePrefix("10.0.0.0/24")}); err != nil {
				t.Fatal(err)
			}
			if _, err := simulated.CreateInstance("i-1", "subnet-a", sim.ENIOptions{}); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(simulated.Handler("i-1", dialect))
			defer server.Close()
			var candidates []candidate
			for _, other := range clouds {
				s, err := other.open(MetadataConfig{Endpoint: server.URL, OpenAPI: OpenAPIOff}, metadata.Dial{})
				if err != nil {
					t.Fatal(err)
				}
				candidates = append(candidates, candidate{string(other.provider), s})
			}
			for _, candidate := range candidates {
				_, cheap := candidate.source.(prober)
				if err := candidate.probe(t.Context()); (err == nil) != (candidate.name == string(c.provider)) {
					t.Errorf("%s proves itself (with a probe: %v): %v", candidate.name, cheap, err)
				}
			}
			d := newDetector(detect.DMI{}, candidates...)
			answer, err := d.Fetch(t.Context())
			if err != nil || answer.Provider != string(c.provider) || len(answer.Interfaces) != 1 {
				t.Errorf("found %+v, %v", answer, err)
			}
		})
	}
}
