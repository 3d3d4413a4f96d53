package cloud

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
)

// OpenStackStyle is the form of the openstack dialect. The zero value is Nova's for subnets without a DHCP server.
type OpenStackStyle struct {
	DHCP   bool // the subnets have DHCP servers: addresses and MTUs are theirs to tell
	Huawei bool // Huawei Cloud's two keys more of each link
	Tokens bool // a session token is wanted, as in one of Huawei's regions; see SetTokenRequired
}

// SetOpenStackStyle sets the style of the openstack dialect for all instances.
func (c *Cloud) SetOpenStackStyle(s OpenStackStyle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openStack = s
}

// huaweiTokens are those of Huawei Cloud (its manual, "Obtaining Metadata", of one region). How a request without
// a token is refused is not in it.
var huaweiTokens = tokens{
	path: "/meta-data/latest/api/token", ttl: "X-Metadata-Token-Ttl-Seconds", header: "X-Metadata-Token",
	without: http.StatusUnauthorized, failure: plainError,
}

// openStackRouter6 is the IPv6 router of every subnet here.
const openStackRouter6 = "fe80::1"

func (c *Cloud) answerOpenStack(in *instance, v view, r *http.Request) response {
	if c.openStack.Tokens {
		if _, refusal, ok := huaweiTokens.admit(c, in, r); !ok {
			return refusal
		}
	}
	if !readOnly(r) {
		return plainError(http.StatusMethodNotAllowed)
	}
	switch r.URL.Path {
	case "/openstack/latest/network_data.json":
		return openStackJSON(c.openStack.network(v))
	case "/openstack/latest/meta_data.json":
		return openStackJSON(map[string]string{"uuid": v.instance, "name": v.name, "hostname": hostname(v.primary), "availability_zone": v.az})
	case "/latest/meta-data/local-ipv4":
		if v4 := v.primary.family(netip.Addr.Is4); len(v4) > 0 {
			return response{status: http.StatusOK, contentType: "text/plain", body: v4[0].String()}
		}
	}
	return plainError(http.StatusNotFound)
}

func openStackJSON(v any) response {
	body, err := json.Marshal(v)
	if err != nil {
		panic("lists of strings and numbers cannot fail to encode: " + err.Error())
	}
	return response{status: http.StatusOK, contentType: "application/json", body: string(body)}
}

// networkData is the document network_data.json.
type networkData struct {
	Links    []openStackLink    `json:"links"`
	Networks []openStackNetwork `json:"networks"`
	Services []struct{}         `json:"services"`
}

type openStackLink struct {
	ID     string  `json:"id"`
	VIF    string  `json:"vif_id"`
	Type   string  `json:"type"`
	MTU    *int    `json:"mtu"`
	MAC    string  `json:"ethernet_mac_address"`
	Local  *string `json:"local_ipv4,omitempty"`
	Public *string `json:"public_ipv4,omitempty"`
}

type openStackNetwork struct {
	ID      string           `json:"id"`
	Link    string           `json:"link"`
	Type    string           `json:"type"`
	Address string           `json:"ip_address,omitempty"`
	Netmask string           `json:"netmask,omitempty"`
	Routes  []openStackRoute `json:"routes,omitempty"`
	Network string           `json:"network_id"`
}

type openStackRoute struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

// network has of each port the first address of a family alone (nova/virt/netutils.py, _get_nets).
func (s OpenStackStyle) network(v view) networkData {
	d := networkData{Links: []openStackLink{}, Networks: []openStackNetwork{}, Services: []struct{}{}}
	for i, n := range v.nics {
		l := openStackLink{ID: "tap" + strconv.Itoa(i), VIF: n.ID, Type: "ovs", MAC: n.MAC.String()}
		v4 := n.family(netip.Addr.Is4)
		if n.MTU != 0 && !s.DHCP {
			l.MTU = &n.MTU
		}
		if s.Huawei && n.keys && len(v4) > 0 {
			local, public := v4[0].String(), publicText(n.ENI, v4[0])
			l.Type, l.Local, l.Public = "cascading", &local, &public
		}
		d.Links = append(d.Links, l)
		if !n.keys {
			continue
		}
		for _, one := range s.networks(n) {
			one.ID, one.Link, one.Network = "network"+strconv.Itoa(len(d.Networks)), l.ID, n.SubnetID
			d.Networks = append(d.Networks, one)
		}
	}
	return d
}

func (s OpenStackStyle) networks(n nic) (all []openStackNetwork) {
	v4, v6 := n.family(netip.Addr.Is4), n.family(netip.Addr.Is6)
	nets4, nets6 := ipv4Prefixes(n.Subnets), ipv6Prefixes(n.Subnets)
	switch {
	case len(nets4) == 0, len(v4) == 0 && !s.DHCP:
	case s.DHCP || s.Huawei:
		all = append(all, openStackNetwork{Type: "ipv4_dhcp"})
	default:
		all = append(all, openStackNetwork{Type: "ipv4", Address: v4[0].String(), Netmask: gcpMask(nets4[0]),
			Routes: []openStackRoute{{"0.0.0.0", "0.0.0.0", n.Gateway.String()}}})
	}
	if len(v6) > 0 && len(nets6) > 0 {
		all = append(all, openStackNetwork{Type: "ipv6", Address: v6[0].String(), Netmask: strconv.Itoa(nets6[0].Bits()),
			Routes: []openStackRoute{{"::", "::", openStackRouter6}}})
	}
	return all
}
