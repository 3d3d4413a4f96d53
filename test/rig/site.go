// Package rig puts a simulated cloud, a laboratory and the built enid together: virtual
// machines whose ENIs come and go as the cloud says. Tests, the demo and enid-lab up drive it.
package rig

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"enid/test/cloud"
	"enid/test/lab"
)

// Options say what kind of cloud and VMs to make.
type Options struct {
	Dialect cloud.Dialect
	Enid    string // the built binary
	IPv6    bool
	Poll    time.Duration // 0: one second
	// DetachAfter is the setting of that name, 0: enid's own.
	DetachAfter time.Duration
	Config      string // more lines of configuration
	// Overlay keeps an interfaces document in the folder of overlays as the cloud has it, for dialects that leave out
	// secondary addresses.
	Overlay bool
	// At is where the metadata is served, the zero AddrPort for the dialect's own place.
	At      netip.AddrPort
	openAPI string // where the enids find it, "" for the default of their setting
	// PrimarySecondary is how many secondary addresses the primary ENI is born with.
	PrimarySecondary int
}

// Site is a cloud with its fabric, and a VM for each of the cloud's instances that is not stopped.
type Site struct {
	Options
	Lab   *lab.Lab
	Cloud *cloud.Cloud
	// Booted is called with every VM that has come up, its primary ENI configured as by DHCP. enid does not run
	// yet. It may be nil, and is set before the first instance is made.
	Booted func(*Machine) error

	// Trouble is told what goes wrong while the laboratory follows the cloud, as Err is; it may be nil.
	Trouble func(error)

	servers []*http.Server

	mu       sync.Mutex
	subnets  map[string]*lab.Subnet
	machines map[string]*Machine // by instance
	off      map[string]string   // of the instances that are stopped the directory of their VM, "" for one that never ran
	public   map[netip.Addr]netip.Addr
	err      error // of what happened in answer to a cloud event
	byHand   bool  // the laboratory's NICs do not follow the cloud
}

// usualMetadata is where most clouds serve the metadata, metadataAt where the others do.
var (
	usualMetadata = netip.MustParseAddrPort("169.254.169.254:80")
	metadataAt    = map[cloud.Dialect]netip.AddrPort{
		cloud.Aliyun:     netip.MustParseAddrPort("100.100.100.200:80"),
		cloud.Volcengine: netip.MustParseAddrPort("100.96.0.96:80"),
		cloud.Tencent:    netip.MustParseAddrPort("169.254.0.23:80"),
	}
)

// NewSite makes a site that follows a cloud from now on: the fabric, a host outside, metadata.
func NewSite(o Options, c *cloud.Cloud) (*Site, error) {
	l, err := lab.New()
	if err != nil {
		return nil, err
	}
	s := &Site{Options: o, Lab: l, Cloud: c, subnets: map[string]*lab.Subnet{}, machines: map[string]*Machine{}, off: map[string]string{}}
	l.NoCommonLink = o.Dialect == cloud.GCP
	if o.Dialect != cloud.File {
		at, elsewhere := metadataAt[o.Dialect]
		switch {
		case o.At.IsValid():
			at = o.At
		case !elsewhere:
			at = usualMetadata
		}
		if err := s.serve(at, c.HandlerByClient(o.Dialect)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	c.Subscribe(s.follow)
	return s, nil
}

// serve answers in the fabric, at one of the addresses of metadata services, until the site is closed.
func (s *Site) serve(at netip.AddrPort, h http.Handler) error {
	listener, err := s.Lab.MetadataListener(at)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(listener) }()
	return nil
}

// Subnet is one of the cloud's subnets in the laboratory, nil for one that no ENI was ever attached in.
func (s *Site) Subnet(id string) *lab.Subnet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subnets[id]
}

// AddSubnet makes a subnet with its gateway and a neighbour in it, if it is not there yet.
func (s *Site) AddSubnet(id string, prefixes ...netip.Prefix) (*lab.Subnet, error) {
	if there := s.Subnet(id); there != nil {
		return there, nil
	}
	made, err := s.Lab.Subnet(id, prefixes...)
	if err == nil && s.Dialect == cloud.Azure {
		err = s.advertise(made)
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subnets[id] = made
	return made, nil
}

// advertise makes a subnet's router tell its IPv6 hosts of itself, as Azure's do, whose metadata leaves it out.
func (s *Site) advertise(made *lab.Subnet) error {
	ipv6 := slices.DeleteFunc(slices.Clone(made.Prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() })
	if len(ipv6) == 0 {
		return nil
	}
	_, err := s.Lab.Advertise(made, lab.RAOptions{Lifetime: time.Hour, Prefixes: ipv6})
	return err
}

// Machine is the VM of an instance, nil for none and for one that is stopped. After a stop and a start it is another:
// of the one before only the directory is left, as a disk.
func (s *Site) Machine(instance string) *Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machines[instance]
}

// Err is what went wrong while the laboratory followed the cloud.
func (s *Site) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// NICsByHand makes NICs come and go by Plug and Unplug alone, or by the cloud again.
func (s *Site) NICsByHand(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byHand = on
}

// Adopt makes the VMs of the instances that the cloud had before the site.
func (s *Site) Adopt() error {
	for _, i := range s.Cloud.Instances() {
		if i.Status == cloud.Stopped || i.Status == cloud.Starting {
			s.off[i.ID] = ""
			continue
		}
		for _, e := range s.Cloud.Describe(i.ID) {
			if err := s.do(cloud.Event{Kind: cloud.Attached, Instance: i.ID, ENI: e}); err != nil {
				return err
			}
		}
	}
	return s.translate()
}

// follow makes the laboratory do what the cloud did: boot and end VMs, plug, unplug, let addresses through.
func (s *Site) follow(e cloud.Event) {
	err := errors.Join(s.do(e), s.translate())
	if err != nil && s.Trouble != nil {
		s.Trouble(fmt.Errorf("the laboratory does not follow the cloud: ENI %s of %s, %s: %w", e.ENI.ID, e.Instance, e.Kind, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

func (s *Site) do(e cloud.Event) error {
	m, off := s.Machine(e.Instance), s.isOff(e.Instance)
	primaryGone := e.Kind == cloud.Detached && e.ENI.Primary
	switch {
	case e.Kind == cloud.PoweredOn:
		return s.powerOn(e)
	case m == nil && e.Kind == cloud.Attached && e.ENI.Primary:
		return errors.Join(s.boot(e, ""), s.started(e.Instance))
	case off && primaryGone:
		return s.forget(e.Instance)
	case off:
		return nil // it has no NICs while it is off
	case m == nil:
		return fmt.Errorf("ENI %s: instance %s has no VM", e.ENI.ID, e.Instance)
	case e.Kind == cloud.PoweredOff:
		return s.powerOff(m)
	case primaryGone:
		return s.end(m)
	}
	return m.follow(e)
}

// translate makes the fabric translate the public addresses of attached ENIs as the cloud has them.
func (s *Site) translate() error {
	public := map[netip.Addr]netip.Addr{}
	for _, e := range s.Cloud.ENIs() {
		if e.Instance != "" {
			maps.Copy(public, e.Public)
		}
	}
	s.mu.Lock()
	same := maps.Equal(public, s.public)
	s.public = public
	s.mu.Unlock()
	if same {
		return nil
	}
	return s.Lab.SetPublic(public)
}

// Close stops every enid and removes everything.
func (s *Site) Close() error {
	s.mu.Lock()
	machines := s.machines
	s.machines = map[string]*Machine{}
	off := s.off
	s.off = map[string]string{}
	s.mu.Unlock()
	for _, server := range s.servers {
		_ = server.Close()
	}
	var errs []error
	for _, m := range machines {
		m.kill()
		errs = append(errs, os.RemoveAll(m.Dir))
	}
	for _, dir := range off {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(append(errs, s.Lab.Close())...)
}
