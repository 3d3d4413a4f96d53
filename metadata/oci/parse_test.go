package oci

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enid/metadata"
	"enid/test/metadatatest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse reads whatever the list may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if strings.HasPrefix(part.Name, vnicsPath[1:]) {
				f.Add(string(part.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		s, err := parse(body)
		if err != nil {
			return
		}
		if len(s.Interfaces) == 0 {
			t.Error("an answer without an ENI is no error")
		}
		metadatatest.Usable(t, s)
		for _, i := range s.Interfaces {
			if slices.ContainsFunc(i.Addresses.Value, netip.Addr.Is4) && i.Addresses.Whole() {
				t.Errorf("%s: IPv4 addresses are called all: %v", i.MAC, i.Addresses)
			}
			if v := i.VLAN; v.State == metadata.Known && (v.Value.ID < 1 || v.Value.ID > 4094 || v.Value.Parent == i.MAC) {
				t.Errorf("%s: %+v", i.MAC, v)
			}
		}
	})
}

func sample(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(b), vnicsPath[1:]+" --\n")
	body, _, _ = strings.Cut(body, "\n-- ")
	return strings.TrimSpace(body)
}

// A list that is cut is an error, wherever.
func TestCut(t *testing.T) {
	t.Parallel()
	body := sample(t, "testdata/dual-stack.txtar")
	for n := range len(body) {
		if s, err := parse(body[:n]); err == nil {
			t.Fatalf("cut after %d bytes: %s", n, metadatatest.Text(s))
		}
	}
}

func snapshot(t *testing.T, body string) metadata.Snapshot {
	t.Helper()
	s, err := parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return metadata.Validate(s)
}

func states(s metadata.Snapshot) map[string]metadata.Fact[metadata.VLAN] {
	byName := map[string]metadata.Fact[metadata.VLAN]{}
	for _, i := range s.Interfaces {
		byName[i.Name()] = i.VLAN
	}
	return byName
}

// Whose NIC a VNIC shares does not depend on the order of the others.
func TestVLANs(t *testing.T) {
	t.Parallel()
	mac := func(s string) metadata.MAC {
		m, err := metadata.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	none := metadata.IsNone[metadata.VLAN](origin)
	want := map[string]metadata.Fact[metadata.VLAN]{
		"ocid1.vnic.oc1.phx.000001": none,
		"ocid1.vnic.oc1.phx.000002": metadata.Is(metadata.VLAN{Parent: mac("90:E2:BA:00:00:01"), ID: 1}, origin),
		"ocid1.vnic.oc1.phx.000003": metadata.Is(metadata.VLAN{Parent: mac("90:E2:BA:00:00:04"), ID: 4094}, origin),
		"ocid1.vnic.oc1.phx.000004": none,
	}
	if diff := cmp.Diff(want, states(snapshot(t, sample(t, "testdata/bare-metal.txtar")))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	unknown := metadata.Fact[metadata.VLAN]{}
	want = map[string]metadata.Fact[metadata.VLAN]{"v1": none, "v2": unknown, "v3": unknown, "v4": unknown, "v5": unknown, "v6": none, "v7": none, "v8": unknown}
	if diff := cmp.Diff(want, states(snapshot(t, sample(t, "testdata/bare-metal-odd.txtar")))); diff != "" {
		t.Errorf("odd (-want +got):\n%s", diff)
	}
	for name, vlan := range states(snapshot(t, sample(t, "testdata/dual-stack.txtar"))) {
		if vlan != none {
			t.Errorf("%s of a VM: %+v", name, vlan)
		}
	}
}

// What the metadata does not tell is never taken away, but a VNIC that is gone from the list goes.
func TestBelief(t *testing.T) {
	t.Parallel()
	const (
		first  = `{"macAddr":"02:00:17:00:00:01","privateIp":"10.0.0.2","subnetCidrBlock":"10.0.0.0/24","virtualRouterIp":"10.0.0.1","vlanTag":1,"vnicId":"v1"}`
		second = `{"macAddr":"02:00:17:00:00:02","privateIp":"10.0.0.3","subnetCidrBlock":"10.0.0.0/24","virtualRouterIp":"10.0.0.1","vlanTag":2,"vnicId":"v2"}`
	)
	both, alone := snapshot(t, "["+first+","+second+"]"), snapshot(t, "["+first+"]")
	overlay := []metadata.Interface{{MAC: both.Interfaces[1].MAC,
		Addresses: metadata.Is([]netip.Addr{netip.MustParseAddr("10.0.0.7")}, "overlay"), Prefixes: metadata.IsNone[[]netip.Prefix]("overlay")}}
	const patience = time.Minute
	now := time.Unix(1e9, 0)
	var b metadata.Belief
	for range 2 {
		b = b.Update(metadata.Complete(both, overlay), now, patience)
	}
	i := b.Interfaces()[1]
	want := []netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.7")}
	if diff := cmp.Diff(want, i.Addresses.Value, metadatatest.Compare); diff != "" || i.Hold || !i.Whole() {
		t.Fatalf("with an overlay: hold %t whole %t\n%s", i.Hold, i.Whole(), diff)
	}
	for range 3 {
		b = b.Update(both, now, patience)
	}
	i = b.Interfaces()[1]
	if diff := cmp.Diff(want, i.Addresses.Value, metadatatest.Compare); diff != "" || !i.Hold {
		t.Fatalf("without: hold %t\n%s", i.Hold, diff)
	}
	b = b.Update(alone, now, patience)
	if len(b.Interfaces()) != 2 {
		t.Fatal("forgotten at once")
	}
	b = b.Update(alone, now.Add(patience), patience)
	if got := b.Interfaces(); len(got) != 1 || got[0].Name() != "v1" {
		t.Fatalf("still believed: %v", got)
	}
}
