package cloud_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

func opened(t *testing.T, file string) *cloud.Cloud {
	t.Helper()
	return value(cloud.Open(file))(t)
}

// A cloud that is opened again is the one that was left: itself, what its
// metadata says, and the ids that it gives next.
func TestStateSurvives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cloud.json")
	s := populate(t, opened(t, file))
	must(t, s.AutoCustom("i-1", true))
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{Count: 2, Subnet: "subnet-a"}))
	must(t, s.AssignSecondary(s.second.ID, cloud.AssignOptions{MaskLen: 28}))
	must(t, s.SetQuota(cloud.QuotaENI, 1000))
	again := opened(t, file)
	compare(t, wholeOf(s.Cloud), wholeOf(again))
	for _, in := range s.Instances() {
		compare(t, walk(s.Handler(in.ID, cloud.JDCloud), "/metadata/latest/", jsonList), walk(again.Handler(in.ID, cloud.JDCloud), "/metadata/latest/", jsonList))
	}
	for _, c := range []*cloud.Cloud{s.Cloud, again} {
		must(t, c.Attach("i-4", s.free.ID))
		value(c.CreateENI("subnet-a", cloud.ENIOptions{SecondaryCount: 1}))(t)
		must(t, c.Terminate("i-4"))
	}
	compare(t, withoutTimes(wholeOf(s.Cloud)), withoutTimes(wholeOf(again)))
	compare(t, []string{file}, value(filepath.Glob(filepath.Dir(file)+"/*"))(t)) // nothing is left over
}

func withoutTimes(w whole) whole {
	for i := range w.ENIs {
		w.ENIs[i].Created = time.Time{}
	}
	return w
}

// What was under way when the simulator ended is done when it begins again.
func TestStateUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "cloud.json")
		s := populate(t, opened(t, file))
		s.SetAttachDelay(time.Minute)
		must(t, s.Attach("i-4", s.free.ID))
		must(t, s.Detach("i-1", s.second.ID))
		must(t, s.Start("i-stopped"))
		again := opened(t, file)
		time.Sleep(time.Minute)
		synctest.Wait()
		compare(t, wholeOf(s.Cloud), wholeOf(again))
		compare(t, "i-4", value(again.DescribeENI(s.free.ID))(t).Instance)
		compare(t, `["1/","2/"]`, get(again.Handler("i-4", cloud.JDCloud), "/metadata/latest/network/"))
	})
}

// A change that cannot be stored is no change, and the file stays whole; the
// same change goes through when the file can be written.
func TestStateNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "dir")
		must(t, os.Mkdir(dir, 0o755))
		file := filepath.Join(dir, "cloud.json")
		s := populate(t, opened(t, file))
		got := events(s.Cloud)
		before, data := wholeOf(s.Cloud), value(os.ReadFile(file))(t)
		shown := walk(s.Handler("i-1", cloud.JDCloud), "/metadata/latest/", jsonList)

		must(t, os.Mkdir(file+".new", 0o755)) // in the way of the new file
		for i, err := range []error{
			s.Attach("i-4", s.free.ID), s.Terminate("i-1"), s.SetCustom("i-1", "a", "b"), s.Assign(s.second.ID, addr("10.0.1.50")),
			create(s, "subnet-a", cloud.ENIOptions{}), s.SetQuota(cloud.QuotaENI, 1),
		} {
			if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("change %d: error %v", i, err)
			}
		}
		compare(t, before, wholeOf(s.Cloud))
		compare(t, []string{}, got())
		compare(t, shown, walk(s.Handler("i-1", cloud.JDCloud), "/metadata/latest/", jsonList))
		compare(t, string(data), string(value(os.ReadFile(file))(t)))
		s.SetAttachDelay(time.Second)
		if err := s.Attach("i-4", s.free.ID); err == nil {
			t.Error("an attach that cannot be stored is accepted")
		}
		must(t, os.Remove(file+".new"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		compare(t, before, wholeOf(s.Cloud)) // nor is it done later

		// What was accepted is done, as soon as it can be stored.
		must(t, s.Attach("i-4", s.free.ID))
		must(t, os.Mkdir(file+".new", 0o755))
		time.Sleep(2500 * time.Millisecond)
		compare(t, "attachNetworkInterface", value(s.DescribeInstance("i-4"))(t).Task)
		must(t, os.Remove(file+".new"))
		time.Sleep(time.Second)
		synctest.Wait()
		compare(t, 2, len(s.Describe("i-4")))
		compare(t, 1, len(got()))
	})
}

// A file that is not a cloud's is an error that names it and says what to do.
func TestStateBroken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cloud.json")
	s := populate(t, opened(t, file))
	good := string(value(os.ReadFile(file))(t))
	for name, text := range map[string]string{
		"empty":              "",
		"cut short":          good[:len(good)/2],
		"no version":         "{}",
		"a later version":    strings.Replace(good, `"Version": 1`, `"Version": 2`, 1),
		"an unknown key":     strings.Replace(good, `"Version": 1`, `"Version": 1, "Color": "red"`, 1),
		"a bad address":      strings.ReplaceAll(good, "10.0.1.50", "10.0.1.500"),
		"an address twice":   strings.ReplaceAll(good, `"10.0.1.50"`, `"10.0.1.4"`),
		"a MAC twice":        strings.ReplaceAll(good, s.free.MAC.String(), s.second.MAC.String()),
		"an ENI twice":       strings.ReplaceAll(good, s.free.ID, s.second.ID),
		"no such subnet":     strings.ReplaceAll(good, `"SubnetID": "subnet-b"`, `"SubnetID": "subnet-x"`),
		"no such VPC":        strings.ReplaceAll(good, `"VPC": "vpc-b"`, `"VPC": "vpc-x"`),
		"a public range":     strings.ReplaceAll(good, "10.0.1.0/24", "8.0.1.0/24"),
		"no such instance":   strings.ReplaceAll(good, `"Instance": "i-1"`, `"Instance": "i-x"`),
		"no primary ENI":     strings.ReplaceAll(good, `"Primary": true`, `"Primary": false`),
		"primary of nothing": strings.ReplaceAll(good, `"Primary": false`, `"Primary": true`),
		"no such binding":    strings.ReplaceAll(good, `"Private": "10.0.1.50"`, `"Private": "10.0.1.51"`),
	} {
		must(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := cloud.Open(file)
		if err == nil || text == good || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: error %v", name, err)
		}
		compare(t, text, string(value(os.ReadFile(file))(t)))
	}
	must(t, os.WriteFile(file, []byte(good), 0o600))
	compare(t, wholeOf(s.Cloud), wholeOf(opened(t, file)))
	if _, err := cloud.Open(filepath.Dir(file)); err == nil {
		t.Error("a folder is no state file")
	}
}

// An ENI that carries a zonal public address, as files of other times may say,
// is attached in that zone only.
func TestZonalAttachRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cloud.json")
	s := populate(t, opened(t, file))
	text := string(value(os.ReadFile(file))(t))
	at := strings.Index(text, `"ID": "`+s.bound.ID)
	text = text[:at] + strings.Replace(text[at:], `"AZ": ""`, `"AZ": "`+cloud.DefaultAZ+`"`, 1)
	must(t, os.WriteFile(file, []byte(text), 0o600))
	c := opened(t, file)
	before := wholeOf(c)
	err := c.Attach("i-4", s.free.ID) // in another zone
	compare(t, true, err != nil && strings.HasSuffix(err.Error(), ": ElasticIp '"+s.bound.ID+"' and instance are not in the same az"))
	compare(t, before, wholeOf(c))
	must(t, c.Attach("i-stopped", s.free.ID))
}
