package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// OpenStackStyle is the form of the openstack dialect. The zero value is Nova's for subnets without a DHCP server.
type OpenStackStyle struct {
	DHCP   bool // the subnets have DHCP servers: addresses and MTUs are theirs to tell
	Huawei bool // Huawei Cloud's two keys more of each link
	Tokens bool // a session token is wanted, as in one of Huawei's regions; see SetTokenRequired
	// Cached is how long an answer is given again, also where something has changed since, or a fault changed it. Nova
	// does so for 15 seconds (metadata_cache_expiration).
	Cached time.Duration
}

// openStackCache is what the metadata showed of an instance at an instant.
type openStackCache struct {
	at   time.Time
	view view
}

// shows is what the metadata shows where v is what is so.
func (c *openStackCache) shows(v view, cached time.Duration) view {
	if now := time.Now(); c.at.IsZero() || now.Sub(c.at) >= cached {
		*c = openStackCache{now, v}
	}
	return c.view
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
	v = in.openStack.shows(v, c.openStack.Cached)
	documents := c.openStack.documents(v)
	if body, ok := documents[strings.TrimPrefix(r.URL.Path, "/")]; ok && !strings.HasPrefix(r.URL.Path, "/ec2/") {
		return response{status: http.StatusOK, contentType: "application/json", body: string(body)}
	}
	if local := openStackLocal(v); r.URL.Path == "/latest/meta-data/local-ipv4" && local != nil {
		return response{status: http.StatusOK, contentType: "text/plain", body: *local}
	}
	return plainError(http.StatusNotFound)
}

// ConfigDrive is what Nova writes onto an instance's config drive, by the path of each file: what is shown of the
// instance at this moment, as on a drive that is written when it boots.
func (c *Cloud) ConfigDrive(instance string) (map[string][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, err := c.instance(instance)
	if err != nil {
		return nil, fmt.Errorf("config drive of instance %q: %w", instance, err)
	}
	return c.openStack.documents(c.view(in)), nil
}

// documents are the files of a config drive. Those below openstack/ are the service's as well.
func (s OpenStackStyle) documents(v view) map[string][]byte {
	return map[string][]byte{
		"openstack/latest/network_data.json": openStackJSON(s.network(v)),
		"openstack/latest/meta_data.json": openStackJSON(map[string]string{
			"uuid": v.instance, "name": v.name, "hostname": hostname(v.primary), "availability_zone": v.az,
		}),
		"ec2/latest/meta-data.json": openStackJSON(map[string]*string{"instance-id": &v.instance, "local-ipv4": openStackLocal(v)}),
	}
}

// openStackLocal is the instance's first IPv4 address, nil where it has none.
func openStackLocal(v view) *string {
	v4 := v.primary.family(netip.Addr.Is4)
	if len(v4) == 0 {
		return nil
	}
	text := v4[0].String()
	return &text
}

func openStackJSON(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("lists of strings and numbers cannot fail to encode: " + err.Error())
	}
	return body
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
		all = append(all, openStackNetwork{Type: "ipv4", Address: v4[0].String(), Netmask: openStackMask(nets4[0]),
			Routes: []openStackRoute{{"0.0.0.0", "0.0.0.0", n.Gateway.String()}}})
	}
	if len(v6) > 0 && len(nets6) > 0 {
		all = append(all, openStackNetwork{Type: "ipv6", Address: v6[0].String(), Netmask: openStackMask(nets6[0]),
			Routes: []openStackRoute{{"::", "::", openStackRouter6}}})
	}
	return all
}

// openStackMask is a prefix's length as the mask that it stands for, in either family.
func openStackMask(p netip.Prefix) string {
	mask := make([]byte, p.Addr().BitLen()/8)
	for bit := range p.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(mask) // 4 or 16 bytes
	return a.String()
}
