package cloud_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

const (
	macsPath    = "/latest/meta-data/network/interfaces/macs/"
	networkPath = "/metadata/latest/network/"
	customPath  = "/metadata/latest/attributes/customdata/custom-metadata/enid"
)

// Everything that the metadata shows waits for the delay, in whole steps, and
// the model does not.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		h := c.Handler("i-1", cloud.EC2)
		c.SetTokenRequired(false)
		ipv4s := func() string { return get(h, macsPath+primary.MAC.String()+"/local-ipv4s") }

		c.SetDelay(20 * time.Second)
		must(t, c.Assign(primary.ID, addr("10.0.0.5")))
		compare(t, 2, len(c.Describe("i-1")[0].Addresses))
		time.Sleep(10 * time.Second)
		must(t, c.Assign(primary.ID, addrs("10.0.0.6", "10.0.0.7")...))
		time.Sleep(10*time.Second - time.Nanosecond)
		compare(t, "10.0.0.3", ipv4s())
		time.Sleep(time.Nanosecond)
		compare(t, "10.0.0.3\n10.0.0.5", ipv4s())
		time.Sleep(10*time.Second - time.Nanosecond)
		compare(t, "10.0.0.3\n10.0.0.5", ipv4s())
		time.Sleep(time.Nanosecond)
		compare(t, "10.0.0.3\n10.0.0.5\n10.0.0.6\n10.0.0.7", ipv4s())
	})
}

// Only what waits follows a new delay: nothing that was seen is hidden again.
func TestDelayChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		h := c.Handler("i-1", cloud.JDCloud)
		must(t, c.SetCustom("i-1", "enid", "one"))
		c.SetDelay(time.Hour)
		compare(t, `"one"`, get(h, customPath))
		must(t, c.SetCustom("i-1", "enid", "two"))
		compare(t, `"one"`, get(h, customPath))
		c.SetDelay(0)
		compare(t, `"two"`, get(h, customPath))

		// The automation's document is as late as the rest.
		must(t, c.AutoCustom("i-1", true))
		before := value(c.Document("i-1"))(t)
		c.SetDelay(time.Minute)
		must(t, c.Assign(primary.ID, addr("10.0.0.77")))
		time.Sleep(time.Minute - time.Nanosecond)
		compare(t, string(before), string(value(c.Document("i-1"))(t)))
		compare(t, false, strings.Contains(get(h, customPath), "10.0.0.77"))
		time.Sleep(time.Nanosecond)
		compare(t, true, strings.Contains(get(h, customPath), "10.0.0.77"))
		c.SetJDStyle(cloud.JDStyle{Bare: true})
		compare(t, string(value(c.Document("i-1"))(t)), get(h, customPath))
		compare(t, true, strings.Contains(get(h, customPath), "10.0.0.77"))
		must(t, c.AutoCustom("i-1", false))
		time.Sleep(time.Minute)
		compare(t, "two", get(h, customPath))
	})
}

func TestPropagation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, primary := small(t)
		c.SetTokenRequired(false)
		c.SetDelay(5 * time.Second)
		c.SetPropagation(cloud.Propagation{Keys: 10 * time.Second, DeviceNumber: 20 * time.Second, Linger: time.Minute})
		ec2, jd := c.Handler("i-1", cloud.EC2), c.Handler("i-1", cloud.JDCloud)
		e := value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t)
		nic := macsPath + e.MAC.String()
		// What both dialects show: the list, a key, the device-number.
		see := func() []string {
			return []string{
				get(ec2, macsPath), get(ec2, nic+"/"), get(ec2, nic+"/local-ipv4s"), get(ec2, nic+"/device-number"),
				get(jd, networkPath), get(jd, networkPath+"2/"), get(jd, networkPath+"2/local-ipv4"),
			}
		}
		one, both := primary.MAC.String()+"/", primary.MAC.String()+"/\n"+e.MAC.String()+"/"
		const keys = "interface-id\nlocal-hostname\nlocal-ipv4s\nmac\nowner-id\nsecurity-group-ids\nsecurity-groups\nsubnet-id\n" +
			"subnet-ipv4-cidr-block\nvpc-id\nvpc-ipv4-cidr-block\nvpc-ipv4-cidr-blocks\nvpc-ipv6-cidr-blocks"
		const jdKeys = `["local-ipv4","floating-ipv4","mac","network-interface-id","subnet-id","security-group-ids"]`
		absent := []string{one, "404", "404", "404", `["1/"]`, "404", "404"}
		shown := []string{both, "device-number\n" + keys, "10.0.1.3", "1", `["1/","2/"]`, jdKeys, `"10.0.1.3"`}

		must(t, c.Attach("i-1", e.ID))
		compare(t, absent, see())
		time.Sleep(5 * time.Second)
		compare(t, []string{both, "404", "404", "404", `["1/","2/"]`, "404", "404"}, see())
		time.Sleep(10 * time.Second)
		compare(t, []string{both, "device-number\n" + keys, "10.0.1.3", "0", `["1/","2/"]`, jdKeys, `"10.0.1.3"`}, see())
		time.Sleep(10 * time.Second)
		compare(t, shown, see())
		c.SetPropagation(cloud.Propagation{Keys: time.Hour, DeviceNumber: time.Hour, Linger: time.Minute})
		compare(t, shown, see()) // steps concern later changes

		must(t, c.Detach("i-1", e.ID))
		compare(t, shown, see())
		time.Sleep(5 * time.Second)
		compare(t, []string{both, keys, "10.0.1.3", "404", `["1/","2/"]`, jdKeys, `"10.0.1.3"`}, see())
		time.Sleep(time.Minute)
		compare(t, absent, see())

		// An ENI that comes back, or one at its index, ends the lingering.
		c.SetPropagation(cloud.Propagation{Linger: time.Hour})
		for _, id := range []string{e.ID, e.ID, value(c.CreateENI("subnet-b", cloud.ENIOptions{}))(t).ID} {
			must(t, c.Attach("i-1", id))
			time.Sleep(5 * time.Second)
			compare(t, `"`+id+`"`, get(jd, networkPath+"2/network-interface-id"))
			compare(t, `["1/","2/"]`, get(jd, networkPath))
			must(t, c.Detach("i-1", id))
			time.Sleep(5 * time.Second)
			compare(t, `["1/","2/"]`, get(jd, networkPath))
		}
	})
}
