package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"enid/test/lab"
)

// events are what the kernel of a host tells, with the time at which it was heard.
type events struct {
	socket *nl.NetlinkSocket
	heard  chan event
}

type event struct {
	typ uint16
	at  time.Time
}

func listen(h *lab.Host) (*events, error) {
	e := &events{heard: make(chan event, 1<<16)}
	err := h.Do(func() (err error) {
		e.socket, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel: %w", err)
	}
	go func() {
		for {
			messages, _, err := e.socket.Receive()
			if err != nil {
				return
			}
			for _, m := range messages {
				e.heard <- event{m.Header.Type, time.Now()}
			}
		}
	}()
	return e, nil
}

func (e *events) close() { e.socket.Close() }

// forget drops what was heard so far.
func (e *events) forget() {
	for len(e.heard) > 0 {
		<-e.heard
	}
}

// next waits for an event of a type.
func (e *events) next(ctx context.Context, typ uint16) (time.Time, error) {
	for {
		select {
		case x := <-e.heard:
			if x.typ == typ {
				return x.at, nil
			}
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the kernel does not tell of a change of type %d: %w", typ, ctx.Err())
		}
	}
}
