package cloud

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// aliyunTokens is the protocol of the hardened mode (ECS user guide, "View instance metadata"): there
// the normal mode is 403.
var aliyunTokens = tokens{
	path:    "/latest/api/token",
	ttl:     "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds",
	header:  "X-Aliyun-Ecs-Metadata-Token",
	without: http.StatusForbidden,
	failure: plainError,
}

// aliyun answers one request; it holds the lock, because it gives out tokens.
func (c *Cloud) aliyun(in *instance, v view, r *http.Request) response {
	if _, refusal, ok := aliyunTokens.admit(c, in, r); !ok {
		return refusal
	}
	n, ok := aliyunTree(v).find(r.URL.Path)
	if !ok {
		return plainError(http.StatusNotFound)
	}
	res := response{status: http.StatusOK, contentType: "text/plain", body: n.text}
	if n.isDir() {
		res.body = strings.Join(n.names("/"), "\n")
	}
	return res
}

func aliyunTree(v view) node {
	primary := v.primary
	data := dir("meta-data", withoutEmpty(
		leaf("instance-id", v.instance),
		leaf("mac", primary.MAC.String()),
		dir("network", dir("interfaces", dir("macs", v.macs(aliyunNIC)...))),
		leaf("private-ipv4", primary.Addresses[0].String()),
		leaf("region-id", Region),
		leaf("vpc-id", primary.VPC),
		leaf("vswitch-cidr-block", primary.Subnets[0].String()),
		leaf("vswitch-id", primary.SubnetID),
		leaf("zone-id", v.az),
	)...)
	return dir("", dir("latest", data), dir("2016-01-01", data))
}

// macs are the directories of the listed NICs.
func (v view) macs(keys func(nic) []node) []node {
	var out []node
	for _, n := range v.nics {
		if n.keys {
			out = append(out, lazyDir(n.MAC.String(), func() []node { return keys(n) }))
		} else {
			out = append(out, unready(n.MAC.String()))
		}
	}
	return out
}

// aliyunNIC are the keys of one MAC; what there is none of is not there. The primary address is listed last, since
// its place is not promised, and lists of IPv6 are written without quotes. The gateways are where the model has its routers, at the
// first host; Alibaba Cloud's own are elsewhere.
func aliyunNIC(n nic) []node {
	v4, v6 := n.family(netip.Addr.Is4), n.family(netip.Addr.Is6)
	var first, gateway6 string
	if len(v4) > 0 {
		first = v4[0].String()
		v4 = append(slices.Clone(v4[1:]), v4[0])
	}
	net6 := texts(n.Subnets[1:])
	if len(n.Subnets) > 1 {
		gateway6 = n.Subnets[1].Addr().Next().String()
	}
	keys := withoutEmpty(
		leaf("gateway", n.Gateway.String()),
		leaf("ipv4-prefixes", jsonList(texts(ipv4Prefixes(n.Prefixes)))),
		leaf("ipv6-gateway", gateway6),
		leaf("ipv6-prefixes", bareList(texts(ipv6Prefixes(n.Prefixes)))),
		leaf("ipv6s", bareList(texts(v6))),
		leaf("mac", n.MAC.String()),
		leaf("network-interface-id", n.ID),
		leaf("primary-ip-address", first),
		leaf("vpc-id", n.VPC),
		leaf("vswitch-cidr-block", n.Subnets[0].String()),
		leaf("vswitch-id", n.SubnetID),
		leaf("vswitch-ipv6-cidr-block", strings.Join(net6, "\n")),
	)
	// Every ENI has an IPv4 address: this key stays, also where a fault empties it.
	keys = append(keys, leaf("private-ipv4s", jsonText(texts(v4))))
	slices.SortFunc(keys, func(a, b node) int { return cmp.Compare(a.name, b.name) })
	return keys
}

func jsonList(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return jsonText(values)
}

func bareList(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return "[" + strings.Join(values, ",") + "]"
}
