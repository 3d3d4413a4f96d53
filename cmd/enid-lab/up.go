package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"enid/test/lab"
	"enid/test/rig"
)

// up keeps a laboratory running: a cloud that is asked from this machine, and a VM with enid for each of
// its instances in network namespaces.
type up struct {
	service
	enid string
	site *rig.Site
	out  io.Writer

	mu  sync.Mutex
	vms map[string]machine // by instance
}

// machine is what somebody needs who wants to enter a VM.
type machine struct {
	Instance  string `json:"instance"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"` // as in /proc/PID/ns/net
	Programs  string `json:"programs"`  // the directory of its enid, which has its configuration
}

func upCommand() *cobra.Command {
	u := &up{vms: map[string]machine{}}
	cmd := &cobra.Command{
		Use: "up", Short: "Keep a lab running: the cloud, and a VM with enid for each instance",
		Long: `A cloud with two instances, each a VM with enid in network namespaces, behind a fabric that drops whatever leaves by a
NIC that does not own its source. It runs until Ctrl-C. From another terminal: enid-lab list, attach, assign and so on
change it, enid-lab shell vm1 enters a VM. What the enids say is shown here.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if u.enid, err = findEnid(u.enid); err != nil {
				return err
			}
			files, err := lab.EnterWith(u.socket)
			if err != nil {
				return err
			}
			u.out = cmd.OutOrStdout()
			return u.run(cmd.Context(), files[0])
		},
	}
	u.flags(cmd)
	cmd.Flags().StringVar(&u.enid, "enid", "", "the enid binary (default: beside enid-lab)")
	return cmd
}

// socket listens on this machine's own loopback, before the lab is entered.
func (u *up) socket() (*os.File, error) {
	l, err := net.Listen("tcp", u.listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; name another address with --listen", u.listen, err)
	}
	defer l.Close()
	return l.(*net.TCPListener).File()
}

func (u *up) run(ctx context.Context, socket *os.File) (err error) {
	listener, err := net.FileListener(socket)
	if err != nil {
		return err
	}
	c, err := u.open()
	if err != nil {
		return err
	}
	site, api, err := rig.NewJDCloud(rig.Options{Enid: u.enid}, c)
	if err != nil {
		return err
	}
	u.site = site
	defer func() { err = errors.Join(err, u.site.Close()) }()
	u.site.Booted = u.booted
	u.site.Trouble = func(err error) { fmt.Fprintln(&prefixed{mu: &u.mu, out: u.out, prefix: "lab: "}, err) }
	if err := u.site.Adopt(); err != nil {
		return err
	}
	mux, err := page{c, u.site}.handler(api)
	if err != nil {
		return err
	}
	mux.HandleFunc("GET /lab/vms", u.list)
	welcome(u.out, listener.Addr())
	fmt.Fprintln(u.out, "     enid-lab shell vm1")
	return serve(ctx, listener, mux)
}

// booted starts what runs in a VM.
func (u *up) booted(m *rig.Machine) error {
	instance, err := u.site.Cloud.DescribeInstance(m.Instance)
	if err != nil {
		return err
	}
	m.Output = &prefixed{mu: &u.mu, out: u.out, prefix: instance.Name + ": "}
	programs := filepath.Join(m.Dir, "bin")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" --config '%s'\n", u.enid, m.ConfigFile())
	if err := os.MkdirAll(programs, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(programs, "enid"), []byte(script), 0o755); err != nil {
		return err
	}
	namespace, err := u.stay(m)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.vms[m.Instance] = machine{m.Instance, instance.Name, namespace, programs}
	u.mu.Unlock()
	_, err = m.Start()
	return err
}

// stay starts a process in a VM that is there as long as the VM is, for others to follow.
func (u *up) stay(m *rig.Machine) (namespace string, err error) {
	err = m.VM.Do(func() (err error) {
		namespace, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return "", err
	}
	return namespace, m.VM.Start(exec.Command("sleep", "infinity"))
}

func (u *up) list(w http.ResponseWriter, _ *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := []machine{}
	for instance, v := range u.vms {
		if u.site.Machine(instance) != nil {
			all = append(all, v)
		}
	}
	answer(w, http.StatusOK, all)
}

// prefixed shows whole lines of several writers on one terminal.
type prefixed struct {
	mu     *sync.Mutex
	out    io.Writer
	prefix string
	rest   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, whole := bytes.Cut(p.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		fmt.Fprintf(p.out, "%s%s\n", p.prefix, line)
		p.rest = rest
	}
}
