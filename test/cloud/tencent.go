package cloud

import (
	"net/http"
	"net/netip"
	"strings"
)

// tencent answers one request as Tencent Cloud does (its document "Instance metadata", product/213/4934): a text
// tree without tokens, whose paths know upper and lower case. How an error is worded is not documented.
func (c *Cloud) tencent(_ *instance, v view, r *http.Request) response {
	if !readOnly(r) {
		return plainError(http.StatusMethodNotAllowed)
	}
	n, ok := c.tencentTree(v).find(r.URL.Path)
	if !ok {
		return plainError(http.StatusNotFound)
	}
	res := response{status: http.StatusOK, contentType: "text/plain", body: n.text}
	if n.isDir() {
		res.body = strings.Join(n.names("/"), "\n")
	}
	return res
}

// tencentTree is there under each version, and without one.
func (c *Cloud) tencentTree(v view) node {
	var macs []node
	for _, n := range v.nics {
		name := tencentMAC(n.ENI)
		if n.keys {
			macs = append(macs, lazyDir(name, func() []node { return c.tencentNIC(n.ENI) }))
		} else {
			macs = append(macs, unready(name))
		}
	}
	primary := v.primary.Addresses[0]
	data := dir("meta-data", withoutEmpty(
		leaf("instance-id", v.instance),
		leaf("local-ipv4", primary.String()),
		leaf("mac", tencentMAC(v.primary)),
		dir("network", dir("interfaces", dir("macs", macs...))),
		dir("placement", leaf("region", Region), leaf("zone", v.az)),
		leaf("public-ipv4", publicText(v.primary, primary)),
	)...)
	return dir("", dir("1.0", data), dir("2017-09-19", data), dir("latest", data), data)
}

// tencentMAC is a MAC as this tree spells it, in paths and in values.
func tencentMAC(e ENI) string { return strings.ToUpper(e.MAC.String()) }

// tencentNIC are the documented keys of one MAC: none for the ENI's id, nor for IPv6 or delegated prefixes. The document's own
// listing has local-ipv4s/ twice, so it is twice in this one.
func (c *Cloud) tencentNIC(e ENI) []node {
	private := e.family(netip.Addr.Is4)
	var first string
	if len(private) > 0 {
		first = private[0].String()
	}
	addresses := lazyDir("local-ipv4s", func() (out []node) {
		for _, a := range private {
			out = append(out, dir(a.String(), c.tencentAddress(e, a)...))
		}
		return out
	})
	keys := []node{
		addresses,
		addresses,
		leaf("mac", tencentMAC(e)),
		leaf("owner-id", ownerID),
		leaf("primary-local-ipv4", first),
		leaf("subnet-id", e.SubnetID),
		leaf("vpc-id", e.VPC),
	}
	if publics := ec2Publics(e); len(publics) > 0 {
		keys = append(keys, lines("public-ipv4s", publics))
	}
	return keys
}

// tencentAddress are the keys of one address. Gateway and mask are those of the address's own subnet, which need not be the ENI's.
func (c *Cloud) tencentAddress(e ENI, a netip.Addr) []node {
	gateway, subnet := e.Gateway, e.Subnets[0]
	if other, ok := c.subnets[e.AddressSubnets[a]]; ok {
		gateway, subnet = other.Gateway(), other.IPv4
	}
	keys := []node{
		leaf("gateway", gateway.String()),
		leaf("local-ipv4", a.String()),
		leaf("subnet-mask", dottedMask(subnet)),
	}
	if public := publicText(e, a); public != "" {
		keys = append(keys, leaf("public-ipv4", public), leaf("public-ipv4-mode", "NAT"))
	}
	return keys
}

// dottedMask is an IPv4 prefix's length as a netmask: /20 is 255.255.240.0.
func dottedMask(p netip.Prefix) string {
	ones := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	mask, _ := ones.Prefix(p.Bits()) // a subnet's length is valid
	return mask.Addr().String()
}
