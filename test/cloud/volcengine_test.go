package cloud_test

import (
	"strings"
	"testing"

	"enid/test/cloud"
)

func TestVolcengineRules(t *testing.T) {
	c, primary := small(t)
	c.SetTokenRequired(false)
	h := c.Handler("i-1", cloud.Volcengine)
	mac := primary.MAC.String()
	nic := "/latest/network/interfaces/macs/" + mac
	for path, want := range map[string]string{
		"/latest/network/interfaces/macs":            mac,
		"/volcstack/latest/network/interfaces/macs":  mac,
		"/latest/instance_id":                        "i-1",
		nic + "/private_ipv4s":                       "10.0.0.3",
		strings.ToUpper(nic) + "/primary_ip_address": "10.0.0.3",
		nic + "/gateway":                             "10.0.0.1",
		nic + "/subnet_cidr_block":                   "10.0.0.0/24",
		nic + "/private_ipv6s":                       "404",
		nic + "/":                                    "404",
		"/latest/meta-data/mac":                      "404",
	} {
		compare(t, path+" "+want, path+" "+get(h, path))
	}
}
