package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
)

// service is a cloud that people and programs ask by its OpenAPI.
type service struct {
	listen, state string
	delay         time.Duration
}

func (s *service) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:9968", "address and port of the OpenAPI, on this machine")
	f.StringVar(&s.state, "state", "", "a file that keeps the cloud over a restart (default: none)")
	f.DurationVar(&s.delay, "attach-delay", 3*time.Second, "how long an attach or a detach takes")
}

func cloudCommand() *cobra.Command {
	s := &service{}
	cmd := &cobra.Command{
		Use: "cloud", Short: "The ENI service alone: its OpenAPI, without machines",
		Long: fmt.Sprintf(`The ENI service of a simulated cloud, by the OpenAPI of JD Cloud (services vpc and vm): for JD's own SDK, for its CLI, and
for the commands of enid-lab. The access key is %q, its secret %q. enid-lab up has the same with machines.`, labAccessKey, labSecretKey),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.open()
			if err != nil {
				return err
			}
			listener, err := net.Listen("tcp", s.listen)
			if err != nil {
				return fmt.Errorf("listen on %s: %w; name another address with --listen", s.listen, err)
			}
			h, err := page{cloud: c}.handler(openapi.New(c))
			if err != nil {
				return err
			}
			welcome(cmd.OutOrStdout(), listener.Addr())
			return serve(cmd.Context(), listener, h)
		},
	}
	s.flags(cmd)
	return cmd
}

// open is the cloud of the state file, with something in it where it is new.
func (s *service) open() (*cloud.Cloud, error) {
	c := cloud.New()
	if s.state != "" {
		var err error
		if c, err = cloud.Open(s.state); err != nil {
			return nil, err
		}
	}
	c.SetAttachDelay(s.delay)
	if len(c.Subnets()) > 0 {
		return c, nil
	}
	return c, furnish(c)
}

// furnish puts into an empty cloud what an operator's guide begins with.
func furnish(c *cloud.Cloud) error {
	for i, id := range []string{"subnet-a", "subnet-b", "subnet-c"} {
		if err := c.CreateSubnet(cloud.Subnet{ID: id, Name: id, IPv4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)}); err != nil {
			return err
		}
	}
	for _, name := range []string{"vm1", "vm2"} {
		if _, err := c.RunInstance(cloud.InstanceOptions{ID: "i-" + name, Name: name, Subnet: "subnet-a", VCPU: 4}); err != nil {
			return err
		}
	}
	return nil
}

func welcome(out io.Writer, at net.Addr) {
	fmt.Fprintf(out, "The cloud is at http://%s (a page, and the OpenAPI of region %s). Try:\n     enid-lab list\n", at, cloud.Region)
}

// serve answers until ctx ends.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
