// Command enid configures the elastic network interfaces of the host that it runs on.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"enid/agent"
)

// Exit codes, as users rely on them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitToDo   = 3 // plan --exit-code, with something to do
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes one command and turns its error into a message and an exit code.
func run(ctx context.Context, args []string) int {
	c := &cli{out: os.Stdout}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var config *agent.ConfigError
	var usage usageError
	switch {
	case err == nil:
		return c.exit
	case errors.As(err, &config):
		fmt.Fprintln(os.Stderr, "enid:", err)
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "enid: %v\nenid --help shows what there is\n", err)
		return exitUsage
	}
	fmt.Fprintln(os.Stderr, "enid:", err)
	return exitFailed
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// cli is what the commands share.
type cli struct {
	out    *os.File
	config string
	output string
	exit   int
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "enid",
		Short: "Elastic network interfaces that configure themselves",
		Long: `enid watches the instance metadata of a cloud VM and configures its elastic
network interfaces (ENIs): addresses and policy routing when one is attached or
changed, and the way back when it is detached.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 see plan.`,
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{unknownCommand(cmd, args[0])}
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	root.PersistentFlags().StringVar(&c.config, "config", agent.DefaultConfigFile, "configuration `file`")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(c.runCommand(), c.applyCommand(), c.planCommand(), c.statusCommand(), c.cleanupCommand(), c.doctorCommand(), c.explainCommand(), c.versionCommand())
	for _, sub := range root.Commands() {
		if sub.Args == nil {
			sub.Args = noArguments
		}
	}
	return root
}

// unknownCommand names the command that was probably meant.
func unknownCommand(root *cobra.Command, name string) error {
	if meant := root.SuggestionsFor(name); len(meant) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %s?", name, meant[0])
	}
	return fmt.Errorf("there is no command %q", name)
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

// outputFlag adds -o to a command that can answer in JSON.
func (c *cli) outputFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", "`format`: text or json")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if c.output != "text" && c.output != "json" {
			return usageError{fmt.Errorf("-o %s: want text or json", c.output)}
		}
		return nil
	}
	return cmd
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this binary",
		Run: func(*cobra.Command, []string) {
			fmt.Fprintln(c.out, "enid", version())
		},
	}
}

// version is what the Go toolchain recorded of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, revision, dirty := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	if revision != "" {
		v += " " + revision + dirty
	}
	return v + " " + info.GoVersion
}
