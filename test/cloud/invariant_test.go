package cloud_test

import (
	"fmt"
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"enid/metadata"
	"enid/test/cloud"
)

// place is an address in a VPC.
type place struct {
	vpc  string
	addr netip.Addr
}

// checkService checks the rules that hold at every moment.
func checkService(rt *rapid.T, w whole) {
	subnets, enis := map[string]cloud.Subnet{}, map[string]cloud.ENI{}
	for _, s := range w.Subnets {
		subnets[s.ID] = s
	}
	holder, macs := map[place]string{}, map[metadata.MAC]string{}
	for _, e := range w.ENIs {
		enis[e.ID] = e
		checkENI(rt, e, subnets)
		for _, a := range e.Addresses {
			if other := holder[place{e.VPC, a}]; other != "" {
				rt.Errorf("%s is on %s and on %s", a, other, e.ID)
			}
			holder[place{e.VPC, a}] = e.ID
		}
		if macs[e.MAC] != "" {
			rt.Errorf("MAC %s is of %s and of %s", e.MAC, macs[e.MAC], e.ID)
		}
		macs[e.MAC] = e.ID
	}
	checkBlocks(rt, w.ENIs, holder)
	checkDelivered(rt, w.ENIs, holder)
	checkVLANs(rt, enis)
	for _, in := range w.Instances {
		checkInstance(rt, in, w.ENIs)
	}
	checkPublic(rt, w, enis)
}

func checkENI(rt *rapid.T, e cloud.ENI, subnets map[string]cloud.Subnet) {
	ipv4 := 0
	for _, a := range e.Addresses {
		if a.Is4() {
			ipv4++
		}
		s := subnets[e.SubnetID]
		if other, ok := e.AddressSubnets[a]; ok {
			s = subnets[other]
		}
		inside := slices.ContainsFunc(s.Prefixes(), func(p netip.Prefix) bool { return p.Contains(a) })
		if !inside || s.VPC != e.VPC || a == s.Gateway() || a == s.DHCP() {
			rt.Errorf("%s has %s, which subnet %s does not give", e.ID, a, s.ID)
		}
	}
	_, moved := e.AddressSubnets[e.Addresses[0]]
	if ipv4 > 5 || moved || !e.Addresses[0].Is4() {
		rt.Errorf("%s has wrong addresses: %+v", e.ID, e)
	}
	for a := range e.AddressSubnets {
		if !slices.Contains(e.Addresses, a) {
			rt.Errorf("%s knows the subnet of %s and does not have it", e.ID, a)
		}
	}
	if e.Primary && (e.Instance == "" || !e.AutoDelete) || e.Instance == "" && (e.Index != 0 || e.AutoDelete) || len(e.SecurityGroups) == 0 {
		rt.Errorf("%s breaks a rule: %+v", e.ID, e)
	}
}

// checkBlocks: no block shares an address with another, nor with an ENI's address.
func checkBlocks(rt *rapid.T, enis []cloud.ENI, holder map[place]string) {
	seen := map[string][]netip.Prefix{}
	for _, e := range enis {
		for _, p := range e.Prefixes {
			if slices.ContainsFunc(seen[e.VPC], p.Overlaps) {
				rt.Errorf("block %s of %s overlaps another", p, e.ID)
			}
			seen[e.VPC] = append(seen[e.VPC], p)
			for at, id := range holder {
				if at.vpc == e.VPC && p.Contains(at.addr) {
					rt.Errorf("block %s of %s contains %s of %s", p, e.ID, at.addr, id)
				}
			}
		}
	}
}

// checkDelivered: nobody else has an address of an alias range, and none has a forwarded address.
func checkDelivered(rt *rapid.T, enis []cloud.ENI, holder map[place]string) {
	for _, e := range enis {
		for at, id := range holder {
			alias := slices.ContainsFunc(e.Aliases, func(p netip.Prefix) bool { return p.Contains(at.addr) })
			if at.vpc == e.VPC && (alias || slices.Contains(e.Forwarded, at.addr)) {
				rt.Errorf("%s gets %s, which %s has", e.ID, at.addr, id)
			}
		}
		for _, other := range enis {
			for _, p := range e.Aliases {
				if other.VPC != e.VPC {
					continue
				}
				if slices.ContainsFunc(other.Prefixes, p.Overlaps) || slices.ContainsFunc(other.Forwarded, p.Contains) || other.ID != e.ID && slices.ContainsFunc(other.Aliases, p.Overlaps) {
					rt.Errorf("alias range %s of %s overlaps what %s has", p, e.ID, other.ID)
				}
			}
		}
	}
}

// checkVLANs: each is on the NIC of an ENI of its instance that has one, and has its id alone there.
func checkVLANs(rt *rapid.T, enis map[string]cloud.ENI) {
	seen := map[string]bool{}
	for _, e := range enis {
		if e.VLANParent == "" && e.VLAN == 0 {
			continue
		}
		p, there := enis[e.VLANParent]
		key := fmt.Sprint(e.VLANParent, " ", e.VLAN)
		if !there || p.VLANParent != "" || e.Instance == "" || p.Instance != e.Instance || e.Primary || seen[key] {
			rt.Errorf("%s is no right VLAN: %+v", e.ID, e)
		}
		seen[key] = true
	}
}

// checkInstance: one primary ENI, at index 0, and no more than the vCPUs allow.
func checkInstance(rt *rapid.T, in cloud.Instance, enis []cloud.ENI) {
	index := map[int]bool{}
	for _, e := range enis {
		if e.Instance != in.ID {
			continue
		}
		if index[e.Index] || e.Primary != (e.Index == 0) || e.VPC != in.VPC {
			rt.Errorf("%s has a wrong ENI: %+v", in.ID, e)
		}
		index[e.Index] = true
	}
	if !index[0] || len(index) > in.NICLimit {
		rt.Errorf("%+v has ENIs %v", in, index)
	}
}

// checkPublic: elastic IPs and ENIs tell the same, one for one, and zonal ones
// are on primary ENIs of their zone.
func checkPublic(rt *rapid.T, w whole, enis map[string]cloud.ENI) {
	bound := 0
	zone := map[string]string{}
	for _, in := range w.Instances {
		zone[in.ID] = in.AZ
	}
	for _, eip := range w.EIPs {
		if eip.ENI == "" {
			continue
		}
		bound++
		e := enis[eip.ENI]
		if e.Public[eip.Private] != eip.Address || !slices.Contains(e.Addresses, eip.Private) {
			rt.Errorf("%+v is not what its ENI says: %+v", eip, e)
		}
		if eip.AZ != "" && (!e.Primary || zone[e.Instance] != eip.AZ) {
			rt.Errorf("%+v is on %+v", eip, e)
		}
	}
	for _, e := range enis {
		bound -= len(e.Public)
	}
	if bound != 0 {
		rt.Errorf("elastic IPs and ENIs differ by %d bindings", bound)
	}
}
