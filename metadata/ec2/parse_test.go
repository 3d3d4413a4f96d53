package ec2

import (
	"errors"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"
)

// FuzzParse reads whatever one ENI and the lists may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	const mac = "0a:07:84:3d:6e:38"
	f.Add(mac, mac+"/\n", "172.31.44.13\n172.31.45.70", "172.31.32.0/20", "2600::5", "2600::/64", "172.31.41.16/28", "18.218.219.181")
	f.Add("0A-07-84-3D-6E-38", "0A:07:84:3D:6E:38/\r\n0a:07:84:3d:6e:38\n", "", "0.0.0.0/0", "::ffff:1.2.3.4", "::1%eth0/64", "255.255.255.255/32", "1.1.1.1/\n1.1.1.1")
	f.Add("", "\x00", "172.31.44.", "172.31.32.1/20", "fe80::1%x/y", "2600:0:0:0:0:0:0:0/64", "x", "../../x")
	f.Fuzz(func(t *testing.T, primary, list, v4, net4, v6, net6, prefixes, associations string) {
		answers := metadata.Answers{tree.Primary: {Body: primary}, tree.MACs: {Body: list}}
		for _, dir := range tree.Dirs(answers) {
			for _, path := range metadata.ToAsk(dir, metadata.Answer{}, keys.All()) {
				answers[path] = metadata.Answer{Err: errors.New("down")}
			}
			for key, body := range map[string]string{
				"": "x", "local-ipv4s": v4, "subnet-ipv4-cidr-block": net4, "ipv6s": v6, "subnet-ipv6-cidr-blocks": net6,
				"ipv4-prefix": prefixes, "ipv6-prefix": prefixes, associationsPath: associations,
			} {
				answers[dir+key] = metadata.Answer{Body: body}
			}
			associationPaths(dir, answers)
		}
		s, err := parse(answers)
		if err != nil {
			return
		}
		metadatatest.Usable(t, s)
	})
}
