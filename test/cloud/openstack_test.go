package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// Nova answers from a cache: what has changed since is seen when the answer is too old.
func TestOpenStackCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := small(t)
		h := c.Handler("i-1", cloud.OpenStack)
		c.SetOpenStackStyle(cloud.OpenStackStyle{Cached: 15 * time.Second})
		before := get(h, networkData)
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
		must(t, c.Attach("i-1", e.ID))
		time.Sleep(15*time.Second - time.Nanosecond)
		compare(t, before, get(h, networkData))
		time.Sleep(time.Nanosecond)
		compare(t, true, strings.Contains(get(h, networkData), e.MAC.String()))
		must(t, c.Detach("i-1", e.ID))
		compare(t, true, strings.Contains(get(h, networkData), e.MAC.String()))
		c.SetOpenStackStyle(cloud.OpenStackStyle{})
		compare(t, before, get(h, networkData))
	})
}

// A config drive has what the service says, and EC2's tree in one document.
func TestConfigDrive(t *testing.T) {
	c, primary := small(t)
	h := c.Handler("i-1", cloud.OpenStack)
	drive := value(c.ConfigDrive("i-1"))(t)
	compare(t, get(h, networkData), string(drive["openstack/latest/network_data.json"]))
	compare(t, get(h, "/openstack/latest/meta_data.json"), string(drive["openstack/latest/meta_data.json"]))
	compare(t, `{"instance-id":"i-1","local-ipv4":"`+primary.Addresses[0].String()+`"}`, string(drive["ec2/latest/meta-data.json"]))
	compare(t, "404", get(h, "/ec2/latest/meta-data.json"))
	if _, err := c.ConfigDrive("i-9"); err == nil {
		t.Error("there is a drive of an instance that is not there")
	}
}
