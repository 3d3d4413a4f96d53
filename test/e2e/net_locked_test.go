package e2e

import (
	"testing"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// lock keeps everybody from the metadata service whose packets do not bear the mark, as
// systemd-imdsd does (facts on systemd 261): a prohibit route in main, the real one in a table of its own.
const lock = `
ip route add prohibit 169.254.169.254
ip route add 169.254.169.254 via 10.0.0.1 table 2147420181
ip rule add priority 1000 fwmark 0x7fff0815 lookup 2147420181`

// TestLockedMetadata: a service that is locked is reached with the mark that may pass, and
// without it the error says what locks it and which setting helps.
func TestLockedMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	sh(t, r, lock)
	enid(t, r, "apply").ends(t, 1, "permission denied", "a prohibit route or a firewall locks the service", "set metadata.mark", "0x7fff0815")
	edit(t, r, "metadata:\n", "metadata:\n  mark: 7\n")
	enid(t, r, "apply").ends(t, 1, "also for the mark 0x7 of metadata.mark")

	edit(t, r, "mark: 7\n", "mark: 0x7fff0815\n")
	d := start(t, r)
	attach(t, r, "subnet-b", 2)
	settle(t, r)
	edit(t, r, "mark: 0x7fff0815\n", "mark: 0\n")
	await(t, r, func(s *agent.Status) bool { return !s.Metadata.OK })
	everyAddress(t, r)
	edit(t, r, "mark: 0\n", "mark: 0x7fff0815\n")
	settle(t, r)
	stop(t, d)
}

// TestBoundMetadata: the service is asked by the NIC that the configuration names, whatever main says.
func TestBoundMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2})
	sh(t, r, "ip link add blind type bridge && ip link set blind up && ip addr add 192.0.2.1/24 dev blind && ip route add 169.254.169.254 dev blind")
	edit(t, r, "metadata:\n", "metadata:\n  interface: eth9\n")
	enid(t, r, "apply").ends(t, 1, "bind the connection to metadata.interface eth9: no such device; name a NIC of this host, or none")
	edit(t, r, "eth9", "blind")
	enid(t, r, "apply").ends(t, 1, "metadata service http://169.254.169.254")
	edit(t, r, "blind", r.NIC(r.Primary.MAC))
	start(t, r)
}
