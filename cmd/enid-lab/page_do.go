package main

import (
	"fmt"
	"net/netip"

	"enid/test/cloud"
)

// do does one operation to the cloud. The errors are the cloud's refusals, and what cannot be understood.
func (k click) do(c *cloud.Cloud) error {
	switch k.Operation {
	case "create-eni":
		_, err := c.CreateENI(k.Subnet, cloud.ENIOptions{})
		return err
	case "delete-eni":
		return c.DeleteENI(k.ENI)
	case "attach":
		return c.Attach(k.Instance, k.ENI)
	case "detach":
		return c.Detach(k.Instance, k.ENI)
	case "set-delete-on-termination":
		return c.SetAutoDelete(k.Instance, map[string]bool{k.ENI: k.On})
	case "start":
		return c.Start(k.Instance)
	case "stop":
		return c.Stop(k.Instance)
	case "terminate":
		return c.Terminate(k.Instance)
	case "unbind-eip":
		return c.DisassociateEIP(k.ENI, k.EIP)
	case "assign", "release", "bind-eip":
		return k.address(c)
	}
	return fmt.Errorf("%q is no operation", k.Operation)
}

// address does the operations that are about one.
func (k click) address(c *cloud.Cloud) error {
	if k.Operation == "assign" && k.Address == "" {
		return c.AssignSecondary(k.ENI, cloud.AssignOptions{Count: 1})
	}
	if block, err := netip.ParsePrefix(k.Address); err == nil && k.Operation == "release" {
		return c.UnassignSecondary(k.ENI, nil, []netip.Prefix{block}, false)
	}
	a, err := netip.ParseAddr(k.Address)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Operation, err)
	}
	switch k.Operation {
	case "assign":
		return c.AssignSecondary(k.ENI, cloud.AssignOptions{Addresses: []netip.Addr{a}})
	case "release":
		return c.UnassignSecondary(k.ENI, []netip.Addr{a}, nil, false)
	}
	return bindAny(c, k.ENI, a)
}

// bindAny binds a public address of the region that is bound to nothing, or a new one.
func bindAny(c *cloud.Cloud, eni string, private netip.Addr) error {
	for _, eip := range c.ElasticIPs() {
		if eip.ENI == "" && eip.AZ == "" {
			return c.AssociateEIP(eni, eip.ID, private)
		}
	}
	eip, err := c.AllocateEIP("")
	if err != nil {
		return err
	}
	return c.AssociateEIP(eni, eip.ID, private)
}
