package cloud

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ec2Tokens is the protocol of IMDSv2 (EC2 user guide, "How Instance Metadata Service
// Version 2 works").
var ec2Tokens = tokens{
	path:    "/latest/api/token",
	ttl:     "X-Aws-Ec2-Metadata-Token-Ttl-Seconds",
	header:  "X-Aws-Ec2-Metadata-Token",
	without: http.StatusUnauthorized,
	failure: ec2Error,
}

// ec2 answers one request; it holds the lock, because it gives out tokens.
func (c *Cloud) ec2(in *instance, v view, r *http.Request) response {
	left, refusal, ok := ec2Tokens.admit(c, in, r)
	if !ok {
		return refusal
	}
	n, ok := ec2Tree(v).find(r.URL.Path)
	if !ok {
		return ec2Error(http.StatusNotFound)
	}
	res := response{status: http.StatusOK, contentType: "text/plain", body: n.text}
	if n.isDir() {
		res.body = strings.Join(n.names("/"), "\n")
	}
	if left != "" {
		res.header = map[string]string{ec2Tokens.ttl: left}
	}
	return res
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
