package cloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// stateVersion is the version of the state file's form.
const stateVersion = 1

// state is what survives a restart: what the cloud is, not how its metadata
// behaves (delays, faults, styles).
type state struct {
	Version    int
	VPCs       []VPC
	Subnets    []Subnet
	ENIs       []ENI
	Instances  []savedInstance
	ElasticIPs []ElasticIP
	Made       map[string]int
	Quotas     map[string]int
}

type savedInstance struct {
	ID, Name, AZ, Status string
	VCPU                 int
	Task                 task
	Custom               map[string]string
	Auto                 bool
}

// Open is a cloud whose state is kept in a file: read from it now, where it is
// there, and written to it, whole or not at all, before any change is
// reported. Operations that were under way are done. One process may have a file open.
func Open(file string) (*Cloud, error) {
	c := New()
	c.file = file
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = c.load(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cloud's state from %s: %w; mend the file, or move it away to begin with an empty cloud", file, err)
	}
	c.stored = data
	for _, in := range c.instances {
		if in.task.Kind != "" {
			c.finish(in, in.task)
		}
	}
	for _, in := range c.instances {
		c.record(in)
	}
	return c, nil
}

// store writes the state to the file, if there is one, or puts the cloud back to
// what the file says, with the instances that were there before.
func (c *Cloud) store(instances map[string]*instance) error {
	if c.file == "" {
		return nil
	}
	data, err := c.encode()
	if err == nil && bytes.Equal(data, c.stored) {
		return nil
	}
	if err == nil {
		err = writeFile(c.file, data)
	}
	if err == nil {
		c.stored = data
		return nil
	}
	err = fmt.Errorf("store the cloud's state in %s: %w; nothing was changed: make room or mend the rights, and try again", c.file, err)
	before := c.stored
	if before == nil {
		before, _ = New().encode()
	}
	c.instances = instances
	return errors.Join(err, c.load(before))
}

func (c *Cloud) encode() ([]byte, error) {
	s := state{
		Version: stateVersion, VPCs: sorted(c.vpcs), Subnets: sorted(c.subnets), ElasticIPs: sorted(c.eips),
		ENIs: []ENI{}, Instances: []savedInstance{}, Made: c.made, Quotas: c.quotas,
	}
	for _, e := range sorted(c.enis) {
		s.ENIs = append(s.ENIs, *e)
	}
	for _, in := range sorted(c.instances) {
		s.Instances = append(s.Instances, savedInstance{in.id, in.name, in.az, in.status, in.vcpu, in.task, in.custom, in.auto})
	}
	data, err := json.MarshalIndent(s, "", " ")
	return append(data, '\n'), err
}

// writeFile replaces a file: after a crash it has the old or the new content.
func writeFile(file string, data []byte) (err error) {
	f, err := os.OpenFile(file+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file+".new"))
	}
	if err := os.Rename(file+".new", file); err != nil {
		return errors.Join(err, os.Remove(file+".new"))
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// load makes the cloud what data says. What the metadata of an instance has
// shown, and who asked, stays.
func (c *Cloud) load(data []byte) error {
	s, err := decode(data)
	if err != nil {
		return err
	}
	next := New()
	if err := next.fill(s); err != nil {
		return err
	}
	for id, in := range next.instances {
		if old, there := c.instances[id]; there {
			in.history, in.progress, in.remnants = old.history, old.progress, old.remnants
			in.requests, in.tokens = old.requests, old.tokens
		}
	}
	c.vpcs, c.subnets, c.enis, c.eips = next.vpcs, next.subnets, next.enis, next.eips
	c.holders, c.blocks, c.instances, c.made, c.quotas = next.holders, next.blocks, next.instances, next.made, next.quotas
	return nil
}

func decode(data []byte) (s state, err error) {
	var version struct{ Version int }
	if err := json.Unmarshal(data, &version); err != nil {
		return s, err
	}
	if version.Version != stateVersion {
		return s, fmt.Errorf("version %d: this program reads version %d", version.Version, stateVersion)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return s, d.Decode(&s)
}

// fill puts a state into an empty cloud, each thing after those that it refers to.
func (c *Cloud) fill(s state) error {
	for _, v := range s.VPCs {
		c.vpcs[v.ID] = v
	}
	for _, sub := range s.Subnets {
		if _, ok := c.vpcs[sub.VPC]; !ok || !isPrivate(sub.IPv4) {
			return fmt.Errorf("subnet %q: VPC %q or range %s: no such VPC, or not a private range", sub.ID, sub.VPC, sub.IPv4)
		}
		c.subnets[sub.ID] = sub
	}
	for _, in := range s.Instances {
		made := newInstance(in.ID)
		made.name, made.az, made.status, made.vcpu, made.task, made.auto = in.Name, in.AZ, in.Status, in.VCPU, in.Task, in.Auto
		for key, value := range in.Custom {
			made.custom[key] = value
		}
		c.instances[in.ID] = made
	}
	for _, e := range s.ENIs {
		if err := c.fillENI(e); err != nil {
			return fmt.Errorf("ENI %q: %w", e.ID, err)
		}
	}
	for key, n := range s.Made {
		c.made[key] = n
	}
	for kind, n := range s.Quotas {
		c.quotas[kind] = n
	}
	return errors.Join(c.fillEIPs(s.ElasticIPs), c.checkInstances())
}

func (c *Cloud) fillENI(e ENI) error {
	s, ok := c.subnets[e.SubnetID]
	_, there := c.instances[e.Instance]
	switch {
	case !ok:
		return fmt.Errorf("subnet %q: there is none", e.SubnetID)
	case e.Instance != "" && !there:
		return fmt.Errorf("instance %q: there is none", e.Instance)
	case len(e.Addresses) == 0:
		return errors.New("it has no address")
	case e.Primary && e.Instance == "":
		return errors.New("it is a primary ENI without an instance")
	case c.enis[e.ID] != nil:
		return errors.New("it is there twice")
	case c.macHolder(e.MAC) != "":
		return fmt.Errorf("MAC %s: ENI %s has it too", e.MAC, c.macHolder(e.MAC))
	}
	e.VPC, e.Subnets, e.Gateway, e.Public = s.VPC, s.Prefixes(), s.Gateway(), map[netip.Addr]netip.Addr{}
	if e.AddressSubnets == nil {
		e.AddressSubnets = map[netip.Addr]string{}
	}
	for _, a := range e.Addresses {
		if id, held := c.holders[spot{e.VPC, a}]; held {
			return fmt.Errorf("address %s: ENI %s has it too", a, id)
		}
		c.holders[spot{e.VPC, a}] = e.ID
	}
	for _, p := range e.Prefixes {
		c.blocks[block{e.VPC, p}] = e.ID
	}
	c.enis[e.ID] = &e
	return nil
}

func (c *Cloud) fillEIPs(eips []ElasticIP) error {
	for _, eip := range eips {
		c.eips[eip.ID] = eip
		if eip.ENI == "" {
			continue
		}
		e, ok := c.enis[eip.ENI]
		if !ok || c.holders[spot{e.VPC, eip.Private}] != e.ID {
			return fmt.Errorf("elastic IP %q: ENI %q with %s: there is none", eip.ID, eip.ENI, eip.Private)
		}
		e.Public[eip.Private] = eip.Address
	}
	return nil
}

func (c *Cloud) checkInstances() error {
	for _, in := range sorted(c.instances) {
		if enis := c.attached(in.id); len(enis) == 0 || !enis[0].Primary {
			return fmt.Errorf("instance %q: it has no primary ENI", in.id)
		}
		if _, ok := c.enis[in.task.ENI]; in.task.ENI != "" && !ok {
			return fmt.Errorf("instance %q: its task is about ENI %q: there is none", in.id, in.task.ENI)
		}
	}
	return c.checkVLANs()
}
