package main

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// pageState is everything that the page shows.
type pageState struct {
	Subnets   []pageSubnet   `json:"subnets"`
	Instances []pageInstance `json:"instances"`
	ENIs      []pageENI      `json:"enis"`
	Machines  bool           `json:"machines"` // the instances are VMs
	Spoofed   []string       `json:"spoofed"`  // packets that left by a NIC that does not own their source
}

type pageSubnet struct {
	ID    string       `json:"id"`
	Range netip.Prefix `json:"range"`
}

type pageInstance struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Status   string `json:"status"`
	Task     string `json:"task"`
	VCPU     int    `json:"vcpu"`
	NICLimit int    `json:"nicLimit"`
	Agent    string `json:"agent"` // what enid says of itself, in a sentence
}

type pageENI struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Instance   string         `json:"instance"`
	Index      int            `json:"index"`
	MAC        string         `json:"mac"`
	Subnet     string         `json:"subnet"`
	Primary    bool           `json:"primary"`
	AutoDelete bool           `json:"autoDelete"`
	NIC        string         `json:"nic"`
	Phase      string         `json:"phase"` // by enid
	Addresses  []pageAddress  `json:"addresses"`
	Blocks     []netip.Prefix `json:"blocks"`
}

type pageAddress struct {
	Address    netip.Addr `json:"address"`
	Primary    bool       `json:"primary"`
	Public     string     `json:"public"`
	EIP        string     `json:"eip"`
	LeavesBy   string     `json:"leavesBy"` // the NIC that the VM's kernel sends its packets to the outside by, "" for none
	Configured bool       `json:"configured"`
}

// statusTimeout bounds the question to one enid: the page is for people who wait.
const statusTimeout = 2 * time.Second

func (p page) state(ctx context.Context) pageState {
	s := pageState{Subnets: []pageSubnet{}, Instances: []pageInstance{}, ENIs: []pageENI{}, Machines: p.site != nil, Spoofed: []string{}}
	for _, n := range p.cloud.Subnets() {
		s.Subnets = append(s.Subnets, pageSubnet{n.ID, n.IPv4})
	}
	statuses := p.statuses(ctx)
	for _, i := range p.cloud.Instances() {
		shown := pageInstance{ID: i.ID, Name: i.Name, Status: i.Status, Task: i.Task, VCPU: i.VCPU, NICLimit: i.NICLimit}
		if st := statuses[i.ID]; st != nil {
			shown.Agent = st.Sentence()
		} else if p.site != nil && i.Status != cloud.Stopped {
			shown.Agent = "enid does not answer"
		}
		s.Instances = append(s.Instances, shown)
	}
	eips := map[netip.Addr]string{}
	for _, e := range p.cloud.ElasticIPs() {
		eips[e.Private] = e.ID
	}
	for _, e := range p.cloud.ENIs() {
		s.ENIs = append(s.ENIs, p.eni(e, statuses[e.Instance], eips))
	}
	slices.SortFunc(s.ENIs, func(a, b pageENI) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
	if p.site != nil {
		if spoofed, err := p.site.Lab.Spoofed(); err == nil {
			for _, packet := range spoofed {
				s.Spoofed = append(s.Spoofed, packet.String())
			}
		}
	}
	return s
}

// statuses asks every enid at once, nil for one that does not answer.
func (p page) statuses(ctx context.Context) map[string]*agent.Status {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	all := map[string]*agent.Status{}
	if p.site == nil {
		return all
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, i := range p.cloud.Instances() {
		m := p.site.Machine(i.ID)
		if m == nil {
			continue
		}
		asking.Go(func() {
			st, err := m.Status(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[m.Instance] = st
		})
	}
	asking.Wait()
	return all
}

func (p page) eni(e cloud.ENI, st *agent.Status, eips map[netip.Addr]string) pageENI {
	shown := pageENI{ID: e.ID, Name: e.Name, Instance: e.Instance, Index: e.Index, MAC: e.MAC.String(), Subnet: e.SubnetID,
		Primary: e.Primary, AutoDelete: e.AutoDelete, Addresses: []pageAddress{}, Blocks: append([]netip.Prefix{}, e.Prefixes...)}
	has := map[netip.Addr]bool{}
	if st != nil {
		for _, x := range st.ENIs {
			if x.MAC != e.MAC {
				continue
			}
			shown.NIC, shown.Phase = x.NIC, string(x.Phase)
			for _, a := range x.Addresses {
				has[a.Address] = a.Present
			}
		}
	}
	var m *rig.Machine
	if p.site != nil {
		m = p.site.Machine(e.Instance)
	}
	for i, a := range e.Addresses {
		shownAddress := pageAddress{Address: a, Primary: i == 0, EIP: eips[a], Configured: has[a]}
		if public, ok := e.Public[a]; ok {
			shownAddress.Public = public.String()
		}
		if m != nil && has[a] {
			if by, err := m.VM.Egress(a, p.site.Lab.Outside().Addr(a)); err == nil {
				shownAddress.LeavesBy = by
			}
		}
		shown.Addresses = append(shown.Addresses, shownAddress)
	}
	return shown
}
