package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	vm "github.com/jdcloud-api/jdcloud-sdk-go/services/vm/client"
	vpc "github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/client"
	"github.com/spf13/cobra"

	"enid/test/cloud"
)

// What a cloud of this laboratory is reached by where nobody says otherwise. The key is no secret: it opens
// a simulator on this machine.
const (
	defaultCloud = "http://127.0.0.1:9968"
	labAccessKey = "enid-lab"
	labSecretKey = "enid-lab-secret"
)

// client asks a cloud the way its users do: by the official SDK, over its OpenAPI.
type client struct {
	url, region, output string
	vpc                 *vpc.VpcClient
	vm                  *vm.VmClient
}

// where is the flag that every command about a cloud has.
func (c *client) where(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "cloud", cmp.Or(os.Getenv("ENID_LAB_CLOUD"), defaultCloud), "where the cloud is (or ENID_LAB_CLOUD)")
}

// flags are those of commands that ask its OpenAPI.
func (c *client) flags(cmd *cobra.Command) {
	c.where(cmd)
	f := cmd.Flags()
	f.StringVar(&c.region, "region", cloud.Region, "its region")
	f.StringVarP(&c.output, "output", "o", "text", "text or json")
	cmd.PreRunE = func(*cobra.Command, []string) error { return c.connect() }
}

func (c *client) connect() error {
	u, err := url.Parse(c.url)
	if err != nil || u.Host == "" || u.Scheme != core.SchemeHttp && u.Scheme != core.SchemeHttps {
		return fmt.Errorf("--cloud %s: want scheme://host:port, such as %s", c.url, defaultCloud)
	}
	if c.output != "text" && c.output != "json" {
		return fmt.Errorf("--output %s: want text or json", c.output)
	}
	config := &core.Config{Scheme: u.Scheme, Endpoint: u.Host, Timeout: 10 * time.Second}
	credential := core.NewCredentials(cmp.Or(os.Getenv("JDCLOUD_ACCESS_KEY"), labAccessKey), cmp.Or(os.Getenv("JDCLOUD_SECRET_KEY"), labSecretKey))
	c.vpc, c.vm = vpc.NewVpcClient(credential), vm.NewVmClient(credential)
	c.vpc.SetConfig(config)
	c.vm.SetConfig(config)
	c.vpc.SetLogger(core.NewDummyLogger()) // the default one prints signatures
	c.vm.SetLogger(core.NewDummyLogger())
	return nil
}

// refusal is what the cloud says instead of a result; its code is 0 where it agrees.
type refusal = core.ErrorResponse

// answered is what became of a call: the transport's error, or the cloud's refusal.
func (c *client) answered(err error, refused func() refusal) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the cloud at %s does not answer: %w; start one with enid-lab cloud or enid-lab up, or name another with --cloud", c.url, u.Err)
	}
	if err != nil {
		return fmt.Errorf("the cloud at %s: %w", c.url, err)
	}
	if r := refused(); r.Code != 0 {
		return fmt.Errorf("the cloud refuses: %s (%d %s)", r.Message, r.Code, r.Status)
	}
	return nil
}
