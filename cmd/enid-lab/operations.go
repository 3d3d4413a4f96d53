package main

import (
	"fmt"
	"strconv"
	"strings"

	vmapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vmmodels "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
	vpcapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpcmodels "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"
	"github.com/spf13/cobra"
)

// operation is a command that asks the cloud for one thing and says in a line what was done.
func operation(use, short string, args cobra.PositionalArgs, more func(*cobra.Command), do func(c *client, args []string) (string, error)) *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{Use: use, Short: short, Args: args}
	c.flags(cmd)
	if more != nil {
		more(cmd)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		said, err := do(c, args)
		if err != nil {
			return err
		}
		return c.say(cmd.OutOrStdout(), said)
	}
	return cmd
}

// operations are what an operator does to ENIs, as the cloud's console and CLI have it.
func operations() []*cobra.Command {
	return []*cobra.Command{
		createENI(), deleteENI(), attach(), detach(), assign(), release(), bindEIP(), unbindEIP(), deleteOnTermination(),
		instanceState("start", "Start a stopped instance", (*client).start),
		instanceState("stop", "Stop a running instance", (*client).stop),
		instanceState("terminate", "Delete an instance, its primary ENI, and the ENIs that are set to go with it", (*client).terminate),
	}
}

func createENI() *cobra.Command {
	var name, address string
	var count int
	return operation("create-eni SUBNET", "Make an ENI that is not attached", cobra.ExactArgs(1), func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&name, "name", "", "a name for people")
		cmd.Flags().StringVar(&address, "address", "", "its primary address (default: the cloud chooses)")
		cmd.Flags().IntVar(&count, "secondary", 0, "how many secondary addresses the cloud chooses")
	}, func(c *client, args []string) (string, error) {
		r := vpcapi.NewCreateNetworkInterfaceRequest(c.region, args[0])
		if name != "" {
			r.SetNetworkInterfaceName(name)
		}
		if address != "" {
			r.SetPrimaryIpAddress(address)
		}
		if count > 0 {
			r.SetSecondaryIpCount(count)
		}
		resp, err := c.vpc.CreateNetworkInterface(r)
		if err := c.answered(err, func() refusal { return resp.Error }); err != nil {
			return "", err
		}
		return "created " + resp.Result.NetworkInterfaceId, nil
	})
}

func deleteENI() *cobra.Command {
	return operation("delete-eni ENI", "Delete an ENI that is not attached", cobra.ExactArgs(1), nil, func(c *client, args []string) (string, error) {
		resp, err := c.vpc.DeleteNetworkInterface(vpcapi.NewDeleteNetworkInterfaceRequest(c.region, args[0]))
		return "deleted " + args[0], c.answered(err, func() refusal { return resp.Error })
	})
}

func attach() *cobra.Command {
	var autoDelete bool
	return operation("attach INSTANCE ENI", "Plug an ENI into an instance, running or stopped", cobra.ExactArgs(2), func(cmd *cobra.Command) {
		cmd.Flags().BoolVar(&autoDelete, "delete-on-termination", false, "the ENI goes when the instance is terminated")
	}, func(c *client, args []string) (string, error) {
		r := vmapi.NewAttachNetworkInterfaceRequest(c.region, args[0], args[1])
		r.SetAutoDelete(autoDelete)
		resp, err := c.vm.AttachNetworkInterface(r)
		return fmt.Sprintf("attaching %s to %s", args[1], args[0]), c.answered(err, func() refusal { return resp.Error })
	})
}

func detach() *cobra.Command {
	return operation("detach INSTANCE ENI", "Unplug a secondary ENI from an instance", cobra.ExactArgs(2), nil, func(c *client, args []string) (string, error) {
		resp, err := c.vm.DetachNetworkInterface(vmapi.NewDetachNetworkInterfaceRequest(c.region, args[0], args[1]))
		return fmt.Sprintf("detaching %s from %s", args[1], args[0]), c.answered(err, func() refusal { return resp.Error })
	})
}

func assign() *cobra.Command {
	var count, maskLen int
	var keep bool
	return operation("assign ENI [ADDRESS]...", "Give an ENI secondary addresses, also ones that another ENI has", cobra.MinimumNArgs(1), func(cmd *cobra.Command) {
		cmd.Flags().IntVar(&count, "count", 0, "how many the cloud chooses (default 1 where no address is given)")
		cmd.Flags().IntVar(&maskLen, "block", 0, "a block of this prefix length, 24 to 28, instead of addresses")
		cmd.Flags().BoolVar(&keep, "no-preempt", false, "refuse an address that another ENI has")
	}, func(c *client, args []string) (string, error) {
		r := vpcapi.NewAssignSecondaryIpsRequest(c.region, args[0])
		if keep {
			r.SetForce(false)
		}
		switch {
		case maskLen > 0:
			r.SetSecondaryIpMaskLen(maskLen)
		case len(args) > 1:
			r.SetSecondaryIps(args[1:])
		case count == 0:
			count = 1
		}
		if count > 0 {
			r.SetSecondaryIpCount(count)
		}
		resp, err := c.vpc.AssignSecondaryIps(r)
		return "assigned to " + args[0], c.answered(err, func() refusal { return resp.Error })
	})
}

func release() *cobra.Command {
	return operation("release ENI ADDRESS|BLOCK...", "Take secondary addresses or blocks from an ENI", cobra.MinimumNArgs(2), nil, func(c *client, args []string) (string, error) {
		r := vpcapi.NewUnassignSecondaryIpsRequest(c.region, args[0])
		var addresses, blocks []string
		for _, a := range args[1:] {
			if strings.Contains(a, "/") {
				blocks = append(blocks, a)
			} else {
				addresses = append(addresses, a)
			}
		}
		r.SetSecondaryIps(addresses)
		r.SetSecondaryCidrs(blocks)
		resp, err := c.vpc.UnassignSecondaryIps(r)
		return "released " + strings.Join(args[1:], " "), c.answered(err, func() refusal { return resp.Error })
	})
}

func bindEIP() *cobra.Command {
	var private string
	return operation("bind-eip ENI|INSTANCE [EIP]", "Bind a public address to a private one; without EIP one that is free, or a new one", cobra.RangeArgs(1, 2), func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&private, "private", "", "the private address (default: the ENI's primary; an instance always means its primary ENI's)")
	}, func(c *client, args []string) (string, error) {
		if len(args) == 1 {
			eip, err := c.anyEIP()
			if err != nil {
				return "", err
			}
			args = append(args, eip)
		}
		said := fmt.Sprintf("bound %s to %s", args[1], args[0])
		if isInstance(args[0]) {
			resp, err := c.vm.AssociateElasticIp(vmapi.NewAssociateElasticIpRequest(c.region, args[0], args[1]))
			return said, c.answered(err, func() refusal { return resp.Error })
		}
		r := vpcapi.NewAssociateElasticIpRequest(c.region, args[0])
		r.SetElasticIpId(args[1])
		if private != "" {
			r.SetPrivateIpAddress(private)
		}
		resp, err := c.vpc.AssociateElasticIp(r)
		return said, c.answered(err, func() refusal { return resp.Error })
	})
}

// anyEIP is a public address of the region that is bound to nothing, a new one where there is none.
func (c *client) anyEIP() (string, error) {
	all, err := pages(c.elasticIPs)
	if err != nil {
		return "", err
	}
	for _, e := range all {
		if e.NetworkInterfaceId == "" && e.Az == "" {
			return e.ElasticIpId, nil
		}
	}
	resp, err := c.vpc.CreateElasticIps(vpcapi.NewCreateElasticIpsRequest(c.region, 1, &vpcmodels.ElasticIpSpec{BandwidthMbps: 1, Provider: "bgp"}))
	if err := c.answered(err, func() refusal { return resp.Error }); err != nil {
		return "", err
	}
	if len(resp.Result.ElasticIpIds) != 1 {
		return "", fmt.Errorf("the cloud made %d public addresses instead of one", len(resp.Result.ElasticIpIds))
	}
	return resp.Result.ElasticIpIds[0], nil
}

func unbindEIP() *cobra.Command {
	return operation("unbind-eip ENI|INSTANCE EIP", "Unbind a public address, which stays the account's", cobra.ExactArgs(2), nil, func(c *client, args []string) (string, error) {
		said := fmt.Sprintf("unbound %s from %s", args[1], args[0])
		if isInstance(args[0]) {
			resp, err := c.vm.DisassociateElasticIp(vmapi.NewDisassociateElasticIpRequest(c.region, args[0], args[1]))
			return said, c.answered(err, func() refusal { return resp.Error })
		}
		r := vpcapi.NewDisassociateElasticIpRequest(c.region, args[0])
		r.SetElasticIpId(args[1])
		resp, err := c.vpc.DisassociateElasticIp(r)
		return said, c.answered(err, func() refusal { return resp.Error })
	})
}

func deleteOnTermination() *cobra.Command {
	return operation("set-delete-on-termination INSTANCE ENI true|false", "Whether an ENI goes with its instance", cobra.ExactArgs(3), nil, func(c *client, args []string) (string, error) {
		on, err := strconv.ParseBool(args[2])
		if err != nil {
			return "", fmt.Errorf("%q: want true or false", args[2])
		}
		r := vmapi.NewModifyInstanceNetworkAttributeRequest(c.region, args[0],
			[]vmmodels.InstanceNetworkAttribute{{NetworkInterfaceId: &args[1], AutoDelete: &on}})
		resp, err := c.vm.ModifyInstanceNetworkAttribute(r)
		return fmt.Sprintf("%s: delete on termination is %t", args[1], on), c.answered(err, func() refusal { return resp.Error })
	})
}

// instanceState is a command about an instance as a whole.
func instanceState(name, short string, do func(c *client, instance string) error) *cobra.Command {
	return operation(name+" INSTANCE", short, cobra.ExactArgs(1), nil, func(c *client, args []string) (string, error) {
		return name + ": " + args[0], do(c, args[0])
	})
}

func (c *client) start(instance string) error {
	resp, err := c.vm.StartInstance(vmapi.NewStartInstanceRequest(c.region, instance))
	return c.answered(err, func() refusal { return resp.Error })
}

func (c *client) stop(instance string) error {
	resp, err := c.vm.StopInstance(vmapi.NewStopInstanceRequest(c.region, instance))
	return c.answered(err, func() refusal { return resp.Error })
}

func (c *client) terminate(instance string) error {
	resp, err := c.vm.DeleteInstance(vmapi.NewDeleteInstanceRequest(c.region, instance))
	return c.answered(err, func() refusal { return resp.Error })
}

// isInstance tells an instance's id from an ENI's, as the cloud spells them.
func isInstance(id string) bool { return strings.HasPrefix(id, "i-") }
