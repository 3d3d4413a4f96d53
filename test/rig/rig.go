// Package rig puts a simulated cloud, a laboratory and the built enid together: a virtual
// machine whose ENIs come and go as the cloud says. Tests and the demo drive it.
package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"enid/metadata"
	"enid/test/cloud"
	"enid/test/lab"
)

// Options say what kind of cloud and VM to make.
type Options struct {
	Dialect cloud.Dialect
	Enid    string // the built binary
	IPv6    bool
	Poll    time.Duration // 0: one second
	// DetachAfter is the setting of that name, 0: enid's own.
	DetachAfter time.Duration
	Config      string // more lines of configuration
	// PrimarySecondary is how many secondary addresses the primary ENI is born with.
	PrimarySecondary int
}

// Rig is one VM with its primary ENI in the first of three subnets.
type Rig struct {
	Options
	Lab      *lab.Lab
	Cloud    *cloud.Cloud
	VM       *lab.Host
	Instance string
	Primary  cloud.ENI
	Dir      string // configuration, runtime and state directories of this VM's enid

	subnets map[string]*lab.Subnet
	server  *http.Server
	mu      sync.Mutex
	names   int
	allowed map[metadata.MAC][]netip.Prefix
	err     error // of what happened in answer to a cloud event
	byHand  bool  // the laboratory's NICs do not follow the cloud
	daemons []*Daemon
}

// metadataPort is where the fabric serves the metadata at 169.254.169.254.
const metadataPort = 80

// SubnetNames are the subnets of a rig, the primary's first.
var SubnetNames = []string{"subnet-a", "subnet-b", "subnet-c"}

// New boots a VM: fabric, subnets with a neighbour in each, a host outside, metadata, and
// the primary ENI configured as DHCP would have done it. enid does not run yet.
func New(o Options) (*Rig, error) {
	dir, err := os.MkdirTemp("", "enid-rig")
	if err != nil {
		return nil, err
	}
	l, err := lab.New()
	if err != nil {
		return nil, err
	}
	r := &Rig{Options: o, Lab: l, Cloud: cloud.New(), Instance: "i-a2uv000001", Dir: dir, subnets: map[string]*lab.Subnet{}, allowed: map[metadata.MAC][]netip.Prefix{}}
	if err := r.boot(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Rig) boot() error {
	for i, name := range SubnetNames {
		s := cloud.Subnet{ID: name, IPv4: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i))}
		if r.IPv6 {
			s.IPv6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%d::/64", i))
		}
		if err := r.Cloud.CreateSubnet(s); err != nil {
			return err
		}
		subnet, err := r.Lab.Subnet(name, s.Prefixes()...)
		if err != nil {
			return err
		}
		r.subnets[name] = subnet
	}
	var err error
	if r.VM, err = r.Lab.VM("vm"); err != nil {
		return err
	}
	r.Cloud.Subscribe(r.follow)
	options := cloud.ENIOptions{Primary: netip.MustParseAddr("10.0.0.10")}
	for i := range r.PrimarySecondary {
		options.Secondary = append(options.Secondary, netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", 11+i)))
	}
	if r.IPv6 {
		options.IPv6 = []netip.Addr{netip.MustParseAddr("2001:db8::10")}
	}
	if r.Primary, err = r.Cloud.CreateInstance(r.Instance, SubnetNames[0], options); err != nil {
		return err
	}
	if r.Dialect == cloud.JDCloud {
		if err := r.Cloud.AutoCustom(r.Instance, true); err != nil {
			return err
		}
	}
	for i, p := range r.Primary.Subnets {
		a := []netip.Addr{options.Primary, netip.MustParseAddr("2001:db8::10")}[i]
		if err := r.Lab.VMPrimary(r.VM, netip.PrefixFrom(a, p.Bits()), p.Addr().Next()); err != nil {
			return err
		}
	}
	if err := r.serve(); err != nil {
		return err
	}
	return errors.Join(r.configure(), r.Err())
}

// serve answers metadata requests in the fabric.
func (r *Rig) serve() error {
	if r.Dialect == cloud.File {
		return nil
	}
	listener, err := r.Lab.MetadataListener(metadataPort)
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r.Cloud.HandlerByClient(r.Dialect), ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(listener) }()
	return nil
}

// configure writes the VM's configuration file.
func (r *Rig) configure() error {
	for _, d := range []string{"run", "state", "overlay"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, d), 0o755); err != nil {
			return err
		}
	}
	provider := string(r.Dialect)
	more := ""
	if r.Dialect == cloud.File {
		more = "\n  file: " + r.DocumentFile()
	}
	if r.DetachAfter > 0 {
		more += "\n  detach_after: " + r.DetachAfter.String()
	}
	return r.WriteConfig(fmt.Sprintf("metadata:\n  provider: %s\n  poll: %s\n  overlay: %s%s\nhttp: \"\"\nruntime_dir: %s\nstate_dir: %s\n%s",
		provider, cmp.Or(r.Poll, time.Second), filepath.Join(r.Dir, "overlay"), more, filepath.Join(r.Dir, "run"), filepath.Join(r.Dir, "state"), r.Config))
}

// ConfigFile is the VM's configuration file.
func (r *Rig) ConfigFile() string { return filepath.Join(r.Dir, "enid.yaml") }

// DocumentFile is the interfaces document of the file provider.
func (r *Rig) DocumentFile() string { return filepath.Join(r.Dir, "interfaces.yaml") }

// WriteConfig replaces the configuration file in one step.
func (r *Rig) WriteConfig(text string) error { return replace(r.ConfigFile(), []byte(text)) }

func replace(file string, data []byte) error {
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// follow makes the laboratory do what the cloud did: plug, unplug, let addresses through.
func (r *Rig) follow(e cloud.Event) {
	var err error
	switch e.Kind {
	case cloud.Attached:
		if !r.followsByHand() {
			err = r.Plug(e.ENI)
		}
	case cloud.Detached:
		if !r.followsByHand() {
			err = r.Unplug(e.ENI.MAC)
		}
	case cloud.Addresses:
		// A released address stays allowed on its own port: the VM learns of the release only
		// after the cloud, and what matters is that nothing leaves by another port.
		err = r.Lab.SetAllowed(e.ENI.MAC, r.everAllowed(e.ENI))
	}
	if err == nil && r.Dialect == cloud.File {
		err = r.WriteDocument()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

// WriteDocument writes the interfaces document of the file provider as the cloud has it.
func (r *Rig) WriteDocument() error {
	data, err := r.Cloud.Document(r.Instance)
	if err != nil {
		return err
	}
	return replace(r.DocumentFile(), data)
}

// Err is what went wrong while the laboratory followed the cloud.
func (r *Rig) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Attach makes an ENI with n addresses in a subnet and attaches it.
func (r *Rig) Attach(subnet string, n int) (cloud.ENI, error) {
	e, err := r.Create(subnet, n)
	if err != nil {
		return e, err
	}
	return r.Reattach(e)
}

// Create makes an ENI with n IPv4 addresses, and as many IPv6 ones in a rig with IPv6.
func (r *Rig) Create(subnet string, n int) (cloud.ENI, error) {
	e, err := r.Cloud.CreateENI(subnet, cloud.ENIOptions{})
	if err != nil {
		return e, err
	}
	if _, err := r.Cloud.AssignCount(e.ID, n-1); err != nil && n > 1 {
		return e, err
	}
	if r.IPv6 {
		base := e.Subnets[1].Addr().As16()
		for i := range n {
			b := base
			b[14], b[15] = e.MAC[5], byte(i+1)
			if err := r.Cloud.Assign(e.ID, netip.AddrFrom16(b)); err != nil {
				return e, err
			}
		}
	}
	return r.Cloud.DescribeENI(e.ID)
}

// Reattach attaches an ENI that is there.
func (r *Rig) Reattach(e cloud.ENI) (cloud.ENI, error) {
	if err := r.Cloud.Attach(r.Instance, e.ID); err != nil {
		return e, err
	}
	if err := r.Err(); err != nil {
		return e, err
	}
	return r.Cloud.DescribeENI(e.ID)
}

// Addresses are all that the cloud says this VM has.
func (r *Rig) Addresses() []netip.Addr {
	var all []netip.Addr
	for _, e := range r.Cloud.Describe(r.Instance) {
		all = append(all, e.Addresses...)
	}
	return all
}

// Await waits until every address is reached from outside, and says how long that took.
func (r *Rig) Await(ctx context.Context, addrs ...netip.Addr) (time.Duration, error) {
	if err := r.VM.ServeEcho(); err != nil {
		return 0, err
	}
	next := 0
	took, err := lab.Await(ctx, func() bool {
		for next < len(addrs) && r.Lab.Reachable(ctx, r.VM, addrs[next]) {
			next++
		}
		return next == len(addrs)
	})
	if err != nil {
		return took, fmt.Errorf("%s is not reached from outside: %w", addrs[next], err)
	}
	return took, nil
}

// Close stops enid and removes everything.
func (r *Rig) Close() error {
	for _, d := range r.daemons {
		if !d.Ended() {
			d.Kill()
		}
	}
	if r.server != nil {
		_ = r.server.Close()
	}
	return errors.Join(r.Lab.Close(), os.RemoveAll(r.Dir))
}
