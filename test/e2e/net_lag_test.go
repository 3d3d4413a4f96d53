package e2e

import (
	"slices"
	"testing"
	"time"

	"enid/agent"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/rig"
)

// detachAfter is the shortest time that the configuration takes.
const detachAfter = time.Second

// long is how long the metadata is late in these tests: longer than some polls.
const long = 3 * time.Second

// late are the ways in which metadata is late about a NIC that is there.
func TestMetadataLate(t *testing.T) {
	for _, c := range []struct {
		name    string
		dialect cloud.Dialect
		late    func(*cloud.Cloud)
	}{
		{"ec2 all of it", cloud.EC2, func(c *cloud.Cloud) { c.SetDelay(long) }},
		{"jdcloud all of it", cloud.JDCloud, func(c *cloud.Cloud) { c.SetDelay(long) }},
		{"ec2 keys after MAC", cloud.EC2, func(c *cloud.Cloud) { c.SetPropagation(cloud.Propagation{Keys: long}) }},
		{"jdcloud keys after index", cloud.JDCloud, func(c *cloud.Cloud) { c.SetPropagation(cloud.Propagation{Keys: long}) }},
		{"ec2 device-number 0", cloud.EC2, func(c *cloud.Cloud) { c.SetPropagation(cloud.Propagation{DeviceNumber: time.Hour}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rig.Options{Dialect: c.dialect, Poll: time.Minute})
			start(t, r)
			c.late(r.Cloud)
			e := attach(t, r, "subnet-b", 3)
			settle(t, r)
			everyAddress(t, r)
			await(t, r, func(s *agent.Status) bool {
				return slices.ContainsFunc(s.ENIs, func(x agent.ENIStatus) bool { return x.MAC == e.MAC && x.Slot != netcfg.Primary && !x.Primary })
			})
		})
	}
}

// TestMetadataFirst: the metadata lists an ENI whose NIC comes later.
func TestMetadataFirst(t *testing.T) {
	for _, dialect := range []cloud.Dialect{cloud.EC2, cloud.JDCloud, cloud.File} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rig.Options{Dialect: dialect})
			start(t, r)
			before := kernel(t, r)
			r.NICsByHand(true)
			e := attach(t, r, "subnet-b", 3)
			inPhase(t, r, e.MAC, netcfg.Waiting)
			same(t, r, before, "while the NIC is not there")
			must(t, r.Plug(e))
			settle(t, r)
			everyAddress(t, r)
		})
	}
}

// TestDetach: whichever of NIC and metadata goes first, nothing of enid's is left in the end.
func TestDetach(t *testing.T) {
	for _, dialect := range []cloud.Dialect{cloud.EC2, cloud.JDCloud, cloud.File} {
		for name, detach := range map[string]func(*testing.T, *rig.Rig, cloud.ENI, []string){
			"NIC first": nicFirst, "metadata first": metadataFirst,
		} {
			t.Run(string(dialect)+" "+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rig.Options{Dialect: dialect, PrimarySecondary: 1, DetachAfter: detachAfter})
				start(t, r)
				kept := attach(t, r, "subnet-c", 2)
				settle(t, r)
				before := kernel(t, r)
				e := attach(t, r, "subnet-b", 3)
				settle(t, r)
				traffic := flows(t, r, kept.Addresses[0])
				detach(t, r, e, before)
				lossless(t, "detach of another ENI", traffic)
				settle(t, r)
				same(t, r, before, "by an ENI that came and went")
				everyAddress(t, r)
			})
		}
	}
}

// nicFirst lets the metadata list the ENI for some time after its NIC is gone: what is left goes at once.
func nicFirst(t *testing.T, r *rig.Rig, e cloud.ENI, before []string) {
	r.Cloud.SetPropagation(cloud.Propagation{Linger: long})
	if r.Dialect == cloud.File {
		r.NICsByHand(true)
		must(t, r.Unplug(e.MAC))
	} else {
		must(t, r.Cloud.Detach(r.Instance, e.ID))
	}
	eventually(t, "something of the NIC that is gone is left", func() bool { return slices.Equal(kernel(t, r), before) })
	if r.Dialect == cloud.File {
		must(t, r.Cloud.Detach(r.Instance, e.ID))
	}
}

// metadataFirst leaves the NIC in the VM. As long as it is there, it goes back to what it was before enid: down and bare.
func metadataFirst(t *testing.T, r *rig.Rig, e cloud.ENI, _ []string) {
	r.NICsByHand(true)
	must(t, r.Cloud.Detach(r.Instance, e.ID))
	gone(t, r, e)
	eventually(t, "the NIC is not put back", func() bool {
		link, err := r.VM.Netlink().LinkByName(r.NIC(e.MAC))
		return err == nil && link.Attrs().RawFlags&1 == 0 && link.Attrs().Group == 0
	})
	must(t, r.Unplug(e.MAC))
}

// TestMoved: an address that moves from one ENI to another is with one of them at every time.
func TestMoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	start(t, r)
	from, to := attach(t, r, "subnet-b", 3), attach(t, r, "subnet-b", 3)
	settle(t, r)
	moved := from.Addresses[2]
	must(t, r.Cloud.Assign(to.ID, moved))
	eventually(t, "the address does not arrive", func() bool {
		owners, err := r.Lab.ARPOwner(t.Context(), r.Subnet("subnet-b"), moved)
		if err == nil && len(owners[moved]) > 1 {
			t.Fatalf("two NICs answer for %s: %v", moved, owners[moved])
		}
		return err == nil && slices.Contains(owners[moved], to.MAC)
	})
	settle(t, r)
	everyAddress(t, r)
}
