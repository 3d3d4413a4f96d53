package metadatatest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"enid/metadata"

	"github.com/google/go-cmp/cmp"
)

// Faults are the ways in which a service that is there may not answer, for one
// path or for all.
var Faults = map[string]http.HandlerFunc{
	"500":   status(http.StatusInternalServerError),
	"401":   status(http.StatusUnauthorized),
	"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"empty": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") },
	"blank": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, " \r\n\n") },
	"page":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html><p>Please log in") },
	"junk":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\x00\xff{[\"10.0.0") },
	"json":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Code":"fail","message":""}`) },
	"cut": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "10.0.0.1\n")
		panic(http.ErrAbortHandler)
	},
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>no</html>", code) }
}

// Get asks for the path of a service, which starts with a slash.
type Get func(ctx context.Context, path string) (string, error)

// Survives puts every fault, and not to answer in time, on every path of a
// tree, one at a time. What read makes of it may be an error; else it must lose nothing, and
// say so where it knows less.
func Survives(t *testing.T, tree Tree, read func(Get) (metadata.Snapshot, error)) {
	good, err := read(tree.get)
	if err != nil {
		t.Fatal(err)
	}
	asks := map[string]Get{"hang": func(context.Context, string) (string, error) {
		return "", fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}}
	for name, fault := range Faults {
		client, err := metadata.NewClient(Start(t, fault), metadata.Dial{})
		if err != nil {
			t.Fatal(err)
		}
		asks[name] = func(ctx context.Context, path string) (string, error) { return client.Get(ctx, path, nil) }
	}
	for name, ask := range asks {
		for at := range tree {
			got, err := read(func(ctx context.Context, path string) (string, error) {
				if path == at {
					return ask(ctx, path)
				}
				return tree.get(ctx, path)
			})
			if err != nil {
				continue
			}
			if err := nothingLost(good, got); err != nil {
				t.Errorf("%s at %s: %v", name, at, err)
			}
			if !cmp.Equal(whole(good), whole(got)) && len(got.Problems) == 0 {
				t.Errorf("%s at %s: less is known, and no problem told", name, at)
			}
		}
	}
}

// Recovers puts every fault, and 404, on all paths of a service: each must be an
// error, and with the fault gone the same Source must tell the truth again.
func Recovers(t *testing.T, serve func() http.Handler, source NewFetch) {
	faults := maps.Clone(Faults)
	faults["404"] = http.NotFound
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			service := serve()
			fetch := source(t, Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if broken.Load() {
					fault(w, r)
					return
				}
				service.ServeHTTP(w, r)
			})))
			good, err := fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			if got, err := fetch(t.Context()); err == nil {
				t.Errorf("no error: %s", Text(got))
			}
			broken.Store(false)
			if got, err := fetch(t.Context()); err != nil || !cmp.Equal(good, got, Compare) {
				t.Errorf("afterwards: %v\n%s", err, cmp.Diff(good, got, Compare))
			}
		})
	}
}

// Usable is what callers rely on without looking, whatever the service said.
func Usable(t *testing.T, s metadata.Snapshot) {
	t.Helper()
	seen := map[metadata.MAC]bool{}
	primaries := 0
	for _, i := range s.Interfaces {
		if seen[i.MAC] {
			t.Errorf("%s is there twice", i.MAC)
		}
		seen[i.MAC] = true
		if i.Primary.Value {
			primaries++
		}
		if i.Addresses.State == metadata.Known && len(i.Addresses.Value) == 0 {
			t.Errorf("%s: addresses are known and empty", i.MAC)
		}
		for _, a := range slices.Concat(i.Addresses.Value, i.Gateways.Value) {
			if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
				t.Errorf("%s: address %v", i.MAC, a)
			}
		}
		for _, p := range slices.Concat(i.Subnets.Value, i.Prefixes.Value, i.Local.Value) {
			if !p.IsValid() || p != p.Masked() {
				t.Errorf("%s: prefix %v", i.MAC, p)
			}
		}
	}
	if !slices.IsSortedFunc(s.Interfaces, func(a, b metadata.Interface) int { return slices.Compare(a.MAC[:], b.MAC[:]) }) {
		t.Error("not in the order of the MACs")
	}
	if s.Complete && primaries != 1 {
		t.Errorf("complete with %d primaries", primaries)
	}
	if !s.Complete && len(s.Problems) == 0 {
		t.Error("not complete, and no reason given")
	}
}

// get answers from the tree without a service.
func (tree Tree) get(_ context.Context, path string) (string, error) {
	reply, ok := tree[path]
	switch {
	case !ok:
		return "", &metadata.StatusError{Path: path, Status: http.StatusNotFound}
	case reply.Status != 0:
		return "", &metadata.StatusError{Path: path, Status: reply.Status}
	}
	return reply.Body, nil
}

// whole says of each ENI whether it, its local ranges and its VLAN are.
func whole(s metadata.Snapshot) map[metadata.MAC][3]bool {
	whole := map[metadata.MAC][3]bool{}
	for _, i := range s.Interfaces {
		whole[i.MAC] = [3]bool{i.Whole(), i.Local.Whole(), i.VLAN.Whole()}
	}
	return whole
}

// nothingLost reports what got would make an agent take away, where got is the answer of
// a service with a fault and good is the truth: an ENI that is missing from a complete
// answer, an address, prefix, subnet or gateway missing from a whole ENI, a primary
// that is called a secondary.
func nothingLost(good, got metadata.Snapshot) error {
	for _, i := range good.Interfaces {
		n := slices.IndexFunc(got.Interfaces, func(o metadata.Interface) bool { return o.MAC == i.MAC })
		if n < 0 {
			if got.Complete {
				return fmt.Errorf("%s is missing from a complete answer", i.MAC)
			}
			continue
		}
		o := got.Interfaces[n]
		if o.Primary.Whole() && o.Primary.Value != i.Primary.Value {
			return fmt.Errorf("%s is called primary: %t", i.MAC, o.Primary.Value)
		}
		lost := missing(i.Addresses, o.Addresses) || missing(i.Gateways, o.Gateways) ||
			missing(i.Subnets, o.Subnets) || missing(i.Prefixes, o.Prefixes)
		lost = lost && o.Whole() || o.Local.Whole() && missing(i.Local, o.Local) || o.VLAN.Whole() && o.VLAN.Value != i.VLAN.Value
		if lost {
			return fmt.Errorf("%s says that it is whole and lacks something:\n%s", i.MAC, cmp.Diff(i, o, Compare))
		}
	}
	return nil
}

func missing[T comparable](good, got metadata.Fact[[]T]) bool {
	return slices.ContainsFunc(good.Value, func(v T) bool { return !slices.Contains(got.Value, v) })
}

// Compare lets go-cmp compare the values of net/netip.
var Compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}
