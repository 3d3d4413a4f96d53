package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func shellCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use: "shell VM [COMMAND...]", Short: "Enter a VM of enid-lab up, or run a command in it",
		Long: `A shell in a VM of a running enid-lab up, named by its instance's name or id: ip, ping and the like are its, and enid
has its configuration (enid status, enid plan, enid explain). With a command that is run instead.`,
		Example: "  enid-lab shell vm1\n  enid-lab shell vm1 enid status\n  enid-lab shell vm1 ip rule",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := c.machine(args[0])
			if err != nil {
				return err
			}
			return v.enter(args[1:])
		},
	}
	c.where(cmd)
	cmd.Flags().SetInterspersed(false) // flags after VM are the command's
	return cmd
}

// machine asks the lab for a VM.
func (c *client) machine(name string) (machine, error) {
	h := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}} // no proxy of the environment
	resp, err := h.Get(strings.TrimSuffix(c.url, "/") + "/lab/vms")
	if err != nil {
		return machine{}, c.answered(err, func() refusal { return refusal{} })
	}
	defer resp.Body.Close()
	var all []machine
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil || resp.StatusCode != http.StatusOK {
		return machine{}, fmt.Errorf("the cloud at %s has no VMs: it is no enid-lab up", c.url)
	}
	var names []string
	for _, v := range all {
		if v.Name == name || v.Instance == name {
			return v, nil
		}
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return machine{}, fmt.Errorf("there is no VM %s; there are: %s", name, strings.Join(names, " "))
}

// enter runs a command in the VM, a shell where none is given, in place of this program.
func (v machine) enter(command []string) error {
	pid, err := v.process()
	if err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("to enter a VM nsenter is needed (package util-linux): %w", err)
	}
	args := []string{"nsenter", "--target", strconv.Itoa(pid), "--all", "--preserve-credentials"}
	if len(command) == 0 {
		command = []string{shell()}
	}
	for name, value := range map[string]string{"PATH": v.Programs + ":" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin", "PS1": v.Name + "# "} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	// Not nsenter itself looks the command up, whose PATH is the one from before.
	return unix.Exec(nsenter, append(append(args, "/usr/bin/env", "--"), command...), os.Environ())
}

// process is one that is in the VM's network namespace.
func (v machine) process() (int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return 0, err
	}
	for _, file := range all {
		if namespace, err := os.Readlink(file); err == nil && namespace == v.Namespace {
			return strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	return 0, fmt.Errorf("no process of VM %s is to be seen: be the user who runs enid-lab up, on the same machine", v.Name)
}

// shell is bash where there is one: others complain when they end in a pid namespace that is not their terminal's.
func shell() string {
	if bash, err := exec.LookPath("bash"); err == nil {
		return bash
	}
	return "/bin/sh"
}
