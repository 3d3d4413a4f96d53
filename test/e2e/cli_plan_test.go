package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enid/test/cloud"
	"enid/test/rig"
)

const debug = "log: {level: debug}\n"

// planned runs plan, which writes nothing, and returns what it printed.
func planned(t *testing.T, r *rig.Rig) []string {
	t.Helper()
	before, kept := kernel(t, r), files(t, r.Dir)
	s := enid(t, r, "plan").ends(t, 0)
	same(t, r, before, "by plan")
	if diff := cmp.Diff(kept, files(t, r.Dir)); diff != "" {
		t.Errorf("plan has written files (-before +after):\n%s", diff)
	}
	if s.errs != "" {
		t.Errorf("plan says on stderr: %s", s.errs)
	}
	if s.out == "# nothing to do\n" {
		return nil
	}
	return strings.Split(strings.TrimSpace(s.out), "\n")
}

// applied checks that plan prints what apply then does, and nothing afterwards.
func applied(t *testing.T, r *rig.Rig) []string {
	t.Helper()
	plan := planned(t, r)
	if len(plan) == 0 {
		t.Fatal("there is nothing to do")
	}
	s := enid(t, r, "apply").ends(t, 0)
	if diff := cmp.Diff(plan, done(s.errs)); diff != "" {
		t.Errorf("apply has not done what plan said (-plan +apply):\n%s", diff)
	}
	if again := planned(t, r); again != nil {
		t.Errorf("after apply, plan still has:\n%s", strings.Join(again, "\n"))
	}
	return plan
}

// Plan and apply agree for every kind of change: from nothing, more, less, a repair, a detach.
func TestCLIPlanIsWhatApplyDoes(t *testing.T) {
	for _, o := range []rig.Options{
		{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1, Config: debug},
		{Dialect: cloud.JDCloud, PrimarySecondary: 1, Config: debug},
		{Dialect: cloud.File, IPv6: true, Config: debug},
	} {
		t.Run(string(o.Dialect), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, o)
			first := attach(t, r, "subnet-b", 5)
			second := attach(t, r, "subnet-b", 5)
			attach(t, r, "subnet-c", 5)
			applied(t, r)
			reached(t, r)
			more := assign(t, r, first)
			if plan := applied(t, r); !slices.ContainsFunc(plan, func(s string) bool { return strings.HasPrefix(s, "ip addr add "+more.String()) }) {
				t.Errorf("%s is assigned, and not in the plan:\n%s", more, strings.Join(plan, "\n"))
			}
			must(t, r.Cloud.Release(first.ID, more))
			applied(t, r)
			sh(t, r, "ip rule del pref 20108; ip addr del %s/32 dev %s", second.Addresses[1], r.NIC(second.MAC))
			applied(t, r)
			must(t, r.Cloud.Detach(r.Instance, second.ID))
			applied(t, r)
			reached(t, r)
		})
	}
}

// The exit code tells a script whether there is something to do; JSON has the same as text.
func TestCLIPlanForScripts(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	attach(t, r, "subnet-b", 2)
	text := enid(t, r, "plan", "--exit-code").ends(t, 3).out
	if got := commands(t, enid(t, r, "plan", "--exit-code", "-o", "json").ends(t, 3).out); got != text {
		t.Errorf("JSON and text differ (-text +json):\n%s", cmp.Diff(text, got))
	}
	enid(t, r, "apply").ends(t, 0)
	if s := enid(t, r, "plan", "--exit-code").ends(t, 0); s.out != "# nothing to do\n" {
		t.Errorf("plan prints %q", s.out)
	}
	if s := enid(t, r, "plan", "--exit-code", "-o", "json").ends(t, 0); commands(t, s.out) != "" {
		t.Errorf("plan prints %q", s.out)
	}
}

func commands(t *testing.T, text string) string {
	t.Helper()
	var plan struct {
		Operations []struct{ Command string }
	}
	must(t, json.Unmarshal([]byte(text), &plan))
	if plan.Operations == nil {
		t.Errorf("operations is null, a script wants a list: %s", text)
	}
	out := ""
	for _, o := range plan.Operations {
		out += o.Command + "\n"
	}
	return out
}

// Plan works, and writes nothing, where enid has never been and where it has lost its files.
func TestCLIPlanWithoutFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, PrimarySecondary: 1})
	attach(t, r, "subnet-b", 3)
	for _, dir := range []string{"run", "state", "overlay"} {
		must(t, os.RemoveAll(filepath.Join(r.Dir, dir)))
	}
	planned(t, r)
	enid(t, r, "apply").ends(t, 0)
	for _, dir := range []string{"run", "state"} {
		must(t, os.RemoveAll(filepath.Join(r.Dir, dir)))
	}
	if plan := planned(t, r); plan != nil {
		t.Errorf("the kernel is right and only enid's files are gone, plan has:\n%s", strings.Join(plan, "\n"))
	}
}

// Plan, apply and cleanup say clearly that the metadata does not answer or makes no sense.
func TestCLINoMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	attach(t, r, "subnet-b", 1)
	must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 500}))
	before := kernel(t, r)
	enid(t, r, "plan").ends(t, 1, "enid: metadata: ", "500", "169.254.169.254")
	enid(t, r, "apply").ends(t, 1, "enid: metadata: ", "500", "169.254.169.254")
	same(t, r, before, "without metadata")
}
