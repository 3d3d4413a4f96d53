package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"enid/agent"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// otherClouds are the dialects beside the first two, which the tests beside this one take apart. Each goes through the
// same: boot, attach, assign, release, detach, late and partial answers, outages. What the metadata of Oracle's cloud
// and of OpenStack does not have, secondary addresses, an overlay says.
var otherClouds = []struct {
	name    string
	options rig.Options
	style   func(*cloud.Cloud)
}{
	{"aliyun", rig.Options{Dialect: cloud.Aliyun, IPv6: true}, nil},
	{"gcp", rig.Options{Dialect: cloud.GCP, IPv6: true}, nil},
	{"azure", rig.Options{Dialect: cloud.Azure, IPv6: true}, func(c *cloud.Cloud) { c.SetAzureStyle(cloud.AzureStyle{Throttle: 5, Shuffle: true}) }},
	{"oci", rig.Options{Dialect: cloud.OCI, IPv6: true}, nil},
	{"tencent", rig.Options{Dialect: cloud.Tencent}, nil},
	{"volcengine", rig.Options{Dialect: cloud.Volcengine}, nil},
	{"openstack", rig.Options{Dialect: cloud.OpenStack}, nil},
}

func eachCloud(t *testing.T, test func(*testing.T, *rig.Rig)) {
	for _, c := range otherClouds {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.options.PrimarySecondary, c.options.DetachAfter = 1, detachAfter
			c.options.Overlay = c.options.Dialect.TellsOneAddress()
			r := newRig(t, c.options)
			if c.style != nil {
				c.style(r.Cloud)
			}
			test(t, r)
		})
	}
}

// TestClouds: everything that happens to a VM, in every dialect, all reached from everywhere.
func TestClouds(t *testing.T) { eachCloud(t, lifeOf) }

// TestCloudsLate: metadata that lists an ENI before its keys are there, shows everything late, or lists an ENI that has
// been detached, makes nothing wrong and nothing that lasts.
func TestCloudsLate(t *testing.T) {
	eachCloud(t, func(t *testing.T, r *rig.Rig) {
		start(t, r)
		kept := attach(t, r, "subnet-c", 2)
		settle(t, r)
		before := kernel(t, r)
		r.Cloud.SetDelay(time.Second)
		r.Cloud.SetPropagation(cloud.Propagation{Keys: long, DeviceNumber: time.Hour, Linger: long})
		e := attach(t, r, "subnet-b", 2)
		settle(t, r)
		everyAddress(t, r)
		await(t, r, func(s *agent.Status) bool {
			return slices.ContainsFunc(s.ENIs, func(x agent.ENIStatus) bool { return x.MAC == e.MAC && x.Slot != netcfg.Primary && !x.Primary })
		})

		traffic := flows(t, r, kept.Addresses[0])
		must(t, r.Cloud.Detach(r.Instance, e.ID))
		eventually(t, "something of the NIC that is gone is left", func() bool { return slices.Equal(kernel(t, r), before) })
		lossless(t, "detach of another ENI", traffic)
		settle(t, r)
		everyAddress(t, r)
	})
}

// TestCloudsFail: whatever the metadata fails with takes nothing, over a restart either, and afterwards all goes on.
func TestCloudsFail(t *testing.T) {
	eachCloud(t, func(t *testing.T, r *rig.Rig) {
		d := start(t, r)
		e := attach(t, r, "subnet-b", 2)
		broken := attach(t, r, "subnet-c", 2)
		settle(t, r)
		before := kernel(t, r)
		for _, f := range faultsOf("") {
			if strings.Contains(f.name, "one key") {
				continue // of many of these dialects all is in one answer
			}
			must(t, r.Cloud.SetFault(f.Fault))
			outage(t, r)
			same(t, r, before, "while the metadata fails with "+f.name)
		}
		d.Kill()
		must1[*rig.Daemon](t)(r.Start())
		outage(t, r)
		same(t, r, before, "while the metadata fails, after a restart")
		r.Cloud.ClearFault()
		settle(t, r)

		t.Log("an entry that cannot be read costs its ENI alone")
		must(t, r.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultNoKeys, ENI: broken.ID}))
		a := assign(t, r, e)
		if _, err := r.Await(patient(t), a); err != nil {
			t.Error(err)
		}
		everyAddress(t, r)
		r.Cloud.ClearFault()
		settle(t, r)
	})
}

// outage waits until the daemon has been answered, or not, twice at least.
func outage(t *testing.T, r *rig.Rig) {
	t.Helper()
	r.Cloud.ResetRequests(r.Instance)
	eventually(t, "the daemon does not ask", func() bool {
		return slices.ContainsFunc(r.Cloud.Requests(r.Instance), func(q cloud.Request) bool { return q.Count >= 3 })
	})
}
