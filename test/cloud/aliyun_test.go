package cloud_test

import (
	"net/http/httptest"
	"testing"

	"enid/metadata"
	"enid/metadata/aliyun"
	"enid/metadata/volcengine"
	"enid/test/cloud"
)

func TestAliyunTree(t *testing.T) {
	c := tour(t)
	c.SetTokenRequired(false)
	golden(t, "aliyun", walk(c.Handler("i-1", cloud.Aliyun), "/latest/", lfList))
}

func TestTextTokens(t *testing.T) {
	c, primary := small(t)
	for _, tt := range []struct {
		dialect             cloud.Dialect
		mac, ttl, token     string
		without, afterwards int
	}{
		{cloud.Aliyun, "/latest/meta-data/mac", "X-aliyun-ecs-metadata-token-ttl-seconds", "X-aliyun-ecs-metadata-token", 403, 401},
		{cloud.Volcengine, "/latest/mac", "X-volc-ecs-metadata-token-ttl-seconds", "X-volc-ecs-metadata-token", 401, 401},
	} {
		h := c.Handler("i-1", tt.dialect)
		compare(t, tt.without, ask(h, "GET", tt.mac).Code)
		compare(t, 400, ask(h, "PUT", tokenPath, tt.ttl, "21601").Code)
		compare(t, 403, ask(h, "PUT", tokenPath, tt.ttl, "60", "X-Forwarded-For", "10.0.0.3").Code)
		put := ask(h, "PUT", tokenPath, tt.ttl, "60")
		compare(t, primary.MAC.String(), ask(h, "GET", tt.mac, tt.token, put.Body.String()).Body.String())
		c.RevokeTokens()
		compare(t, tt.afterwards, ask(h, "GET", tt.mac, tt.token, put.Body.String()).Code)
	}
}

// The clients of the two read from the servers what the model has.
func TestTextClients(t *testing.T) {
	for _, d := range []cloud.Dialect{cloud.Aliyun, cloud.Volcengine} {
		c := tour(t)
		s := httptest.NewServer(c.Handler("i-1", d))
		defer s.Close()
		var got metadata.Snapshot
		var err error
		if d == cloud.Aliyun {
			source := value(aliyun.New(s.URL, metadata.Dial{}))(t)
			must(t, source.Probe(t.Context()))
			got, err = source.Fetch(t.Context())
		} else {
			source := value(volcengine.New(s.URL, metadata.Dial{}))(t)
			must(t, source.Probe(t.Context()))
			got, err = source.Fetch(t.Context())
		}
		must(t, err)
		compare(t, 0, len(got.Problems))
		compare(t, true, got.Complete)
		for _, e := range c.Describe("i-1") {
			for _, i := range got.Interfaces {
				if i.MAC != e.MAC {
					continue
				}
				compare(t, []any{e.ID, e.SubnetID, e.Primary, true}, []any{i.ID.Value, i.SubnetID.Value, i.Primary.Value, i.Whole()})
				want := e.Addresses[:0:0]
				for _, a := range e.Addresses {
					if a.Is4() {
						want = append(want, a)
					}
				}
				compare(t, want, i.Addresses.Value[:len(want)])
				compare(t, e.Gateway, i.Gateways.Value[0])
				if d == cloud.Aliyun {
					compare(t, len(e.Addresses), len(i.Addresses.Value))
					compare(t, len(e.Prefixes), len(i.Prefixes.Value))
				}
			}
		}
	}
}
