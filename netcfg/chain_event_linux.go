package netcfg

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// chainEvents hears of changes to the nf_tables that iptables uses. The socket is opened when
// iptables is first looked at, so that hosts without a use for it have none.
type chainEvents struct {
	opened chan struct{} // closed when socket is there

	mu      sync.Mutex
	failed  bool // no socket: nothing vouches for anything
	socket  eventSocket
	running bool
	dirty   bool
}

func newChainEvents() *chainEvents { return &chainEvents{opened: make(chan struct{})} }

// unchanged reports whether nothing was heard since this was last asked, and starts anew.
func (e *chainEvents) unchanged() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.socket.file == nil && !e.failed {
		var err error
		if e.socket, err = openEvents(unix.NETLINK_NETFILTER); err == nil {
			close(e.opened)
		}
		e.failed = err != nil
	}
	dirty := e.dirty
	e.dirty = false
	return e.running && !dirty
}

func (e *chainEvents) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.socket.file != nil {
		e.socket.close()
	}
}

// run listens from when there is a socket until ctx ends. Without the permission to listen it ends at
// once, and chains are read in each pass.
func (e *chainEvents) run(ctx context.Context, poke func()) {
	select {
	case <-ctx.Done():
		return
	case <-e.opened:
	}
	_ = e.socket.listen(ctx, []int{unix.NFNLGRP_NFTABLES}, e.set, e.notice, poke)
}

func (e *chainEvents) set(running bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running, e.dirty = running, true
}

// notice reports whether a datagram of events, nil for lost ones, has one about a chain of ours or
// one of the hooks.
func (e *chainEvents) notice(b []byte) bool {
	if b != nil && !concernsChains(b) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dirty = true
	return true
}

// Constants of linux/netfilter/nf_tables.h. The name of the table is attribute 1 of every message.
const (
	subsysNFTables = 10
	attrTable      = 1
	attrRuleChain  = 2 // NFTA_RULE_CHAIN
	attrChainName  = 3 // NFTA_CHAIN_NAME
)

// concernsChains judges events of nf_tables. On a host with kube-proxy most are about its own chains.
func concernsChains(b []byte) bool {
	for m, err := range messages(b) {
		if err != nil {
			return true // cannot be judged
		}
		if m.typ>>8 == subsysNFTables && concernsChain(int(m.typ&0xff), m.body) {
			return true
		}
	}
	return false
}

func concernsChain(event int, body []byte) bool {
	if len(body) < 4 || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return false
	}
	var names [attrChainName + 1][]byte
	for typ, v := range attributes(body[4:]) {
		if typ < len(names) {
			names[typ] = bytes.TrimRight(v, "\x00")
		}
	}
	var chain []byte
	switch event {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		return slices.ContainsFunc(Hooks, func(h Hook) bool { return h.Table == string(names[attrTable]) })
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		chain = names[attrChainName]
	case unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE:
		chain = names[attrRuleChain]
	}
	return slices.ContainsFunc(Hooks, func(h Hook) bool {
		return h.Table == string(names[attrTable]) && (h.Chain == string(chain) || bytes.HasPrefix(chain, []byte(Chain{Hook: h}.Name()+"-")))
	})
}
