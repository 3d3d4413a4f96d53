package main

import (
	"github.com/spf13/cobra"

	"enid/agent"
	"enid/netcfg"
)

func (c *cli) doctorCommand() *cobra.Command {
	return c.outputFlag(&cobra.Command{
		Use: "doctor", Short: "Look for what on this host can hurt",
		Long: "Look for every condition of this host that can hurt: numbers that others use, other\nagents and network managers on ENIs' NICs, default routes by them, strict\nrp_filter, missing iptables, two NICs with one MAC, metadata that does not answer.\nEach with what shows it and what helps. It changes nothing. Run it as root: what\niptables says needs that.\n\nExit code 1 when something is an error.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, kernel, err := c.assembleOnce(true)
			if err != nil {
				return err
			}
			defer kernel.Close()
			findings, err := a.Doctor(cmd.Context(), kernel, "/")
			if err != nil {
				return err
			}
			if agent.Hurts(findings) {
				c.exit = exitFailed
			}
			if c.output == "json" {
				return c.json(map[string][]netcfg.Finding{"findings": append([]netcfg.Finding{}, findings...)})
			}
			agent.PrintFindings(c.out, findings)
			return nil
		},
	})
}
