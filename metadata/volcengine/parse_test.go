package volcengine

import (
	"errors"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"
)

// FuzzParse reads whatever one NIC and the lists may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	const mac = "00:16:3e:01:02:03"
	f.Add(mac, mac+"\n", "192.168.1.10\n192.168.1.11", "192.168.1.10", "192.168.1.0/24", "192.168.1.1", "2001:db8::1", "fe80::1")
	f.Add("00163E010203", "00-16-3E-01-02-03/\r\n"+mac, "192.168.1.10", "192.168.1.12", "0.0.0.0/0", "::1", "::ffff:1.2.3.4", "fe80::1%eth0")
	f.Add("", "\x00", "192.168.1.", "x", "192.168.1.1/24", "", "fe80::1%x", "1.2.3.4")
	f.Fuzz(func(t *testing.T, primary, list, v4, first, net4, gate4, v6, gate6 string) {
		answers := metadata.Answers{tree.Primary: {Body: primary}, tree.MACs: {Body: list}}
		for _, dir := range tree.Dirs(answers) {
			for key, body := range map[string]string{ipv4Key: v4, primaryKey: first, cidr4Key: net4, gateway4Key: gate4, ipv6Key: v6, gateway6Key: gate6} {
				answers[dir+key] = metadata.Answer{Body: body}
			}
			answers[dir+idKey] = metadata.Answer{Err: errors.New("down")}
			toAsk(dir, answers)
		}
		s, err := parse(answers)
		if err != nil {
			return
		}
		metadatatest.Usable(t, s)
	})
}
