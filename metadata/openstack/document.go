package openstack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"enid/metadata"
)

// document is network_data.json, its entries read one by one, so that a broken one costs no other.
type document struct {
	links    []link
	networks []network
	// strange are the networks that cannot be read, or of links that are not there: nobody knows whose they are.
	strange []error
}

// link is an entry of links: a port, or what the host is to make of ports.
type link struct {
	ID        string          `json:"id"`
	VIF       string          `json:"vif_id"` // the port's id
	Type      string          `json:"type"`
	MTU       json.RawMessage `json:"mtu"` // null where a DHCP server tells it
	MAC       string          `json:"ethernet_mac_address"`
	BondLinks []string        `json:"bond_links"`
	VLANMAC   string          `json:"vlan_mac_address"`
	VLANLink  string          `json:"vlan_link"` // the id of the link that carries it
	VLANID    json.RawMessage `json:"vlan_id"`
	Local     *string         `json:"local_ipv4"`  // Huawei's, as the next
	Public    *string         `json:"public_ipv4"` // "" for none, or left out

	err error // what of it could not be read
}

// network is an entry of networks: what a link has in one family.
type network struct {
	ID      string `json:"id"`
	Link    string `json:"link"`
	Type    string `json:"type"` // ipv4, ipv4_dhcp, ipv6, ipv6_dhcp, ipv6_slaac, ipv6_dhcpv6-stateless, ipv6_dhcpv6-stateful
	Address string `json:"ip_address"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
	Routes  []struct {
		Network string `json:"network"`
		Netmask string `json:"netmask"`
		Gateway string `json:"gateway"`
	} `json:"routes"`

	err error // what of it could not be read
}

// decode reads a network_data.json. A document without links is none.
func decode(body string) (document, error) {
	var raw struct {
		Links    *[]json.RawMessage `json:"links"`
		Networks *[]json.RawMessage `json:"networks"`
	}
	if err := json.Unmarshal([]byte(body), &raw); err != nil {
		return document{}, fmt.Errorf("it is not the document of an instance's network: %w", err)
	}
	if raw.Links == nil || len(*raw.Links) == 0 {
		return document{}, fmt.Errorf("it lists no link (it says %.80q), but an instance always has a port; check what answers at the metadata endpoint", body)
	}
	var d document
	for _, entry := range *raw.Links {
		var l link
		l.err = json.Unmarshal(entry, &l) // after a value of another type it reads on
		d.links = append(d.links, l)
	}
	if raw.Networks == nil {
		d.strange = append(d.strange, errors.New("networks is missing, so the links' addresses are not known"))
		return d, nil
	}
	for _, entry := range *raw.Networks {
		d.add(entry)
	}
	return d, nil
}

func (d *document) add(entry json.RawMessage) {
	var n network
	n.err = json.Unmarshal(entry, &n)
	if slices.ContainsFunc(d.links, func(l link) bool { return l.ID != "" && l.ID == n.Link }) {
		d.networks = append(d.networks, n)
		return
	}
	d.strange = append(d.strange, fmt.Errorf("the network %.200q is of no link that is listed", entry))
}

// of are the networks of a link of one family: "ipv4" or "ipv6", which every type begins with.
func (d document) of(l link, family string) []network {
	var own []network
	for _, n := range d.networks {
		if n.Link == l.ID && strings.HasPrefix(n.Type, family) {
			own = append(own, n)
		}
	}
	return own
}

// unread are the networks of a link whose type is not known: they may be of either family.
func (d document) unread(l link) error {
	for _, n := range d.networks {
		if n.Link == l.ID && !strings.HasPrefix(n.Type, "ipv4") && !strings.HasPrefix(n.Type, "ipv6") {
			return fmt.Errorf("the network %.80q is of the type %.80q, want one of ipv4 or ipv6", n.ID, n.Type)
		}
	}
	return nil
}

// nic is a link that is a NIC of the host, or a VLAN on one.
type nic struct {
	link
	mac  metadata.MAC
	vlan *metadata.VLAN // nil for a NIC, and for a VLAN of which it cannot be read
}

// sorted are the links by what they are to enid.
type sorted struct {
	nics  []nic    // by MAC
	alone []string // ids of those to leave alone: bonds, their members, and VLANs on them or without a MAC of their own
	bad   []error  // those that cannot be read as far as their MAC
}

func (d document) sort() sorted {
	var s sorted
	members := map[string]bool{}
	for _, l := range d.links {
		for _, id := range l.BondLinks {
			members[id] = true
		}
	}
	for _, l := range d.links {
		switch {
		case l.Type == "bond", members[l.ID] && l.ID != "":
			s.alone = append(s.alone, l.ID)
		case l.Type != "vlan":
			s.add(l, l.MAC)
		}
	}
	ports := slices.Clone(s.nics)
	for _, l := range d.links {
		if l.Type == "vlan" && !slices.Contains(s.alone, l.ID) {
			s.addVLAN(l, ports)
		}
	}
	slices.SortStableFunc(s.nics, func(a, b nic) int { return slices.Compare(a.mac[:], b.mac[:]) })
	return s
}

func (s *sorted) add(l link, written string) (added bool) {
	mac, err := metadata.ParseMAC(written)
	if err != nil {
		s.bad = append(s.bad, fmt.Errorf("the MAC of link %.80q: %w", l.ID, err))
		return false
	}
	s.nics = append(s.nics, nic{link: l, mac: mac})
	return true
}

// addVLAN adds a VLAN that has a MAC of its own. Ironic gives those of a trunk the MAC of the NIC that carries them, by
// which enid could not tell them apart.
func (s *sorted) addVLAN(l link, ports []nic) {
	written := cmp.Or(l.VLANMAC, l.MAC)
	mac, err := metadata.ParseMAC(written)
	shared := err == nil && slices.ContainsFunc(ports, func(p nic) bool { return p.mac == mac })
	if written == "" || shared || slices.Contains(s.alone, l.VLANLink) {
		s.alone = append(s.alone, l.ID)
		return
	}
	var id int
	parent := slices.IndexFunc(ports, func(p nic) bool { return p.ID != "" && p.ID == l.VLANLink })
	switch {
	case l.err != nil:
	case parent < 0:
		l.err = fmt.Errorf("the VLAN %.80q is on %.80q, which is no NIC that is listed", l.ID, l.VLANLink)
	case json.Unmarshal(l.VLANID, &id) != nil || id < 1 || id > 4094:
		l.err = fmt.Errorf("the VLAN %.80q has the vlan_id %.80q, want a number from 1 to 4094", l.ID, l.VLANID)
	}
	if s.add(l, written) && l.err == nil {
		s.nics[len(s.nics)-1].vlan = &metadata.VLAN{Parent: ports[parent].mac, ID: id}
	}
}

// lists reports whether a document has a NIC of that MAC.
func lists(body string, mac metadata.MAC) bool {
	d, _ := decode(body)
	return slices.ContainsFunc(d.sort().nics, func(n nic) bool { return n.mac == mac })
}
