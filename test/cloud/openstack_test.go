package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"

	"enid/test/cloud"
)

const networkData = "/openstack/latest/network_data.json"

func TestOpenStackDocuments(t *testing.T) {
	c := tour(t)
	h := c.Handler("i-1", cloud.OpenStack)
	golden(t, "openstack", get(h, networkData)+"\n")
	compare(t, c.Describe("i-1")[0].Addresses[0].String(), get(h, "/latest/meta-data/local-ipv4"))
	compare(t, true, strings.Contains(get(h, "/openstack/latest/meta_data.json"), `"uuid":"i-1"`))
	compare(t, 404, ask(h, "GET", "/latest/meta-data/network/interfaces/macs/").Code)
	compare(t, 405, ask(h, "PUT", networkData).Code)

	c.SetOpenStackStyle(cloud.OpenStackStyle{DHCP: true})
	compare(t, false, strings.Contains(get(h, networkData), "10.0."))
	c.SetOpenStackStyle(cloud.OpenStackStyle{Huawei: true})
	golden(t, "openstack-huawei", get(h, networkData)+"\n")
}

func TestOpenStackTokens(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.OpenStack)
	c.SetOpenStackStyle(cloud.OpenStackStyle{Tokens: true})
	compare(t, 401, ask(h, "GET", networkData).Code)
	token := ask(h, "PUT", "/meta-data/latest/api/token", "X-Metadata-Token-Ttl-Seconds", "60").Body.String()
	compare(t, 200, ask(h, "GET", networkData, "X-Metadata-Token", token).Code)
	c.RevokeTokens()
	compare(t, 401, ask(h, "GET", networkData, "X-Metadata-Token", token).Code)
}

// A port that is not ready is listed, and has no network yet.
func TestOpenStackFaults(t *testing.T) {
	c, _ := small(t)
	h := c.Handler("i-1", cloud.OpenStack)
	count := func() (links, networks int) {
		var d struct{ Links, Networks []any }
		must(t, json.Unmarshal([]byte(get(h, networkData)), &d))
		return len(d.Links), len(d.Networks)
	}
	links, networks := count()
	compare(t, true, links > 0 && networks > 0)
	must(t, c.SetFault(cloud.Fault{Kind: cloud.FaultNoKeys}))
	n, m := count()
	compare(t, [2]int{links, 0}, [2]int{n, m})
}
