package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// origin is the provider, and what status shows as the source of each fact that the service told.
const origin = "openstack"

// uuid reads the instance's id off a meta_data.json.
func uuid(body string) (string, error) {
	var instance struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal([]byte(body), &instance); err != nil {
		return "", fmt.Errorf("it is not the document of an instance: %w", err)
	}
	return metadata.Word(instance.UUID)
}

// parse makes a Snapshot of the documents.
func parse(answers metadata.Answers, t tree, known memory) (metadata.Snapshot, error) {
	d, err := metadata.Read(answers, networkPath, decode)
	if err != nil {
		return metadata.Snapshot{}, fmt.Errorf("%s: %w", t.origin, err)
	}
	r := reading{Snapshot: metadata.Snapshot{Provider: origin, Instance: known.instance, Complete: true}, document: d, origin: t.origin}
	if r.Instance == "" {
		r.Instance, _ = metadata.Read(answers, instancePath, uuid) // shown, never needed
	}
	links := d.sort()
	if len(links.nics) == 0 && len(links.bad) > 0 {
		return metadata.Snapshot{}, fmt.Errorf("%s: no link of %s can be read: %w", t.origin, networkPath, links.bad[0])
	}
	r.problemsOf(links, t.isDrive)
	primary, err := r.primary(answers, links.nics, known)
	if err != nil {
		r.incomplete("primary", "primary-unclear", err.Error())
	}
	for _, n := range links.nics {
		i := r.facts(n)
		if err == nil {
			i.Primary = metadata.Is(n.mac == primary, r.origin)
		}
		r.Interfaces = append(r.Interfaces, i)
	}
	r.unique()
	return r.Snapshot, nil
}

// reading is a Snapshot while it is made.
type reading struct {
	metadata.Snapshot
	document
	origin string
}

func (r *reading) problem(p metadata.Problem) { r.Problems = append(r.Problems, p) }

// incomplete says why an ENI that is missing need not be detached.
func (r *reading) incomplete(field, reason, text string) {
	r.Complete = false
	r.problem(metadata.Problem{Field: field, Reason: reason, Text: text + "; no ENI is taken for detached meanwhile"})
}

// problemsOf are those of the document as a whole.
func (r *reading) problemsOf(links sorted, isDrive bool) {
	if isDrive {
		r.incomplete("", "config-drive", fmt.Sprintf("the %s, read in place of the metadata service, says only what was attached at boot", r.origin))
	}
	if len(links.bad) > 0 {
		r.incomplete("mac", "bad-answer", fmt.Sprintf("%s: %v", networkPath, links.bad[0]))
	}
	if len(links.alone) > 0 {
		r.problem(metadata.Problem{Reason: "bonded", Text: fmt.Sprintf("%s are bonds, their members, or VLANs that share a NIC's MAC; enid leaves them alone, as whoever made them sees to their addresses",
			strings.Join(links.alone, ", "))})
	}
	if len(r.strange) > 0 {
		r.problem(metadata.Unread("", "addresses", &metadata.BadAnswerError{Path: networkPath, Err: r.strange[0]}))
	}
}

// primary finds the ENI that holds the host's first address. The document does not mark it. Nova makes it and EC2's
// local-ipv4 of one list (nova/virt/netutils.py get_network_metadata, get_ec2_ip_info): that is the first fixed IPv4
// address of the first port that has one. So the primary is the link that is told to have that address, or where
// that link's address is left to DHCP, the first that has an IPv4 network, if everything before it could be read. Huawei
// Cloud's local-ipv4 is the primary's by its manual.
//
// Nothing else tells, so where there is no such address, as on an instance with IPv6 alone, nobody is called primary
// or secondary: the primary taken for a secondary would lose its host's traffic. While a MAC is listed it stays
// what it is.
func (r *reading) primary(answers metadata.Answers, nics []nic, known memory) (metadata.MAC, error) {
	mine := func(mac metadata.MAC) bool {
		return slices.ContainsFunc(nics, func(n nic) bool { return n.mac == mac })
	}
	if known.primary != (metadata.MAC{}) && mine(known.primary) {
		return known.primary, nil
	}
	local, err := metadata.Read(answers, localPath, metadata.IPv4)
	if err != nil {
		return metadata.MAC{}, fmt.Errorf("which ENI is the primary is not known: %w; say primary: true in an interfaces document", err)
	}
	l, err := r.holder(local)
	if err != nil {
		return metadata.MAC{}, fmt.Errorf("which ENI has the instance's address %s, and so is the primary, is not known: %w; say primary: true in an interfaces document", local, err)
	}
	n := slices.IndexFunc(nics, func(n nic) bool { return n.ID == l.ID && n.VIF == l.VIF && n.MAC == l.MAC })
	if n < 0 {
		return metadata.MAC{}, fmt.Errorf("the instance's address %s is that of the link %.80q, which enid leaves alone; it can do nothing for this host", local, l.ID)
	}
	return nics[n].mac, nil
}

// holder is the link that has the instance's first fixed address. What cannot be read counts only where it may be that
// of an earlier link.
func (r *reading) holder(local netip.Addr) (link, error) {
	var first *link // that has an IPv4 network
	var told []link
	unread := false // something that may be before the first
	for _, l := range r.links {
		v4 := r.v4(l)
		if first == nil && (l.err != nil || v4.err != nil || r.unread(l) != nil) {
			unread = true
		}
		if first == nil && (v4.byDHCP || len(v4.addrs) > 0) {
			first = &l
		}
		if slices.Contains(v4.addrs, local) {
			told = append(told, l)
		}
	}
	switch {
	case unread, len(told) == 0 && len(r.strange) > 0:
		return link{}, errors.New("not all of the links and networks can be read")
	case len(told) == 1 && first.ID != told[0].ID && len(r.v4(*first).addrs) == 0:
		// Networks of one instance may overlap, and the earlier one counts.
		return link{}, fmt.Errorf("the link %.80q has it, and %.80q before that may have it too, by DHCP", told[0].ID, first.ID)
	case len(told) == 1:
		return told[0], nil
	case len(told) > 1:
		return link{}, fmt.Errorf("the links %.80q and %.80q both have it", told[0].ID, told[1].ID)
	case first == nil:
		return link{}, errors.New("no link has an IPv4 network")
	case len(r.v4(*first).addrs) > 0:
		return link{}, fmt.Errorf("the first link with an IPv4 network is %.80q, which has another address", first.ID)
	}
	return *first, nil
}

// unique keeps of two ENIs with one MAC nothing but that.
func (r *reading) unique() {
	same := func(a, b metadata.Interface) bool { return a.MAC == b.MAC }
	for n := 1; n < len(r.Interfaces); n++ {
		if mac := r.Interfaces[n].MAC; same(r.Interfaces[n-1], r.Interfaces[n]) {
			r.Interfaces[n-1], r.Interfaces[n] = metadata.Interface{MAC: mac}, metadata.Interface{MAC: mac}
			r.incomplete("mac", metadata.ReasonDuplicateMAC, fmt.Sprintf("two links have the MAC %s, and neither is believed", mac))
		}
	}
	r.Interfaces = slices.CompactFunc(r.Interfaces, same)
}
