package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	vmapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/apis"
	vmmodels "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/models"
	vpcapi "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
	vpcmodels "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/models"
	"github.com/spf13/cobra"
)

// inventory is what list shows; in JSON the cloud's own objects.
type inventory struct {
	Subnets    []vpcmodels.Subnet           `json:"subnets"`
	Instances  []vmmodels.Instance          `json:"instances"`
	ENIs       []vpcmodels.NetworkInterface `json:"networkInterfaces"`
	ElasticIPs []vpcmodels.ElasticIp        `json:"elasticIps"`
}

func listCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use: "list", Short: "Subnets, instances, ENIs with their addresses, and public addresses", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := c.inventory()
			if err != nil {
				return err
			}
			if c.output == "json" {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			return v.write(cmd.OutOrStdout())
		},
	}
	c.flags(cmd)
	return cmd
}

// pageSize is the most that the API gives at a time.
const pageSize = 100

// pages collects a list that comes a page at a time.
func pages[T any](get func(page int) (items []T, total int, err error)) ([]T, error) {
	all := []T{}
	for page := 1; ; page++ {
		items, total, err := get(page)
		all = append(all, items...)
		if err != nil || len(items) == 0 || len(all) >= total {
			return all, err
		}
	}
}

func (c *client) inventory() (v inventory, err error) {
	if v.Subnets, err = pages(c.subnets); err != nil {
		return v, err
	}
	if v.Instances, err = pages(c.instances); err != nil {
		return v, err
	}
	if v.ENIs, err = pages(c.enis); err != nil {
		return v, err
	}
	v.ElasticIPs, err = pages(c.elasticIPs)
	slices.SortFunc(v.ENIs, func(a, b vpcmodels.NetworkInterface) int {
		return cmp.Or(cmp.Compare(a.InstanceId, b.InstanceId), cmp.Compare(a.DeviceIndex, b.DeviceIndex), cmp.Compare(a.NetworkInterfaceId, b.NetworkInterfaceId))
	})
	return v, err
}

func (c *client) subnets(page int) ([]vpcmodels.Subnet, int, error) {
	r := vpcapi.NewDescribeSubnetsRequest(c.region)
	r.SetPageNumber(page)
	r.SetPageSize(pageSize)
	resp, err := c.vpc.DescribeSubnets(r)
	if err := c.answered(err, func() refusal { return resp.Error }); err != nil {
		return nil, 0, err
	}
	return resp.Result.Subnets, resp.Result.TotalCount, nil
}

func (c *client) instances(page int) ([]vmmodels.Instance, int, error) {
	r := vmapi.NewDescribeInstancesRequest(c.region)
	r.SetPageNumber(page)
	r.SetPageSize(pageSize)
	resp, err := c.vm.DescribeInstances(r)
	if err := c.answered(err, func() refusal { return resp.Error }); err != nil {
		return nil, 0, err
	}
	return resp.Result.Instances, resp.Result.TotalCount, nil
}

func (c *client) enis(page int) ([]vpcmodels.NetworkInterface, int, error) {
	r := vpcapi.NewDescribeNetworkInterfacesRequest(c.region)
	r.SetPageNumber(page)
	r.SetPageSize(pageSize)
	resp, err := c.vpc.DescribeNetworkInterfaces(r)
	if err := c.answered(err, func() refusal { return resp.Error }); err != nil {
		return nil, 0, err
	}
	return resp.Result.NetworkInterfaces, resp.Result.TotalCount, nil
}

func (c *client) elasticIPs(page int) ([]vpcmodels.ElasticIp, int, error) {
	r := vpcapi.NewDescribeElasticIpsRequest(c.region)
	r.SetPageNumber(page)
	r.SetPageSize(pageSize)
	resp, err := c.vpc.DescribeElasticIps(r)
	if err := c.answered(err, func() refusal { return resp.Error }); err != nil {
		return nil, 0, err
	}
	return resp.Result.ElasticIps, resp.Result.TotalCount, nil
}

// write shows tables. An ENI has a line for each of its addresses.
func (v inventory) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SUBNET\tNAME\tRANGE\tVPC\tFREE")
	for _, s := range v.Subnets {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", s.SubnetId, dash(s.SubnetName), s.AddressPrefix, s.VpcId, s.AvailableIpCount)
	}
	fmt.Fprintln(w, "\nINSTANCE\tNAME\tSTATUS\tTYPE\tADDRESS")
	for _, i := range v.Instances {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.InstanceId, dash(i.InstanceName), i.Status, dash(i.InstanceType), i.PrivateIpAddress)
	}
	fmt.Fprintln(w, "\nENI\tINSTANCE\tINDEX\tMAC\tADDRESS\tPUBLIC")
	for _, e := range v.ENIs {
		index := "-"
		if e.InstanceId != "" {
			index = fmt.Sprint(e.DeviceIndex)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.NetworkInterfaceId, dash(e.InstanceId), index, e.MacAddress, e.PrimaryIp.PrivateIpAddress, dash(e.PrimaryIp.ElasticIpAddress))
		for _, a := range e.SecondaryIps {
			fmt.Fprintf(w, "\t\t\t\t%s\t%s\n", a.PrivateIpAddress, dash(a.ElasticIpAddress))
		}
		for _, block := range e.SecondaryCidrs {
			fmt.Fprintf(w, "\t\t\t\t%s\t-\n", block)
		}
	}
	fmt.Fprintln(w, "\nPUBLIC ADDRESS\tID\tZONE\tENI\tPRIVATE")
	for _, e := range v.ElasticIPs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.ElasticIpAddress, e.ElasticIpId, dash(e.Az), dash(e.NetworkInterfaceId), dash(e.PrivateIpAddress))
	}
	return w.Flush()
}

func dash(s string) string { return cmp.Or(strings.TrimSpace(s), "-") }

// say prints what an operation did.
func (c *client) say(out io.Writer, said string) error {
	if c.output == "json" {
		return writeJSON(out, map[string]string{"done": said})
	}
	_, err := fmt.Fprintln(out, said)
	return err
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
