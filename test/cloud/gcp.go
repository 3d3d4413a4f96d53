package cloud

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// gcpRoot is where the tree begins.
const gcpRoot = "/computeMetadata/v1"

// gcpFlavor is the header of every request and of every answer.
const gcpFlavor = "Metadata-Flavor"

// gcp answers one request at once. The rules that no document of Google's tells are those that google-guest-agent
// lives on, and those of a public emulator's tests: a folder is read as JSON with recursive=true only, and a folder
// can be waited for only so.
func gcp(v view, r *http.Request) response {
	switch {
	case r.Header.Get(gcpFlavor) != "Google", r.Header.Values("X-Forwarded-For") != nil:
		return gcpError(http.StatusForbidden)
	case !readOnly(r):
		return gcpError(http.StatusMethodNotAllowed)
	}
	path, below := strings.CutPrefix(r.URL.Path, gcpRoot)
	n, ok := gcpFind(gcpTree(v), strings.TrimPrefix(path, "/"))
	if !below || !ok {
		return gcpError(http.StatusNotFound)
	}
	return gcpShow(n, r)
}

// gcpShow is an object or a value in the form that the request wants.
func gcpShow(n any, r *http.Request) response {
	query := r.URL.Query()
	recursive, alt := strings.EqualFold(query.Get("recursive"), "true"), query.Get("alt")
	text, isLeaf := gcpText(n)
	switch {
	case !isLeaf && !recursive && (waits(r) || alt != ""):
		return gcpError(http.StatusBadRequest)
	case alt != "" && alt != "json" && alt != "text", alt == "text" && !isLeaf:
		return gcpError(http.StatusBadRequest)
	case alt == "json" || !isLeaf && recursive:
		return gcpAnswer("application/json", string(gcpJSON(n)))
	}
	return gcpAnswer("application/text", text)
}

func gcpAnswer(contentType, body string) response {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(body))
	header := map[string]string{gcpFlavor: "Google", "ETag": fmt.Sprintf("%016x", hash.Sum64())}
	return response{status: http.StatusOK, contentType: contentType, header: header, body: body}
}

func gcpError(status int) response {
	r := plainError(status)
	r.header = map[string]string{gcpFlavor: "Google"}
	return r
}

func gcpTree(v view) gcpObject {
	var attributes gcpObject
	for _, key := range slices.Sorted(maps.Keys(v.custom)) {
		attributes = append(attributes, gcpMember{key, v.custom[key]})
	}
	instance := gcpObject{
		{"attributes", gcpNames{attributes}},
		{"hostname", hostname(v.primary)},
		{"id", gcpNumber(v.instance)},
		{"name", v.name},
		{"network-interfaces", gcpNICs(v)},
	}
	if vlans := gcpVLANs(v); len(vlans) > 0 {
		instance = append(instance, gcpMember{"vlan-network-interfaces", vlans})
	}
	instance = append(instance, gcpMember{"zone", "projects/" + ownerID + "/zones/" + v.az})
	return gcpObject{{"instance", instance}, {"project", gcpObject{{"numeric-project-id", json.Number(ownerID)}, {"project-id", "enid-lab"}}}}
}

// gcpNumber is an instance's id as Compute Engine has them: a number of up to twenty digits.
func gcpNumber(id string) json.Number {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(id))
	return json.Number(strconv.FormatUint(hash.Sum64(), 10))
}

// own are the NICs that share nobody's.
func (v view) own() []nic {
	return slices.DeleteFunc(slices.Clone(v.nics), func(n nic) bool { return n.VLANParent != "" })
}

func gcpNICs(v view) gcpList {
	out := gcpList{}
	for _, n := range v.own() {
		out = append(out, gcpNIC(n))
	}
	return out
}

// gcpVLANs are the dynamic NICs, by the place of the NIC that they share.
func gcpVLANs(v view) gcpObject {
	var out gcpObject
	for place, parent := range v.own() {
		var byID gcpObject
		for _, n := range v.nics {
			if n.VLANParent != parent.ID {
				continue
			}
			path := gcpRoot + "/instance/network-interfaces/" + strconv.Itoa(place) + "/"
			entry := gcpVLAN(n, path)
			byID = append(byID, gcpMember{strconv.Itoa(n.VLAN), entry})
		}
		if len(byID) > 0 {
			out = append(out, gcpMember{strconv.Itoa(place), byID})
		}
	}
	return out
}

// gcpVLAN is a dynamic NIC: of what a NIC has, it has what google-guest-agent reads.
func gcpVLAN(n nic, parent string) gcpObject {
	entry := append(gcpNIC(n), gcpMember{"parent-interface", parent}, gcpMember{"vlan", json.Number(strconv.Itoa(n.VLAN))})
	return slices.DeleteFunc(entry, func(m gcpMember) bool {
		return !slices.Contains([]string{"gateway", "gateway-ipv6", "ip", "ipv6", "ipv6s", "mac", "mtu", "parent-interface", "vlan"}, m.name)
	})
}

// gcpNIC is a NIC. Compute Engine has no secondary addresses but alias ranges: here they are those of one address.
// What there is none of is left out, but for the lists that the samples show empty.
func gcpNIC(n nic) gcpObject {
	out := gcpObject{{"mac", n.MAC.String()}}
	if !n.keys {
		return out
	}
	v4, v6 := n.family(netip.Addr.Is4), n.family(netip.Addr.Is6)
	out = append(out,
		gcpMember{"access-configs", gcpList{gcpObject{{"external-ip", gcpExternal(n.ENI, v4)}, {"type", "ONE_TO_ONE_NAT"}}}},
		gcpMember{"dns-servers", gcpList{"169.254.169.254"}},
		gcpMember{"forwarded-ips", gcpTexts(n.forwarded(true))},
		gcpMember{"forwarded-ipv6s", gcpTexts(n.forwarded(false))},
		gcpMember{"gateway", n.Gateway.String()},
		gcpMember{"ip-aliases", gcpTexts(gcpAliases(n.ENI, v4))},
		gcpMember{"network", "projects/" + ownerID + "/networks/" + n.VPC},
		gcpMember{"subnetmask", gcpMask(n.Subnets[0])},
		gcpMember{"target-instance-ips", gcpList{}},
	)
	if len(v4) > 0 {
		out = append(out, gcpMember{"ip", v4[0].String()})
	}
	if n.MTU != 0 {
		out = append(out, gcpMember{"mtu", json.Number(strconv.Itoa(n.MTU))})
	}
	if len(v6) > 0 {
		out = append(out, gcpMember{"gateway-ipv6", gcpRouter6}, gcpMember{"ipv6", gcpTexts(gcpRanges6(v6))}, gcpMember{"ipv6s", gcpTexts(v6)})
	}
	slices.SortFunc(out, func(a, b gcpMember) int { return strings.Compare(a.name, b.name) })
	return out
}

// gcpRouter6 is the IPv6 router of every subnet, link-local as Compute Engine's are.
const gcpRouter6 = "fe80::1"

func gcpExternal(e ENI, v4 []netip.Addr) string {
	if len(v4) == 0 {
		return ""
	}
	return publicText(e, v4[0])
}

// gcpAliases are the secondary addresses, the delegated prefixes and the alias ranges.
func gcpAliases(e ENI, v4 []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range v4[min(1, len(v4)):] {
		out = append(out, netip.PrefixFrom(a, 32))
	}
	return slices.Concat(out, ipv4Prefixes(e.Prefixes), e.Aliases)
}

// gcpRanges6 are the ranges of 96 bits that the addresses are in, as they are given to a NIC.
func gcpRanges6(v6 []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range v6 {
		out = append(out, netip.PrefixFrom(a, 96).Masked())
	}
	return slices.Compact(out)
}

func gcpMask(p netip.Prefix) string { return net.IP(net.CIDRMask(p.Bits(), 32)).String() }

func gcpTexts[T fmt.Stringer](values []T) gcpList {
	out := gcpList{}
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}
