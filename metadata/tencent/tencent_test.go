package tencent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
)

func newSource(t *testing.T, endpoint string) *Source {
	t.Helper()
	s, err := New(endpoint, metadata.Dial{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fetcher is a Fetch for the tests of metadatatest.
func fetcher(t *testing.T, endpoint string) func(context.Context) (metadata.Snapshot, error) {
	return newSource(t, endpoint).Fetch
}

func TestGolden(t *testing.T) {
	t.Parallel()
	metadatatest.Golden(t, func(tree metadatatest.Tree) http.Handler { return tree }, fetcher)
}

func TestDefaultEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newSource(t, "").Probe(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "http://169.254.0.23") {
		t.Errorf("got %v", err)
	}
	if _, err := newSource(t, "").Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := New("169.254.0.23", metadata.Dial{}); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Survives(t, tree, func(get metadatatest.Get) (metadata.Snapshot, error) {
		var m memory
		return parse(m.gather(t.Context(), func(ctx context.Context, path string) (string, error) { return get(ctx, root+path) }))
	})
}

// The same with everything remembered that can be: a fault is neither hidden by what is remembered, nor remembered.
func TestSurvivesWithMemory(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Survives(t, tree, func(get metadatatest.Get) (metadata.Snapshot, error) {
		var m memory
		for range 2 {
			m.gather(t.Context(), func(_ context.Context, path string) (string, error) {
				reply, ok := tree[root+path]
				if !ok {
					return "", metadata.ErrNotFound
				}
				return reply.Body, nil
			})
		}
		return parse(m.gather(t.Context(), func(ctx context.Context, path string) (string, error) { return get(ctx, root+path) }))
	})
}

func TestRecovers(t *testing.T) {
	t.Parallel()
	tree := metadatatest.ReadTree(t, "testdata/two.txtar")
	metadatatest.Recovers(t, func() http.Handler { return tree }, fetcher)
}

func TestProbe(t *testing.T) {
	t.Parallel()
	const macs = "/latest/meta-data/network/interfaces/macs/"
	for name, test := range map[string]struct {
		tree metadatatest.Tree
		err  string
	}{
		"tencent":    {metadatatest.ReadTree(t, "testdata/two.txtar"), ""},
		"nothing":    {metadatatest.Tree{}, "answered 404"},
		"no MAC":     {metadatatest.Tree{macs: {Body: "eth0/"}}, "lists no MAC address"},
		"ec2":        {metadatatest.Tree{macs: {Body: "0a:07:84:3d:6e:38/"}, macs + "0a:07:84:3d:6e:38/local-ipv4s": {Body: "10.0.0.1"}}, "primary-local-ipv4: answered 404"},
		"no address": {metadatatest.Tree{macs: {Body: "52:54:00:BF:B3:51/"}, macs + "52:54:00:BF:B3:51/primary-local-ipv4": {Body: "x"}}, "not an IPv4 address"},
		"down":       {metadatatest.Tree{macs: {Status: 503}}, "answered 503"},
	} {
		err := newSource(t, metadatatest.Start(t, test.tree)).Probe(t.Context())
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %v, want %q", name, err, test.err)
		}
	}
}

// attached is a cloud whose instance i-1 has n ENIs of so many addresses.
func attached(t *testing.T, n, addresses int) (*cloud.Cloud, []cloud.ENI) {
	t.Helper()
	c := cloud.New()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(c.CreateSubnet(cloud.Subnet{ID: "subnet-a", IPv4: netip.MustParsePrefix("10.0.0.0/20")}))
	_, err := c.CreateInstance("i-1", "subnet-a", cloud.ENIOptions{})
	fail(err)
	for range n - 1 {
		e, err := c.CreateENI("subnet-a", cloud.ENIOptions{})
		fail(err)
		fail(c.Attach("i-1", e.ID))
	}
	for _, e := range c.Describe("i-1") {
		_, err := c.AssignCount(e.ID, addresses-1)
		fail(err)
	}
	return c, c.Describe("i-1")
}

// The numbers that Fetch's comment states, and that what is left out is still said.
func TestRequestCount(t *testing.T) {
	t.Parallel()
	c, enis := attached(t, 8, 21)
	s := newSource(t, metadatatest.Start(t, c.Handler("i-1", cloud.Tencent)))
	var first metadata.Snapshot
	for n, want := range []uint64{3 + 8*6, 3 + 8*5 + 1, 2 + 8 + 1, 2 + 8 + 1, 2 + 8 + 1} {
		before := requests(s)
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 || !got.Complete {
			t.Fatalf("%v %+v", err, got)
		}
		if n == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got, metadatatest.Compare); diff != "" {
			t.Errorf("fetch %d is unlike the first:\n%s", n, diff)
		}
		if asked := requests(s) - before; asked != want {
			t.Errorf("fetch %d: %d requests, want %d", n, asked, want)
		}
	}
	for n, i := range first.Interfaces {
		if diff := cmp.Diff(enis[n].Addresses, i.Addresses.Value, metadatatest.Compare); diff != "" || !i.Whole() {
			t.Errorf("%s: whole %t\n%s", i.MAC, i.Whole(), diff)
		}
	}
}

func requests(s *Source) (sum uint64) {
	for _, n := range s.Requests() {
		sum += n
	}
	return sum
}

// What changes is seen by the next Fetch, also where the rest is remembered.
func TestChangeIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	c, enis := attached(t, 2, 3)
	s := newSource(t, metadatatest.Start(t, c.Handler("i-1", cloud.Tencent)))
	see := func(mac metadata.MAC) string {
		t.Helper()
		got, err := s.Fetch(t.Context())
		if err != nil || len(got.Problems) > 0 {
			t.Fatalf("%v %v", err, got.Problems)
		}
		for _, i := range got.Interfaces {
			if i.MAC == mac {
				return fmt.Sprint(i.Addresses.State, i.Addresses.Value)
			}
		}
		return "detached"
	}
	for range 4 {
		see(enis[1].MAC)
	}
	e := enis[1]
	for _, change := range []func() error{
		func() error { return c.Assign(e.ID, netip.MustParseAddr("10.0.3.3")) },
		func() error { return c.Release(e.ID, e.Addresses[1]) },
		func() error { return c.Detach("i-1", e.ID) },
		func() error { return c.Attach("i-1", e.ID) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		now, err := c.DescribeENI(e.ID)
		want := "detached"
		if err == nil && now.Instance != "" {
			want = fmt.Sprint(metadata.Known, now.Addresses)
		}
		if got := see(e.MAC); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
