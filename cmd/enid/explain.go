package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"enid/agent"
	"enid/netcfg"
)

// anySource is the word for a socket that is bound to no address.
const anySource = "any"

// question is the command line of explain.
type question struct {
	iif, mark, uid string
	all            bool
}

func (c *cli) explainCommand() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use: "explain SRC DST", Short: "Show which way a packet goes, and what is wrong",
		Long: `Walk the policy rules for a packet as the kernel does: which rule took it, which
route was chosen, by which ENI it leaves, whether the kernel's own lookup agrees,
and what is wrong if it goes wrong. It changes nothing and needs no privilege; the
daemon, where it runs, tells the names of the ENIs.

SRC is an address of this host, or any for a socket that is bound to none. With
--iif the packet comes in by that NIC from outside or from a container, and SRC is
whatever it is sent from. Rules that ask for a protocol or a port are taken for
ones of other traffic, and named.

Exit code 0 also where the way is wrong; 1 where there is no answer.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("%s takes SRC and DST, got %d arguments", cmd.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := q.packet(args[0], args[1])
			if err != nil {
				return usageError{err}
			}
			if p.IIF != "" && cmd.Flags().Changed("uid") {
				return usageError{errors.New("--uid is the owner of a socket; a packet that comes in by a NIC has none")}
			}
			return c.explain(cmd, p, q.all)
		},
	}
	cmd.Flags().StringVar(&q.iif, "iif", "", "the packet comes in by this `NIC`")
	cmd.Flags().StringVar(&q.mark, "mark", "0", "the packet's `mark`, such as 0x2000000")
	cmd.Flags().StringVar(&q.uid, "uid", strconv.Itoa(os.Getuid()), "`user` id of the socket's owner")
	cmd.Flags().BoolVar(&q.all, "all", false, "show the rules too that were passed, and why")
	return c.outputFlag(cmd)
}

// packet is what is asked about; an error is one of usage.
func (q question) packet(src, dst string) (p netcfg.Packet, err error) {
	if p.Dst, err = address("DST", dst); err != nil {
		return p, err
	}
	if src != anySource {
		if p.Src, err = address("SRC", src); err != nil {
			return p, err
		}
	}
	if p.Mark, err = number("--mark", q.mark); err != nil {
		return p, err
	}
	if p.UID, err = number("--uid", q.uid); err != nil {
		return p, err
	}
	p.IIF = q.iif
	return p, p.Check()
}

func address(name, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s %q is no IP address", name, text)
	}
	return a.Unmap(), nil
}

func number(name, text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("%s %q: want a number of 32 bits, decimal or 0x…", name, text)
	}
	return uint32(n), nil
}

func (c *cli) explain(cmd *cobra.Command, p netcfg.Packet, all bool) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	var enis []netcfg.NamedENI
	status, unnamed := agent.FetchStatus(cmd.Context(), config.RuntimeDir)
	if unnamed == nil {
		enis = named(status)
	}
	e, err := netcfg.Explain(cmd.Context(), p, config.Routing, enis)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	if unnamed != nil {
		e.Notes = append(e.Notes, fmt.Sprintf("ENIs have no names here: %v", unnamed))
	}
	if c.output == "json" {
		return c.json(e)
	}
	return e.Print(c.out, all)
}

// named is what the daemon knows and the kernel does not tell.
func named(s *agent.Status) (enis []netcfg.NamedENI) {
	for _, e := range s.ENIs {
		if e.NIC != "" {
			enis = append(enis, netcfg.NamedENI{Name: e.Name, NIC: e.NIC, Slot: e.Slot, Prefixes: slices.Concat(e.Prefixes, e.Local), Subnets: e.Subnets})
		}
	}
	return enis
}
