package cloud

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AzureStyle is what differs between Azure's regions and ages, and what its documentation leaves open. The
// zero value answers everything at once, lists the NICs by index and knows every version.
type AzureStyle struct {
	Throttle int    // requests that an instance may make in a second; more are a 429. 0: any number; Azure's own is 5
	Shuffle  bool   // the NICs come in another order each time: which one is promised nowhere
	Newest   string // the newest version that is known here, "" for all
}

// SetAzureStyle sets the style of the azure dialect for all instances.
func (c *Cloud) SetAzureStyle(s AzureStyle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.azure.style = s
}

// azureIMDS is the azure dialect: its style, and the requests by which it turns the order and throttles.
type azureIMDS struct {
	style AzureStyle
	asked map[string][]time.Time // by instance, those of the last second
	turn  int                    // counts the lists of NICs
}

// azureVersions are versions of Azure's IMDS, the oldest first. Their network part is the same.
var azureVersions = []string{"2017-04-02", "2017-12-01", "2019-06-01", "2020-10-01", "2021-02-01", "2021-08-01", "2023-07-01", "2025-04-07"}

// azureHeader is what every request must have. One with azureForwarded came through a proxy and is refused.
const (
	azureHeader    = "Metadata"
	azureForwarded = "X-Forwarded-For"
)

// answer is one request. The rules are those of the documentation, "Azure Instance Metadata Service".
func (a *azureIMDS) answer(in *instance, v view, r *http.Request) response {
	query, err := url.ParseQuery(r.URL.RawQuery)
	path := strings.TrimSuffix(r.URL.Path, "/")
	known := a.style.versions()
	switch {
	case a.throttled(in.id, time.Now()):
		return azureError(http.StatusTooManyRequests, "Too many requests")
	case r.Method != http.MethodGet:
		return azureError(http.StatusMethodNotAllowed, "Method not allowed")
	case r.Header.Get(azureHeader) != "true":
		return azureError(http.StatusBadRequest, "Bad request. Required metadata header not specified")
	case r.Header.Values(azureForwarded) != nil:
		return azureError(http.StatusBadRequest, "Bad request. The request was forwarded")
	case err != nil || repeated(query):
		return azureError(http.StatusBadRequest, "Bad request. A query parameter is repeated or unreadable")
	case path == "/metadata/versions":
		return azureJSON(http.StatusOK, map[string][]string{"apiVersions": known})
	case !slices.Contains(known, query.Get("api-version")):
		return azureRefusesVersion(known)
	case path == "/metadata/instance/network":
		return azureJSON(http.StatusOK, a.network(v))
	case path == "/metadata/instance/compute/vmId" && query.Get("format") == "text":
		return response{status: http.StatusOK, contentType: "text/plain; charset=utf-8", body: v.instance}
	}
	return azureError(http.StatusNotFound, "Not found")
}

// throttled counts a request and reports whether it is one too many.
func (a *azureIMDS) throttled(instance string, now time.Time) bool {
	if a.style.Throttle == 0 {
		return false
	}
	recent := slices.DeleteFunc(a.asked[instance], func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if a.asked == nil {
		a.asked = map[string][]time.Time{}
	}
	if len(recent) >= a.style.Throttle {
		a.asked[instance] = recent
		return true
	}
	a.asked[instance] = append(recent, now)
	return false
}

func (s AzureStyle) versions() []string {
	last := slices.Index(azureVersions, cmp.Or(s.Newest, azureVersions[len(azureVersions)-1]))
	return azureVersions[:last+1]
}

func repeated(query url.Values) bool {
	for _, values := range query {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// azureNIC is an entry of the list of NICs. What is not there yet is an empty list.
type azureNIC struct {
	IPv4 azureIPv4 `json:"ipv4"`
	IPv6 azureIPv6 `json:"ipv6"`
	MAC  string    `json:"macAddress"`
}

type azureIPv4 struct {
	Addresses []azureAddress `json:"ipAddress"`
	Subnets   []azureSubnet  `json:"subnet"`
}

// azureIPv6 has no subnet: the documentation knows of none.
type azureIPv6 struct {
	Addresses []azureAddress `json:"ipAddress"`
}

type azureAddress struct {
	Private string `json:"privateIpAddress"`
	Public  string `json:"publicIpAddress"` // "" for none
}

type azureSubnet struct {
	Address string `json:"address"`
	Prefix  string `json:"prefix"`
}

func (a *azureIMDS) network(v view) any {
	list := []azureNIC{}
	for _, n := range v.nics {
		list = append(list, azureEntry(n))
	}
	if a.style.Shuffle && len(list) > 1 {
		a.turn++
		first := a.turn % len(list)
		list = slices.Concat(list[first:], list[:first])
	}
	return map[string][]azureNIC{"interface": list}
}

func azureEntry(n nic) azureNIC {
	out := azureNIC{MAC: strings.ToUpper(strings.ReplaceAll(n.MAC.String(), ":", ""))}
	out.IPv4 = azureIPv4{[]azureAddress{}, []azureSubnet{}}
	out.IPv6.Addresses = []azureAddress{}
	if !n.keys {
		return out
	}
	out.IPv4.Addresses = azureAddresses(n.ENI, netip.Addr.Is4)
	out.IPv6.Addresses = azureAddresses(n.ENI, netip.Addr.Is6)
	for _, p := range ipv4Prefixes(n.Subnets) {
		out.IPv4.Subnets = append(out.IPv4.Subnets, azureSubnet{p.Addr().String(), strconv.Itoa(p.Bits())})
	}
	return out
}

func azureAddresses(e ENI, family func(netip.Addr) bool) []azureAddress {
	out := []azureAddress{}
	for _, a := range e.family(family) {
		out = append(out, azureAddress{a.String(), publicText(e, a)})
	}
	return out
}

// azureRefusesVersion is the answer to a version that is missing or not known here.
func azureRefusesVersion(known []string) response {
	newest := slices.Clone(known[max(0, len(known)-3):])
	slices.Reverse(newest)
	return azureJSON(http.StatusBadRequest, map[string]any{
		"error":           "Bad request. api-version is invalid or was not specified in the request.",
		"newest-versions": newest,
	})
}

// azureFailure is an error as Azure words it, of which only the status is known.
func azureFailure(status int) response { return azureError(status, http.StatusText(status)) }

func azureError(status int, text string) response {
	return azureJSON(status, map[string]string{"error": text})
}

func azureJSON(status int, v any) response {
	body, err := json.Marshal(v)
	if err != nil {
		panic("lists and maps of strings cannot fail to encode: " + err.Error())
	}
	return response{status: status, contentType: "application/json; charset=utf-8", body: string(body)}
}
