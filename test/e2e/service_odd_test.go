package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	vpcapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"

	"enid/agent"
	"enid/metadata"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
)

// TestServiceOddities: what an ENI of JD Cloud can be beside the usual, all of it known from the OpenAPI alone.
func TestServiceOddities(t *testing.T) {
	t.Parallel()
	s := newService(t)
	start(t, s.a)
	eni := s.create(t, "subnet-b", 1)
	s.attach(t, "i-a", eni)
	settle(t, s.a)
	nic := s.a.NIC(must1[cloud.ENI](t)(s.Cloud.DescribeENI(eni)).MAC)

	t.Log("addresses that are somebody else's on the same NIC, such as HaVips and public ones of the mode EIP_VISIBLE, stay")
	for _, a := range []string{"10.0.1.200/32", "198.18.9.9/32"} {
		_ = must1[string](t)(s.a.VM.Run(patient(t), "ip", "addr", "add", a, "dev", nic))
	}

	t.Log("a secondary block is routed by its source, and not configured")
	r := vpcapi.NewAssignSecondaryIpsRequest(region, eni)
	r.SetSecondaryIpMaskLen(28)
	assigned, err := s.vpc.AssignSecondaryIps(r)
	agreed(t, err, func() refusal { return assigned.Error })
	block := must1[cloud.ENI](t)(s.Cloud.DescribeENI(eni)).Prefixes[0]
	eventually(t, "there is a rule for the block", func() bool {
		return strings.Contains(must1[string](t)(s.a.VM.Run(patient(t), "ip", "rule")), "from "+block.String())
	})
	if on(s.a, block.Addr()) || on(s.a, block.Addr().Next()) {
		t.Errorf("addresses of the block %s are on the NIC", block)
	}

	t.Log("a secondary address of another subnet is reached from everywhere, its own subnet too, and leaves by its ENI as well")
	must(t, s.Cloud.AssignSecondary(eni, cloud.AssignOptions{Count: 1, Subnet: "subnet-c"}))
	all := must1[cloud.ENI](t)(s.Cloud.DescribeENI(eni)).Addresses
	foreign := all[slices.IndexFunc(all, netip.MustParsePrefix("10.0.2.0/24").Contains)]
	converged(t, s.a)
	if by, err := s.a.VM.Egress(foreign, s.Lab.Outside().Addr(foreign)); err != nil || by != nic {
		t.Errorf("%s leaves by %q, want %s (%v)", foreign, by, nic, err)
	}
	must(t, s.a.VM.ServeEcho())
	for _, cell := range lab.Failed(must1[[]lab.ProbeResult](t)(s.Lab.Matrix(patient(t), s.a.VM, []netip.Addr{foreign}))) {
		t.Errorf("not reached: %s", cell)
	}
	released(t, s, eni, foreign)

	t.Log("the ENI gets another MAC")
	changed := metadata.MAC{0xfa, 0x16, 0x3e, 0xa8, 0xa4, 0x01}
	must(t, s.Cloud.ModifyENI(eni, cloud.ENIChange{MAC: &changed}))
	settle(t, s.a)
	await(t, s.a, func(st *agent.Status) bool {
		return len(st.ENIs) == 2 && slices.ContainsFunc(st.ENIs, func(e agent.ENIStatus) bool { return e.MAC == changed && e.Phase == netcfg.Phase("configured") })
	})
	everyAddress(t, s.a)
}

func released(t *testing.T, s *service, eni string, a netip.Addr) {
	t.Helper()
	if !on(s.a, netip.MustParseAddr("10.0.1.200")) || !on(s.a, netip.MustParseAddr("198.18.9.9")) {
		t.Error("an address that enid had not added is gone")
	}
	must(t, s.Cloud.UnassignSecondary(eni, []netip.Addr{a}, nil, false))
	eventually(t, "a released address goes", func() bool { return !on(s.a, a) })
}
