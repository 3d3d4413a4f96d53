package cloud

import (
	"net/http"
	"net/netip"
	"strings"
)

// volcengineTokens is the protocol that Volcengine's SDK speaks.
var volcengineTokens = tokens{
	path:    "/latest/api/token",
	ttl:     "X-Volc-Ecs-Metadata-Token-Ttl-Seconds",
	header:  "X-Volc-Ecs-Metadata-Token",
	without: http.StatusUnauthorized,
	failure: plainError,
}

// volcengine answers one request; it holds the lock, because it gives out tokens. Paths know no case. That
// directories below a MAC cannot be listed is a guess: nobody was seen to list one.
func (c *Cloud) volcengine(in *instance, v view, r *http.Request) response {
	if _, refusal, ok := volcengineTokens.admit(c, in, r); !ok {
		return refusal
	}
	path := strings.ToLower(r.URL.Path)
	n, ok := volcengineTree(v).find(path)
	listed := strings.HasSuffix(strings.TrimSuffix(path, "/"), "/network/interfaces/macs")
	switch {
	case !ok, n.isDir() && !listed:
		return plainError(http.StatusNotFound)
	case listed:
		n.text = strings.Join(n.names(""), "\n")
	}
	return response{status: http.StatusOK, contentType: "text/plain", body: n.text}
}

func volcengineTree(v view) node {
	latest := dir("latest",
		leaf("availability_zone", v.az),
		leaf("instance_id", v.instance),
		leaf("mac", v.primary.MAC.String()),
		dir("network", dir("interfaces", dir("macs", v.macs(volcengineNIC)...))),
		leaf("region_id", Region),
		leaf("vpc_id", v.primary.VPC),
	)
	return dir("", latest, dir("volcstack", latest))
}

// volcengineNIC are the keys of one MAC that cello reads. Those of IPv6 it calls not served, and delegated prefixes and
// public addresses have none.
func volcengineNIC(n nic) []node {
	v4 := n.family(netip.Addr.Is4)
	var first string
	if len(v4) > 0 {
		first = v4[0].String()
	}
	return []node{
		leaf("gateway", n.Gateway.String()),
		leaf("network_interface_id", n.ID),
		leaf("primary_ip_address", first),
		lines("private_ipv4s", v4),
		leaf("subnet_cidr_block", n.Subnets[0].String()),
		leaf("subnet_id", n.SubnetID),
	}
}
