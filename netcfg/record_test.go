package netcfg

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"enid/metadata"
)

var recordTypes = cmp.Options{cmp.AllowUnexported(record{}, ownedAddr{}, ownedKnob{}, change{}), equate}

// drawRecord is any record that a host may have.
func drawRecord(t *rapid.T) record {
	r := newRecord()
	for range rapid.IntRange(0, 5).Draw(t, "NICs") {
		id := nicID{rapid.IntRange(1, 9).Draw(t, "ifindex"), metadata.MAC{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "mac")}}
		for _, p := range rapid.SliceOf(rapid.SampledFrom([]string{"10.0.1.5/24", "10.0.1.6/32", "2001:db8::5/64"})).Draw(t, "addresses") {
			r.addrs[ownedAddr{id, pfx(p)}] = true
		}
		for _, k := range rapid.SliceOf(rapid.SampledFrom(Knobs)).Draw(t, "knobs") {
			r.knobs[ownedKnob{id, k}] = change{rapid.String().Draw(t, "found"), rapid.SliceOf(rapid.String()).Draw(t, "ours")}
		}
	}
	for _, p := range rapid.SliceOf(rapid.IntRange(5, 255)).Draw(t, "protocols") {
		r.protocols[p] = true
	}
	return r
}

func TestRecordProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		got, err := decodeRecord(want.encode("boot", "net"), "boot", "net")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, recordTypes); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := newRecord()
	id := nicID{3, metadata.MAC{2, 0, 0, 0, 0, 1}}
	r.addrs[ownedAddr{id, pfx("10.0.1.5/24")}] = true
	r.knobs[ownedKnob{id, LinkUp}] = change{"0", []string{"1"}}
	f.Add(string(r.encode("b", "n")))
	f.Add(`{"version":1,"boot":"b","namespace":"n","nics":[{"ifindex":0,"mac":"02:00:00:00:00:01"}]}`)
	f.Add(`{"version":1,"boot":"b","namespace":"n","nics":[{"ifindex":1,"mac":"02:00:00:00:00:01","addresses":[""]}]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, content string) {
		r, err := decodeRecord([]byte(content), "b", "n")
		if err != nil {
			return
		}
		again, err := decodeRecord(r.encode("b", "n"), "b", "n")
		if diff := cmp.Diff(r, again, recordTypes); err != nil || diff != "" {
			t.Fatalf("does not come back: %v\n%s", err, diff)
		}
	})
}

// TestRecordFile: written only where it changed, whole or not at all, and never over what could
// not be read.
func TestRecordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "record.json")
	f := recordFile{path: path, boot: "b", namespace: "n"}
	r, err := f.load()
	if err != nil {
		t.Fatal(err)
	}
	stamp := func() os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			return nil
		}
		return info
	}
	save := func() {
		t.Helper()
		if err := f.save(r); err != nil {
			t.Fatal(err)
		}
	}
	if save(); stamp() != nil {
		t.Error("an empty record was written")
	}
	r.protocols[225] = true
	save()
	first := stamp()
	save()
	if !os.SameFile(first, stamp()) {
		t.Error("written again without a change")
	}
	r.addrs[ownedAddr{nicID{3, metadata.MAC{2, 0, 0, 0, 0, 1}}, pfx("10.0.1.5/24")}] = true
	save()
	if os.SameFile(first, stamp()) {
		t.Error("changed in place: a crash could leave half of it")
	}
	again := recordFile{path: path, boot: "b", namespace: "n"}
	got, err := again.load()
	if diff := cmp.Diff(r, got, recordTypes); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}

	unreadable := recordFile{path: t.TempDir(), boot: "b", namespace: "n"} // a directory
	if r, err := unreadable.load(); err == nil || len(r.protocols) != 0 {
		t.Errorf("read: %+v, %v", r, err)
	}
	if err := unreadable.save(r); err == nil {
		t.Error("written over what nobody has read")
	}
}
