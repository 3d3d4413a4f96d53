package cloud

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
)

// OCIStyle is the form of the oci dialect. The zero value is that of a VM.
type OCIStyle struct {
	// BareMetal says that the instance has physical NICs: each VNIC names its NIC, and has tag 0, or that of its VLAN
	// where it shares another's NIC (AttachVLAN).
	BareMetal bool
}

// SetOCIStyle sets the style of the oci dialect for all instances.
func (c *Cloud) SetOCIStyle(s OCIStyle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.oci = s
}

// ociNull is what Oracle's metadata was seen to say in place of an IPv4 subnet that there is none of.
const ociNull = "<null>"

// ociRouter6 is the IPv6 router of every subnet here. Oracle's has another link-local address.
const ociRouter6 = "fe80::1"

// answer is one request: the second version alone, as on an instance where the first is turned off. How a request
// without the header, or one that was forwarded, is refused is in no document; 403 is a guess.
func (s OCIStyle) answer(v view, r *http.Request) response {
	h := r.Header
	switch {
	case !readOnly(r):
		return ociError(http.StatusMethodNotAllowed)
	case !strings.HasPrefix(r.URL.Path, "/opc/v2/"):
		return ociError(http.StatusNotFound)
	case h.Get("Authorization") != "Bearer Oracle",
		h.Values("Forwarded") != nil, h.Values("X-Forwarded-For") != nil, h.Values("X-Forwarded-Host") != nil:
		return ociError(http.StatusForbidden)
	}
	switch strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/opc/v2/"), "/") {
	case "vnics":
		return ociJSON(http.StatusOK, s.vnics(v))
	case "instance":
		return ociJSON(http.StatusOK, map[string]string{"availabilityDomain": v.az, "displayName": v.name, "id": v.instance, "region": Region})
	case "instance/id":
		return response{status: http.StatusOK, contentType: "text/plain", body: v.instance}
	}
	return ociError(http.StatusNotFound)
}

// vnic is an entry of the list. Secondary IPv4 addresses and delegated prefixes are not in it: Oracle tells
// them by its API alone.
type vnic struct {
	ID        string   `json:"vnicId,omitempty"`
	Private   string   `json:"privateIp,omitempty"`
	VLANTag   int      `json:"vlanTag"`
	MAC       string   `json:"macAddr"`
	Router    string   `json:"virtualRouterIp,omitempty"`
	Subnet    string   `json:"subnetCidrBlock,omitempty"`
	NIC       *int     `json:"nicIndex,omitempty"`
	Addresses []string `json:"ipv6Addresses,omitempty"`
	Subnet6   string   `json:"ipv6SubnetCidrBlock,omitempty"`
	Router6   string   `json:"ipv6VirtualRouterIp,omitempty"`
}

func (s OCIStyle) vnics(v view) []vnic {
	list, physical := []vnic{}, map[string]int{}
	for _, n := range v.nics {
		if n.VLANParent == "" {
			physical[n.ID] = len(physical)
		}
	}
	for _, n := range v.nics {
		out := ociVNIC(n)
		if s.BareMetal {
			index := physical[cmp.Or(n.VLANParent, n.ID)]
			out.NIC, out.VLANTag = &index, n.VLAN
		}
		list = append(list, out)
	}
	return list
}

// ociVNIC is an entry on a VM, whose host takes the tag off.
func ociVNIC(n nic) vnic {
	out := vnic{MAC: strings.ToUpper(n.MAC.String()), VLANTag: 900 + n.Index}
	if !n.keys {
		return out
	}
	out.ID = n.ID
	out.Subnet = ociNull
	for _, p := range ipv4Prefixes(n.Subnets) {
		out.Subnet, out.Router = p.String(), n.Gateway.String()
	}
	if v4 := n.family(netip.Addr.Is4); len(v4) > 0 {
		out.Private = v4[0].String()
	}
	v6, nets6 := n.family(netip.Addr.Is6), ipv6Prefixes(n.Subnets)
	if len(v6) > 0 && len(nets6) > 0 {
		out.Addresses, out.Subnet6, out.Router6 = texts(v6), nets6[0].String(), ociRouter6
	}
	return out
}

func ociError(status int) response {
	return ociJSON(status, map[string]any{"code": status, "message": http.StatusText(status)})
}

// ociJSON is JSON as Oracle sends it: indented, with < and > escaped.
func ociJSON(status int, v any) response {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("lists of strings and numbers cannot fail to encode: " + err.Error())
	}
	return response{status: status, contentType: "application/json", body: string(body)}
}
