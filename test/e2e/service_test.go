package e2e

import (
	"io"
	"net/netip"
	"slices"
	"testing"

	vmapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vmmodels "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
	vpcapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpcmodels "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/lab"
)

// TestServiceOperations: each operation of the service, asked for by the official SDK, ends in right packets.
func TestServiceOperations(t *testing.T) {
	t.Parallel()
	s := newService(t)
	start(t, s.a)
	start(t, s.b)

	one := s.create(t, "subnet-b", 2)
	s.attach(t, "i-a", one)
	settle(t, s.a)
	everyAddress(t, s.a)

	t.Log("assign: chosen by the cloud")
	r := vpcapi.NewAssignSecondaryIpsRequest(region, one)
	r.SetSecondaryIpCount(1)
	assigned, err := s.vpc.AssignSecondaryIps(r)
	agreed(t, err, func() refusal { return assigned.Error })
	settle(t, s.a)

	t.Log("an address fails over: it is pre-empted by an ENI of the other VM")
	two := s.create(t, "subnet-b", 0)
	s.attach(t, "i-b", two)
	settle(t, s.b)
	moving := s.secondaries(t, one)[0]
	r = vpcapi.NewAssignSecondaryIpsRequest(region, two)
	r.SetSecondaryIps([]string{moving.String()})
	assigned, err = s.vpc.AssignSecondaryIps(r)
	agreed(t, err, func() refusal { return assigned.Error })
	settle(t, s.b)
	eventually(t, "the old holder lets the address go", func() bool { return !on(s.a, moving) })
	settle(t, s.a)
	everyAddress(t, s.a)
	everyAddress(t, s.b)

	t.Log("release")
	u := vpcapi.NewUnassignSecondaryIpsRequest(region, two)
	u.SetSecondaryIps([]string{moving.String()})
	released, err := s.vpc.UnassignSecondaryIps(u)
	agreed(t, err, func() refusal { return released.Error })
	eventually(t, "a released address goes", func() bool { return !on(s.b, moving) })

	s.publicAddress(t, one)
	s.moves(t, one, two)
}

// publicAddress binds one to a secondary address, sees it in the status and connections by it both ways, and
// unbinds it.
func (s *service) publicAddress(t *testing.T, eni string) {
	t.Helper()
	made, err := s.vpc.CreateElasticIps(vpcapi.NewCreateElasticIpsRequest(region, 1, &vpcmodels.ElasticIpSpec{BandwidthMbps: 1, Provider: "bgp"}))
	agreed(t, err, func() refusal { return made.Error })
	private := s.secondaries(t, eni)[0]
	b := vpcapi.NewAssociateElasticIpRequest(region, eni)
	b.SetElasticIpId(made.Result.ElasticIpIds[0])
	b.SetPrivateIpAddress(private.String())
	bound, err := s.vpc.AssociateElasticIp(b)
	agreed(t, err, func() refusal { return bound.Error })
	public := must1[cloud.ENI](t)(s.Cloud.DescribeENI(eni)).Public[private]
	shown := func(s *agent.Status) bool {
		return slices.ContainsFunc(s.ENIs, func(e agent.ENIStatus) bool {
			return slices.Contains(e.Addresses, agent.AddressStatus{Address: private, Present: true, Public: public})
		})
	}
	await(t, s.a, shown)
	outside := s.Lab.Outside()
	must(t, outside.Exchange(patient(t), "tcp", netip.Addr{}, netip.AddrPortFrom(public, lab.EchoPort)))
	teller := must1[io.Closer](t)(outside.TellSource())
	defer teller.Close()
	if seen := must1[netip.Addr](t)(s.a.VM.SeenBy(patient(t), private, outside.Addrs[0])); seen != public {
		t.Errorf("outside %s is seen as %s, want %s", private, seen, public)
	}
	d := vpcapi.NewDisassociateElasticIpRequest(region, eni)
	d.SetElasticIpId(made.Result.ElasticIpIds[0])
	unbound, err := s.vpc.DisassociateElasticIp(d)
	agreed(t, err, func() refusal { return unbound.Error })
	await(t, s.a, func(s *agent.Status) bool { return !shown(s) })
}

// moves detaches an ENI, attaches it to the other VM with its addresses, sets it to go with that, and terminates it.
func (s *service) moves(t *testing.T, one, two string) {
	t.Helper()
	detached, err := s.vm.DetachNetworkInterface(vmapi.NewDetachNetworkInterfaceRequest(region, "i-a", one))
	agreed(t, err, func() refusal { return detached.Error })
	s.attach(t, "i-b", one)
	settle(t, s.b)
	settle(t, s.a)
	everyAddress(t, s.a)
	everyAddress(t, s.b)
	yes := true
	set, err := s.vm.ModifyInstanceNetworkAttribute(vmapi.NewModifyInstanceNetworkAttributeRequest(region, "i-b",
		[]vmmodels.InstanceNetworkAttribute{{NetworkInterfaceId: &one, AutoDelete: &yes}}))
	agreed(t, err, func() refusal { return set.Error })
	primary := s.b.Primary.ID
	ended, err := s.vm.DeleteInstance(vmapi.NewDeleteInstanceRequest(region, "i-b"))
	agreed(t, err, func() refusal { return ended.Error })
	for _, gone := range []string{one, primary} {
		if _, err := s.Cloud.DescribeENI(gone); err == nil {
			t.Errorf("%s is still there after its instance was terminated", gone)
		}
	}
	if e, err := s.Cloud.DescribeENI(two); err != nil || e.Instance != "" {
		t.Errorf("%s should be left, detached: %+v (%v)", two, e, err)
	}
	everyAddress(t, s.a)
}

// TestServiceRefuses: quotas and constraints refuse with the documented error, and nothing changes in the VM.
func TestServiceRefuses(t *testing.T) {
	t.Parallel()
	s := newService(t)
	start(t, s.a)
	var last string
	for range 4 { // four vCPUs have four ENIs, the primary included
		last = s.create(t, "subnet-b", 0)
		if len(s.Cloud.Describe("i-a")) < 4 {
			s.attach(t, "i-a", last)
		}
	}
	settle(t, s.a)
	writes := s.a.Log()
	over, err := s.vm.AttachNetworkInterface(vmapi.NewAttachNetworkInterfaceRequest(region, "i-a", last))
	refused(t, err, func() refusal { return over.Error }, refusal{Code: 400, Status: "FAILED_PRECONDITION", Message: "Flavor constraints. NetworkInterface limit exceeded"})
	taken, err := s.vm.AttachNetworkInterface(vmapi.NewAttachNetworkInterfaceRequest(region, "i-b", s.Cloud.Describe("i-a")[1].ID))
	refused(t, err, func() refusal { return taken.Error }, refusal{Code: 400, Status: "FAILED_PRECONDITION", Message: "NetworkInterface has been attached on other device"})
	primary, err := s.vm.DetachNetworkInterface(vmapi.NewDetachNetworkInterfaceRequest(region, "i-a", s.a.Primary.ID))
	refused(t, err, func() refusal { return primary.Error }, refusal{Code: 400, Status: "FAILED_PRECONDITION", Message: "Can't detach primaryNetworkInterface"})
	everyAddress(t, s.a)
	if now := s.a.Log(); now != writes {
		t.Errorf("enid did something about what was refused:\n%s", now[len(writes):])
	}
}

func (s *service) create(t *testing.T, subnet string, secondary int) string {
	t.Helper()
	r := vpcapi.NewCreateNetworkInterfaceRequest(region, subnet)
	if secondary > 0 {
		r.SetSecondaryIpCount(secondary)
	}
	resp, err := s.vpc.CreateNetworkInterface(r)
	agreed(t, err, func() refusal { return resp.Error })
	return resp.Result.NetworkInterfaceId
}

func (s *service) attach(t *testing.T, instance, eni string) {
	t.Helper()
	resp, err := s.vm.AttachNetworkInterface(vmapi.NewAttachNetworkInterfaceRequest(region, instance, eni))
	agreed(t, err, func() refusal { return resp.Error })
}
