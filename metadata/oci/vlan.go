package oci

import (
	"errors"
	"fmt"

	"enid/metadata"
)

// trunks are the VNICs that have a physical NIC of a bare-metal instance to themselves, by the NIC's index: their frames
// have no tag. More than one of a NIC are none: then it is not known whose the NIC is.
type trunks map[int][]metadata.MAC

func trunksOf(all []listed) trunks {
	t := trunks{}
	for _, v := range all {
		if p, err := placeOf(v.entry); err == nil && p.metal && p.tag == 0 {
			t[p.nic] = append(t[p.nic], v.mac)
		}
	}
	return t
}

// place is where a VNIC is on the host.
type place struct {
	metal bool // on bare metal; else it has a virtual NIC of its own, and the rest says nothing
	nic   int  // index of the physical NIC
	tag   int  // 802.1Q; 0 for none
}

// placeOf reads a place. A VNIC of a VM has a tag as well, which its host takes off: whether nicIndex is there tells
// the two apart.
func placeOf(e entry) (place, error) {
	nic, err := metadata.JSON[int]("nicIndex", e.NIC)
	if errors.Is(err, metadata.ErrNotFound) {
		return place{}, nil
	}
	if err != nil {
		return place{}, err
	}
	tag, err := metadata.JSON[int]("vlanTag", e.Tag)
	if err == nil && (tag < 0 || tag > 4094) {
		err = &metadata.BadAnswerError{Path: "vlanTag", Err: fmt.Errorf("%d is no VLAN's number", tag)}
	}
	return place{true, nic, tag}, err
}

// vlan says whose NIC the VNIC shares. Where the VNIC without a tag of the same physical NIC is not listed, that
// NIC's MAC is told nowhere, and nothing is done to this VNIC: no NIC has its MAC.
func (n *vnic) vlan(e entry, t trunks) metadata.Fact[metadata.VLAN] {
	p, err := placeOf(e)
	switch {
	case err != nil:
		n.unread("vlan", err)
		return metadata.Fact[metadata.VLAN]{}
	case !p.metal, p.tag == 0:
		return metadata.IsNone[metadata.VLAN](origin)
	case len(t[p.nic]) != 1:
		n.problems = append(n.problems, metadata.Problem{Interface: n.name, Field: "vlan", Reason: "vlan-parent-unknown",
			Text: fmt.Sprintf("it is VLAN %d on physical NIC %d, of which %d VNICs without a tag are listed; attach one, or say in an interfaces document which ENI's NIC it is on", p.tag, p.nic, len(t[p.nic]))})
		return metadata.Fact[metadata.VLAN]{}
	}
	return metadata.Is(metadata.VLAN{Parent: t[p.nic][0], ID: p.tag}, origin)
}
