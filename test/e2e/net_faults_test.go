package e2e

import (
	"slices"
	"testing"

	"enid/test/cloud"
	"enid/test/rig"
)

// fault is a way in which metadata fails.
type fault struct {
	name string
	cloud.Fault
}

// faultsOf are the failures of the requirement; keyPath is where one key of every ENI is.
func faultsOf(keyPath string) []fault {
	return []fault{
		{"500 to everything", cloud.Fault{Kind: cloud.FaultStatus, Status: 500}},
		{"500 to one key", cloud.Fault{Kind: cloud.FaultStatus, Status: 500, Path: keyPath}},
		{"401", cloud.Fault{Kind: cloud.FaultStatus, Status: 401}},
		{"404 to everything", cloud.Fault{Kind: cloud.FaultStatus, Status: 404}},
		{"404 to one key", cloud.Fault{Kind: cloud.FaultStatus, Status: 404, Path: keyPath}},
		{"reset", cloud.Fault{Kind: cloud.FaultReset}},
		{"hang", cloud.Fault{Kind: cloud.FaultHang}},
		{"empty", cloud.Fault{Kind: cloud.FaultEmpty}},
		{"one key empty", cloud.Fault{Kind: cloud.FaultEmpty, Path: keyPath}},
		{"HTML page", cloud.Fault{Kind: cloud.FaultHTML}},
		{"no MAC", cloud.Fault{Kind: cloud.FaultNoMAC}},
		{"MAC without keys", cloud.Fault{Kind: cloud.FaultNoKeys}},
		{"MAC with an empty address list", cloud.Fault{Kind: cloud.FaultNoAddresses}},
		{"cut by length", cloud.Fault{Kind: cloud.FaultCutLength}},
		{"cut in chunks", cloud.Fault{Kind: cloud.FaultCutChunked}},
		{"half a body", cloud.Fault{Kind: cloud.FaultCutBody}},
	}
}

// halfKey is not for ec2: of a text list whose end is missing without a trace nobody can tell.
func halfKey(path string) fault {
	return fault{"half a key", cloud.Fault{Kind: cloud.FaultCutBody, Path: path}}
}

func TestFailingMetadataTakesNothing(t *testing.T) {
	const ec2Key = "/latest/meta-data/network/interfaces/macs/*/local-ipv4s"
	const jdKey = "/metadata/latest/network/*/local-ipv4"
	const jdDocument = "/metadata/latest/attributes/customdata/custom-metadata/enid"
	for name, c := range map[string]struct {
		dialect cloud.Dialect
		faults  []fault
	}{
		"ec2":     {cloud.EC2, faultsOf(ec2Key)},
		"jdcloud": {cloud.JDCloud, append(faultsOf(jdKey), halfKey(jdKey))},
		"jdcloud document": {cloud.JDCloud, slices.DeleteFunc(append(faultsOf(jdDocument), halfKey(jdDocument)),
			func(f fault) bool { return f.Path == "" })},
	} {
		for _, f := range c.faults {
			t.Run(name+" "+f.name, func(t *testing.T) {
				t.Parallel()
				failing(t, rig.Options{Dialect: c.dialect, IPv6: true, PrimarySecondary: 1, DetachAfter: detachAfter}, f.Fault)
			})
		}
	}
}

// failing lets the metadata fail, over a restart too, and then recover. The time after which an ENI that
// is not listed is taken down is the shortest there is: no failure may count towards it.
func failing(t *testing.T, o rig.Options, f cloud.Fault) {
	r := newRig(t, o)
	d := start(t, r)
	e := attach(t, r, "subnet-b", 3)
	attach(t, r, "subnet-b", 2)
	settle(t, r)
	before := kernel(t, r)

	must(t, r.Cloud.SetFault(f))
	polls(t, r)
	same(t, r, before, "while the metadata fails")
	d.Kill()
	must1[*rig.Daemon](t)(r.Start())
	polls(t, r)
	same(t, r, before, "while the metadata fails, after a restart")

	assign(t, r, e)
	r.Cloud.ClearFault()
	settle(t, r)
	everyAddress(t, r)
}

// polls waits until the daemon has been answered twice at least: each answer costs the same path two requests at
// most (a token is renewed once), and the last one may be under way.
func polls(t *testing.T, r *rig.Rig) {
	t.Helper()
	r.Cloud.ResetRequests(r.Instance)
	eventually(t, "the daemon does not ask", func() bool {
		for _, q := range r.Cloud.Requests(r.Instance) {
			if q.Count >= 5 {
				return true
			}
		}
		return false
	})
}
