// Command enid-lab shows enid at work on a simulated cloud, in network namespaces of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"enid/test/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use: "enid-lab", Short: "A cloud, its fabric and a VM with enid, all on this machine",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(demoCommand(), upCommand(), shellCommand(), cloudCommand(), listCommand())
	root.AddCommand(operations()...)
	err := root.ExecuteContext(ctx)
	switch {
	case errors.Is(err, errChecks):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "enid-lab:", err)
		os.Exit(1)
	}
}

func demoCommand() *cobra.Command {
	d := &demo{out: os.Stdout}
	cmd := &cobra.Command{
		Use: "demo", Short: "A tour: ENIs and addresses come, change and go, and what enid does about it",
		Long: `A tour of about half a minute: a VM with its primary ENI, ENIs hot-plugged, addresses assigned and
released, a rule deleted by hand, a link down, the metadata out of order, a detach. Everything runs in network
namespaces that end with the tour. It exits with 1 when any check fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			if err := lab.Enter(); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.dialect, "dialect", "ec2", "what the metadata speaks: a provider of enid's configuration")
	cmd.Flags().BoolVar(&d.ipv6, "ipv6", false, "IPv6 addresses as well")
	cmd.Flags().StringVar(&d.enid, "enid", "", "the enid binary (default: beside enid-lab)")
	return cmd
}
