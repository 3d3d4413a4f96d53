package netcfg

import (
	"fmt"
	"strings"

	"enid/metadata"
)

// MatchLink finds the NIC of an ENI by its MAC. Copies of a MAC are never taken:
// VLANs, macvlans, bridges, bonds and everything else that software made, except
// veth, which is what a NIC looks like in a container and in the laboratory, and except a VLAN whose MAC nobody
// else here has: that is an ENI without a NIC of its own (metadata.VLAN). A NIC that is a
// port of a bridge, bond or team belongs to that one. More than one NIC with
// the MAC is a problem, not a guess. The problem's reason is "no-nic" where the NIC is
// simply not there.
func MatchLink(mac metadata.MAC, links []Link) (Link, *metadata.Problem) {
	var found, ports, tagged []Link
	for _, l := range links {
		if l.MAC == mac {
			tagged = append(tagged, l)
		}
		switch {
		case l.MAC != mac || l.Kind != "" && l.Kind != "veth":
		case l.Master != 0:
			ports = append(ports, l)
		default:
			found = append(found, l)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(tagged) == 1 && tagged[0].Kind == "vlan" && tagged[0].Master == 0:
		return tagged[0], nil
	case len(found) > 1:
		return Link{}, &metadata.Problem{Reason: "ambiguous-mac",
			Text: fmt.Sprintf("%s all have MAC %s; give all but the ENI's NIC another MAC", names(found), mac)}
	case len(ports) > 0:
		return Link{}, &metadata.Problem{Reason: "nic-has-master",
			Text: fmt.Sprintf("%s is a port of %s; enid leaves it alone until it is released", names(ports), master(ports[0], links))}
	}
	return Link{}, &metadata.Problem{Reason: "no-nic", Text: fmt.Sprintf("no NIC with MAC %s is here yet", mac)}
}

func names(links []Link) string {
	var s []string
	for _, l := range links {
		s = append(s, l.Name)
	}
	return strings.Join(s, ", ")
}

func master(port Link, links []Link) string {
	for _, l := range links {
		if l.Index == port.Master {
			return l.Name
		}
	}
	return fmt.Sprintf("interface %d", port.Master)
}
