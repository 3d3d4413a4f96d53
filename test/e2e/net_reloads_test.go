package e2e

import (
	"slices"
	"testing"

	"enid/test/cloud"
	"enid/test/rig"
)

// A network manager that removes every rule and route of others with each reload, as systemd-networkd does: after
// each of twenty in a row everything is back and works. How soon is for make bench to say.
func TestReloads(t *testing.T) {
	t.Parallel()
	r := newRig(t, rig.Options{Dialect: cloud.EC2, IPv6: true, PrimarySecondary: 1})
	e := attach(t, r, "subnet-b", 3)
	start(t, r)
	settle(t, r)
	before := kernel(t, r)
	for range 20 {
		sh(t, r, `ip rule flush protocol 225; ip -6 rule flush protocol 225
			for t in 20000 20001 20900; do ip route flush table $t protocol 225; ip -6 route flush table $t protocol 225; done 2>/dev/null; true`)
		// Nothing is sent before: without rules it leaves by the primary, until they are back.
		eventually(t, "what was removed does not come back", func() bool { return slices.Equal(before, kernel(t, r)) })
		_, err := r.Await(patient(t), e.Addresses...)
		must(t, err)
	}
	converged(t, r)
}
