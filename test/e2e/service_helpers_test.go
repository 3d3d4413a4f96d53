package e2e

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/client"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/client"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
	"enid/test/lab"
	"enid/test/rig"
)

const region = cloud.Region

// service is JD Cloud with two VMs, asked by the official SDK. The enids learn what the metadata does not say from the
// OpenAPI, with the credentials of their instance's role.
type service struct {
	*rig.Site
	a, b *rig.Rig // the VMs i-a and i-b
	api  *openapi.Service
	vpc  *vpc.VpcClient
	vm   *vm.VmClient
}

func newService(t *testing.T) *service {
	t.Helper()
	c := cloud.New()
	site, api, err := rig.NewJDCloud(rig.Options{Enid: os.Getenv(binary)}, c)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{Site: site, api: api}
	t.Cleanup(func() { s.close(t) })
	for i, id := range rig.SubnetNames {
		p := netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i))
		must(t, c.CreateSubnet(cloud.Subnet{ID: id, IPv4: p}))
		_ = must1[*lab.Subnet](t)(site.AddSubnet(id, p))
	}
	for _, id := range []string{"i-a", "i-b"} {
		_ = must1[cloud.Instance](t)(c.RunInstance(cloud.InstanceOptions{ID: id, Subnet: "subnet-a", VCPU: 4}))
	}
	must(t, site.Err())
	s.a, s.b = &rig.Rig{Site: site, Machine: site.Machine("i-a")}, &rig.Rig{Site: site, Machine: site.Machine("i-b")}
	s.connect(t)
	return s
}

// connect makes the SDK's clients, which know nothing but an address and a key.
func (s *service) connect(t *testing.T) {
	s.api.AddKey("operator", "secret")
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	config := &core.Config{Scheme: core.SchemeHttp, Endpoint: strings.TrimPrefix(server.URL, "http://"), Timeout: patience}
	key := core.NewCredentials("operator", "secret")
	s.vpc, s.vm = vpc.NewVpcClient(key), vm.NewVmClient(key)
	s.vpc.SetConfig(config)
	s.vm.SetConfig(config)
	s.vpc.SetLogger(core.NewDummyLogger())
	s.vm.SetLogger(core.NewDummyLogger())
}

// close fails the test for what newRig fails it for.
func (s *service) close(t *testing.T) {
	if s.a != nil && s.b != nil {
		noSpoofs(t, s.a)
	}
	if err := s.Err(); err != nil {
		t.Errorf("the laboratory did not follow the cloud: %v", err)
	}
	var log strings.Builder
	for _, r := range []*rig.Rig{s.a, s.b} {
		if r != nil {
			log.WriteString(r.Log())
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close the site: %v", err)
	}
	if strings.Contains(log.String(), "DATA RACE") || strings.Contains(log.String(), "panic:") {
		t.Error("a daemon raced or panicked")
	}
	if t.Failed() {
		t.Logf("what the enids wrote:\n%s", log.String())
	}
}

// refusal is how the SDK shows that the cloud refuses.
type refusal = core.ErrorResponse

// agreed fails the test unless the cloud did what it was asked.
func agreed(t *testing.T, err error, refused func() refusal) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if r := refused(); r.Code != 0 {
		t.Fatalf("the cloud refuses: %+v", r)
	}
}

// refused fails the test unless the cloud refuses like that.
func refused(t *testing.T, err error, got func() refusal, want refusal) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if r := got(); r != want {
		t.Errorf("the cloud answers %+v, want %+v", r, want)
	}
}

// on reports whether an address is on some NIC of a VM.
func on(r *rig.Rig, a netip.Addr) bool {
	addrs, err := r.VM.Netlink().AddrList(nil, 0)
	if err != nil {
		return false
	}
	for _, x := range addrs {
		if x.IP.Equal(a.AsSlice()) {
			return true
		}
	}
	return false
}

// secondaries are the addresses of an ENI but its first.
func (s *service) secondaries(t *testing.T, eni string) []netip.Addr {
	t.Helper()
	return slices.Clone(must1[cloud.ENI](t)(s.Cloud.DescribeENI(eni)).Addresses[1:])
}
