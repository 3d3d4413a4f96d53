package systemd

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	macA = "02:29:96:8f:00:01"
	macB = "02:29:96:8f:00:02"

	fileA = "systemd/network/05-enid-02-29-96-8f-00-01.network"
	fileB = "systemd/network/05-enid-02-29-96-8f-00-02.network"
	fileN = "NetworkManager/conf.d/50-enid.conf"
)

// run is a /run with these files; a name that ends in a slash is a folder.
func run(t *testing.T, files map[string]string) Neighbours {
	t.Helper()
	n := Neighbours{Run: t.TempDir()}
	for name, text := range files {
		path := filepath.Join(n.Run, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// files are the files of a /run.
func (n Neighbours) files(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(n.Run, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(n.Run, path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (n Neighbours) want(t *testing.T, when string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, n.files(t)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

const both = "systemd/network/"

// TestSpare: files come, change and go with the ENIs, and what others have there stays.
func TestSpare(t *testing.T) {
	netplan := "systemd/network/10-netplan-eth0.network"
	theirs := map[string]string{netplan: "[Match]\nName=eth0\n", "NetworkManager/conf.d/50-cloud.conf": "[main]\n"}
	n := run(t, theirs)
	say := func(macs ...string) {
		t.Helper()
		if err := n.Spare(macs); err != nil {
			t.Fatal(err)
		}
	}
	a := header + "\n[Match]\nPermanentMACAddress=02:29:96:8f:00:01\n\n[Link]\nUnmanaged=yes\n"
	b := strings.Replace(a, macA, macB, 1)
	nm := header + "\n[keyfile]\nunmanaged-devices+=mac:02:29:96:8f:00:01,mac:02:29:96:8f:00:02\n"
	with := func(ours map[string]string) map[string]string {
		for name, text := range theirs {
			ours[name] = text
		}
		return ours
	}
	say()
	n.want(t, "no ENI", with(map[string]string{}))
	say(macA, macB)
	n.want(t, "two", with(map[string]string{fileA: a, fileB: b, fileN: nm}))
	say(macB)
	n.want(t, "one", with(map[string]string{fileB: b, fileN: strings.Replace(nm, "mac:"+macA+",", "", 1)}))
	say()
	n.want(t, "none again", with(map[string]string{}))
}

// TestSpareWritesNothingTwice: a file that is right is not written again.
func TestSpareWritesNothingTwice(t *testing.T) {
	n := run(t, map[string]string{both: "", "NetworkManager/": ""})
	stat := func() (infos []os.FileInfo) {
		for _, f := range []string{fileA, fileN} {
			info, err := os.Stat(filepath.Join(n.Run, f))
			if err != nil {
				t.Fatal(err)
			}
			infos = append(infos, info)
		}
		return infos
	}
	if err := n.Spare([]string{macA}); err != nil {
		t.Fatal(err)
	}
	before := stat()
	if err := n.Spare([]string{macA}); err != nil {
		t.Fatal(err)
	}
	for i, after := range stat() {
		if !os.SameFile(before[i], after) {
			t.Errorf("%s was replaced by its like", after.Name())
		}
		if after.Mode() != 0o644 {
			t.Errorf("%s has the mode %s; networkd is not root", after.Name(), after.Mode())
		}
	}
}

// TestSpareNobody: a host without a manager gets no file and no folder.
func TestSpareNobody(t *testing.T) {
	for _, c := range []struct {
		about string
		there map[string]string
		want  []string
	}{
		{"no manager", map[string]string{"enid/": ""}, nil},
		{"networkd runs", map[string]string{"systemd/netif/": ""}, []string{fileA}},
		{"netplan wrote for networkd", map[string]string{"systemd/network/": ""}, []string{fileA}},
		{"NetworkManager", map[string]string{"NetworkManager/": ""}, []string{fileN}},
	} {
		n := run(t, c.there)
		if err := n.Spare([]string{macA}); err != nil {
			t.Errorf("%s: %v", c.about, err)
		}
		got := n.files(t)
		for _, f := range c.want {
			if _, ok := got[f]; !ok {
				t.Errorf("%s: no %s", c.about, f)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: the files are %v", c.about, got)
		}
	}
}

// TestSpareNotOurs: a file of somebody else in a place of ours is kept, and told of.
func TestSpareNotOurs(t *testing.T) {
	theirs := map[string]string{fileA: "[Match]\nName=x\n", fileN: ""}
	n := run(t, theirs)
	err := n.Spare([]string{macA})
	for _, f := range []string{fileA, fileN} {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(n.Run, f)+" is not enid's") {
			t.Errorf("the error is %v", err)
		}
	}
	n.want(t, "in the way", theirs)
	if err := n.Spare(nil); err != nil {
		t.Error(err)
	}
	n.want(t, "not wanted", theirs)
}

// TestSpareAfterAKill: what was half written goes, and the rest is done.
func TestSpareAfterAKill(t *testing.T) {
	n := run(t, map[string]string{"systemd/network/" + halfName: header[:10], "NetworkManager/conf.d/" + halfName: ""})
	if err := n.Spare(nil); err != nil {
		t.Error(err)
	}
	n.want(t, "nothing wanted", map[string]string{})
}

// TestSpareRefused: the error says what to do. A file where the folder should be cannot be written into, not even by root.
func TestSpareRefused(t *testing.T) {
	n := run(t, map[string]string{"NetworkManager/conf.d": "", both: ""})
	err := n.Spare([]string{macA})
	if err == nil || !strings.Contains(err.Error(), "NetworkManager/conf.d") || !strings.Contains(err.Error(), "set neighbours: off") {
		t.Errorf("the error is %v", err)
	}
	if _, ok := n.files(t)[fileA]; !ok {
		t.Error("what the one manager refuses keeps the other from being told")
	}
}

// TestShippedDropIn: networkd takes no more and no less than this.
func TestShippedDropIn(t *testing.T) {
	text, err := os.ReadFile("networkd.conf.d/50-enid.conf")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	want := []string{"[Network]", "ManageForeignRoutes=no", "ManageForeignRoutingPolicyRules=no"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
