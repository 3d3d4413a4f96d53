package document

import (
	"fmt"
	"strconv"

	"enid/metadata"

	"github.com/goccy/go-yaml/ast"
)

var vlanKeys = []string{"parent", "id"}

// vlan decodes {parent: MAC, id: NUMBER}; {} says that the ENI has a NIC of its own.
func (d *decoder) vlan(i *metadata.Interface, n ast.Node) {
	if n == nil {
		return
	}
	pairs, ok := d.pairs(n, "vlan", vlanKeys...)
	if !ok {
		return
	}
	if len(pairs) == 0 {
		i.VLAN = metadata.IsNone[metadata.VLAN]("")
		return
	}
	var v metadata.VLAN
	said := map[string]bool{}
	for _, pair := range pairs {
		key, good := d.key(pair), true
		switch key {
		case "parent":
			v.Parent, good = parsed(d, pair.Value, "vlan: parent", metadata.ParseMAC)
		case "id":
			v.ID, good = parsed(d, pair.Value, "vlan: id", parseVLAN)
		default:
			d.unknownKey(pair, vlanKeys)
			good = false
		}
		said[key] = true
		ok = ok && good
	}
	for _, key := range vlanKeys {
		if !said[key] {
			d.fail(n, "vlan: %q is missing; want {parent: MAC of the NIC that carries it, id: 1 to 4094}", key)
			ok = false
		}
	}
	if ok && v.Parent == i.MAC {
		d.fail(n, "vlan: parent is the ENI's own MAC; want that of the NIC that carries its frames")
		ok = false
	}
	i.VLAN = known(v, ok)
}

func parseVLAN(s string) (int, error) {
	id, err := strconv.Atoi(s)
	if err != nil || id < 1 || id > 4094 {
		return 0, fmt.Errorf("%q is no VLAN id; want a number from 1 to 4094", s)
	}
	return id, nil
}
