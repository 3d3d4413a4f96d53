package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"enid/agent"
	"enid/netcfg"
	"enid/systemd"
)

// assembleOnce makes an agent for a command that is not the daemon. Its log goes to stderr
// when it is to be seen.
func (c *cli) assembleOnce(quiet bool) (*agent.Agent, *netcfg.Kernel, error) {
	config, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	log := logger(config, &slog.LevelVar{})
	if quiet {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return c.assemble(log, config, systemd.New(func(string) string { return "" }))
}

func (c *cli) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "apply", Short: "Do one pass and exit",
		Long: "Do one pass: ask the metadata, make the kernel agree, exit. For boot scripts and\nimage tests; the daemon does this by itself.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := netcfg.MayChange(); err != nil {
				return err
			}
			a, kernel, err := c.assembleOnce(false)
			if err != nil {
				return err
			}
			defer kernel.Close()
			return a.Apply(cmd.Context())
		},
	}
}

func (c *cli) planCommand() *cobra.Command {
	exitCode := false
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a pass would do, changing nothing",
		Long: "Show what a pass would do, as ip, sysctl and iptables commands. It changes\nnothing, needs no privilege (but what iptables has is shown to root alone) and\nmay be run beside the daemon.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, kernel, err := c.assembleOnce(true)
			if err != nil {
				return err
			}
			defer kernel.Close()
			ops, err := a.Plan(cmd.Context())
			if err != nil {
				return err
			}
			if exitCode && len(ops) > 0 {
				c.exit = exitToDo
			}
			// The plan is of use all the same, and who has just broken the metadata has to know.
			return errors.Join(c.printPlan(ops, a.LastGood()), a.Outdated())
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 3 when there is something to do")
	return c.outputFlag(cmd)
}

// planned is an operation in JSON.
type planned struct {
	Slot    netcfg.Slot `json:"slot"`
	Command string      `json:"command"`
}

// printPlan prints operations, and of when the metadata is that they follow from, where it is not of now.
func (c *cli) printPlan(ops []netcfg.Op, lastGood time.Time) error {
	if c.output == "json" {
		list := []planned{}
		for _, op := range ops {
			list = append(list, planned{op.Slot, op.String()})
		}
		answer := map[string]any{"operations": list}
		if !lastGood.IsZero() {
			answer["lastGood"] = lastGood
		}
		return c.json(answer)
	}
	if !lastGood.IsZero() {
		fmt.Fprintln(c.out, "# the metadata does not answer; this follows from its last good answer, of", lastGood.Format(time.RFC3339))
	}
	if len(ops) == 0 {
		_, err := fmt.Fprintln(c.out, "# nothing to do")
		return err
	}
	for _, op := range ops {
		if _, err := fmt.Fprintln(c.out, op); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) json(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (c *cli) statusCommand() *cobra.Command {
	return c.outputFlag(&cobra.Command{
		Use: "status", Short: "Show each ENI: what it has, what is wrong, since when",
		Long: "Ask the daemon what it knows: each ENI with its phase, addresses, problems, and\nwho said what. Phases: configured, waiting (its NIC is not here), down (somebody\nset it down), incomplete (something is not known), conflict (somebody else's\narrangement is in the way), failed (the kernel refused), ignored (by the\nconfiguration).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			s, err := agent.FetchStatus(cmd.Context(), config.RuntimeDir)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(s)
			}
			return s.Print(c.out, time.Now())
		},
	})
}

func (c *cli) cleanupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cleanup", Short: "Remove everything that enid ever added, and nothing else",
		Long: "Remove everything that enid ever added to this host's network, put settings that\nit changed back to the values found, and print each step. The addresses of\nsecondary ENIs stop working. The daemon must be stopped first.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := netcfg.MayChange(); err != nil {
				return err
			}
			a, kernel, err := c.assembleOnce(true)
			if err != nil {
				return err
			}
			defer kernel.Close()
			removed := 0
			err = a.Cleanup(cmd.Context(), func(r netcfg.Result) {
				if r.Err == nil {
					removed++
					fmt.Fprintln(c.out, r.Op)
				}
			})
			if err != nil {
				return errors.Join(fmt.Errorf("%d operations done, not everything is removed", removed), err)
			}
			fmt.Fprintf(os.Stderr, "done, %d operations\n", removed)
			return nil
		},
	}
}
