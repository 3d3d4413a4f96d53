package cloud

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The protocol of IMDSv2 (EC2 user guide, "How Instance Metadata Service
// Version 2 works").
const (
	tokenPath   = "/latest/api/token"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTokenTTL = 21600 // seconds
)

// SetTokenRequired says whether the ec2 dialect answers only to a token
// (IMDSv2, the default) or also without one (IMDSv1).
func (c *Cloud) SetTokenRequired(required bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokenless = !required
}

// RevokeTokens makes every ec2 token given out so far invalid.
func (c *Cloud) RevokeTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range c.instances {
		clear(in.tokens)
	}
}

// ec2 answers one request; it holds the lock, because it gives out tokens.
func (c *Cloud) ec2(in *instance, v view, r *http.Request) response {
	now := time.Now()
	switch {
	case r.Method == http.MethodPut:
		return in.issueToken(r, now)
	case !readOnly(r), r.URL.Path == tokenPath:
		return ec2Error(http.StatusMethodNotAllowed)
	}
	left, valid := in.tokenLeft(r.Header.Get(tokenHeader), now)
	if !valid && (r.Header.Get(tokenHeader) != "" || !c.tokenless) {
		return ec2Error(http.StatusUnauthorized)
	}
	n, ok := ec2Tree(v).find(r.URL.Path)
	if !ok {
		return ec2Error(http.StatusNotFound)
	}
	res := response{status: http.StatusOK, contentType: "text/plain", body: n.text}
	if n.isDir() {
		res.body = strings.Join(n.names("/"), "\n")
	}
	if valid {
		res.header = map[string]string{ttlHeader: left}
	}
	return res
}

// issueToken answers a PUT. Only the unversioned path gives tokens; a request
// that came through a proxy gets none.
func (in *instance) issueToken(r *http.Request, now time.Time) response {
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	switch {
	case r.URL.Path != tokenPath, r.Header.Values("X-Forwarded-For") != nil:
		return ec2Error(http.StatusForbidden)
	case err != nil, ttl < 1, ttl > maxTokenTTL:
		return ec2Error(http.StatusBadRequest)
	}
	for token, end := range in.tokens {
		if !now.Before(end) {
			delete(in.tokens, token)
		}
	}
	token := rand.Text()
	in.tokens[token] = now.Add(time.Duration(ttl) * time.Second)
	return response{
		status: http.StatusOK, contentType: "text/plain", body: token,
		header: map[string]string{ttlHeader: strconv.Itoa(ttl)},
	}
}

// tokenLeft is how many seconds a token is still valid.
func (in *instance) tokenLeft(token string, now time.Time) (seconds string, valid bool) {
	end, known := in.tokens[token]
	return strconv.Itoa(int(end.Sub(now) / time.Second)), known && now.Before(end)
}

// ec2Error is an error as EC2 words it: an XHTML page.
func ec2Error(status int) response {
	title := fmt.Sprintf("%d - %s", status, http.StatusText(status))
	return response{status: status, contentType: "text/html", body: `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head><title>` + title + `</title></head>
 <body><h1>` + title + `</h1></body>
</html>
`}
}

func ec2Tree(v view) node {
	var macs []node
	for _, n := range v.nics {
		if n.keys {
			macs = append(macs, lazyDir(n.MAC.String(), func() []node { return ec2NIC(v, n) }))
		} else {
			macs = append(macs, unready(n.MAC.String()))
		}
	}
	primary := v.primary.Addresses[0]
	return dir("", dir("latest", dir("meta-data", withoutEmpty(
		leaf("instance-id", v.instance),
		leaf("local-hostname", hostname(v.primary)),
		leaf("local-ipv4", primary.String()),
		leaf("mac", v.primary.MAC.String()),
		dir("network", dir("interfaces", dir("macs", macs...))),
		leaf("public-ipv4", publicText(v.primary, primary)),
	)...)))
}

// ec2NIC are the keys of one MAC. The facts are those of the EC2 user guide,
// "Instance metadata categories"; what there is none of is not there.
func ec2NIC(v view, n nic) []node {
	keys := withoutEmpty(
		leaf("device-number", n.number),
		leaf("interface-id", n.ID),
		dir("ipv4-associations", ec2Associations(n.ENI)...),
		lines("ipv4-prefix", ipv4Prefixes(n.Prefixes)),
		lines("ipv6-prefix", ipv6Prefixes(n.Prefixes)),
		lines("ipv6s", n.family(netip.Addr.Is6)),
		leaf("local-hostname", hostname(n.ENI)),
		leaf("mac", n.MAC.String()),
		leaf("owner-id", ownerID),
		lines("public-ipv4s", ec2Publics(n.ENI)),
		leaf("security-group-ids", strings.Join(n.SecurityGroups, "\n")),
		leaf("security-groups", "default"),
		leaf("subnet-id", n.SubnetID),
		leaf("subnet-ipv4-cidr-block", n.Subnets[0].String()),
		lines("subnet-ipv6-cidr-blocks", n.Subnets[1:]),
		leaf("vpc-id", n.VPC),
		leaf("vpc-ipv4-cidr-block", ipv4Prefixes(v.vpc)[0].String()),
		lines("vpc-ipv4-cidr-blocks", ipv4Prefixes(v.vpc)),
		lines("vpc-ipv6-cidr-blocks", ipv6Prefixes(v.vpc)),
	)
	// Every ENI has an IPv4 address: this key stays, also where a fault empties it.
	keys = append(keys, lines("local-ipv4s", n.family(netip.Addr.Is4)))
	slices.SortFunc(keys, func(a, b node) int { return cmp.Compare(a.name, b.name) })
	return keys
}

// lines is a key whose text is a list, one value a line.
func lines[T fmt.Stringer](name string, values []T) node {
	return leaf(name, strings.Join(texts(values), "\n"))
}

// withoutEmpty leaves out keys without text and directories without keys: on EC2
// "there is none" is 404.
func withoutEmpty(kids ...node) []node {
	return slices.DeleteFunc(kids, func(n node) bool { return n.text == "" && (!n.isDir() || len(n.kids()) == 0) })
}

func ec2Publics(e ENI) []netip.Addr {
	var out []netip.Addr
	for _, a := range e.Addresses {
		if public, ok := e.Public[a]; ok {
			out = append(out, public)
		}
	}
	return out
}

func ec2Associations(e ENI) []node {
	var out []node
	for _, a := range e.Addresses {
		if public, ok := e.Public[a]; ok {
			out = append(out, leaf(public.String(), a.String()))
		}
	}
	return out
}
