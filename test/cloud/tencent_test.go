package cloud_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

func TestTencentTree(t *testing.T) {
	c := tour(t)
	h := c.Handler("i-1", cloud.Tencent)
	tree := walk(h, "/latest/meta-data/", lfList)
	golden(t, "tencent", tree)
	for _, version := range []string{"/1.0/", "/2017-09-19/", "/"} {
		other := walk(h, version+"meta-data/", lfList)
		compare(t, strings.ReplaceAll(tree, "/latest/meta-data/", "/meta-data/"), strings.ReplaceAll(other, version+"meta-data/", "/meta-data/"))
	}
}

func TestTencentRules(t *testing.T) {
	c, primary := small(t)
	h := c.Handler("i-1", cloud.Tencent)
	const macs = "/latest/meta-data/network/interfaces/macs/"
	upper := strings.ToUpper(primary.MAC.String())
	for path, want := range map[string]string{
		"/latest/meta-data/mac":        upper,
		macs:                           upper + "/",
		macs + upper + "/local-ipv4s/": "10.0.0.3/",
		macs + upper + "/public-ipv4s": "404",
		macs + upper + "/interface-id": "404",
		macs + upper + "/local-ipv4s/10.0.0.3/public-ipv4":        "404",
		macs + upper + "/local-ipv4s/10.0.0.4/gateway":            "404",
		macs + primary.MAC.String() + "/local-ipv4s/":             "404", // the path is not in the listing's case
		strings.ToLower(macs) + upper + "/Local-IPv4s/":           "404",
		"/2020-01-01/meta-data/mac":                               "404",
		macs + upper + "/local-ipv4s/10.0.0.3/gateway":            "10.0.0.1",
		macs + upper + "/local-ipv4s/10.0.0.3/subnet-mask":        "255.255.255.0",
		"/latest/meta-data/network/interfaces/" + "macs/" + upper: "local-ipv4s/\nlocal-ipv4s/\nmac\nowner-id\nprimary-local-ipv4\nsubnet-id\nvpc-id",
	} {
		compare(t, path+" "+want, path+" "+get(h, path))
	}
	compare(t, http.StatusMethodNotAllowed, ask(h, "PUT", "/latest/meta-data/mac").Code)
}

// A secondary address of another subnet has that subnet's gateway and mask.
func TestTencentOtherSubnet(t *testing.T) {
	c, primary := small(t)
	must(t, c.CreateSubnet(cloud.Subnet{ID: "subnet-c", IPv4: prefix("10.0.16.0/20")}))
	must(t, c.AssignSecondary(primary.ID, cloud.AssignOptions{Subnet: "subnet-c", Addresses: addrs("10.0.16.9")}))
	h := c.Handler("i-1", cloud.Tencent)
	nic := "/latest/meta-data/network/interfaces/macs/" + strings.ToUpper(primary.MAC.String()) + "/local-ipv4s/"
	compare(t, "10.0.0.3/\n10.0.16.9/", get(h, nic))
	compare(t, "10.0.0.1 255.255.255.0", get(h, nic+"10.0.0.3/gateway")+" "+get(h, nic+"10.0.0.3/subnet-mask"))
	compare(t, "10.0.16.1 255.255.240.0", get(h, nic+"10.0.16.9/gateway")+" "+get(h, nic+"10.0.16.9/subnet-mask"))
}

func TestTencentSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		c.SetPropagation(cloud.Propagation{Keys: 10 * time.Second, Linger: time.Minute})
		h := c.Handler("i-1", cloud.Tencent)
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
		one, other := strings.ToUpper(primary.MAC.String())+"/", strings.ToUpper(e.MAC.String())+"/"
		const macs = "/latest/meta-data/network/interfaces/macs/"
		see := func() []string {
			return []string{get(h, macs), get(h, macs+other), get(h, macs+other+"primary-local-ipv4")}
		}
		const keys = "local-ipv4s/\nlocal-ipv4s/\nmac\nowner-id\nprimary-local-ipv4\nsubnet-id\nvpc-id"

		must(t, c.Attach("i-1", e.ID))
		compare(t, []string{one + "\n" + other, "404", "404"}, see())
		time.Sleep(10 * time.Second)
		compare(t, []string{one + "\n" + other, keys, "10.0.1.3"}, see())
		must(t, c.Detach("i-1", e.ID))
		compare(t, []string{one + "\n" + other, keys, "10.0.1.3"}, see())
		time.Sleep(time.Minute)
		compare(t, []string{one, "404", "404"}, see())
	})
}

func TestTencentFaults(t *testing.T) {
	c, primary := small(t)
	h := c.Handler("i-1", cloud.Tencent)
	upper := strings.ToUpper(primary.MAC.String())
	const macs = "/latest/meta-data/network/interfaces/macs/"
	for kind, want := range map[cloud.FaultKind][]string{
		cloud.FaultNoMAC:       {"", "404", "404"},
		cloud.FaultNoKeys:      {upper + "/", "404", "404"},
		cloud.FaultNoAddresses: {upper + "/", "", ""},
	} {
		must(t, c.SetFault(cloud.Fault{Kind: kind}))
		compare(t, want, []string{get(h, macs), get(h, macs+upper+"/local-ipv4s/"), get(h, macs+upper+"/primary-local-ipv4")})
		compare(t, upper, get(h, "/latest/meta-data/mac"))
	}
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 503}))
	compare(t, "503", get(h, macs))
}
