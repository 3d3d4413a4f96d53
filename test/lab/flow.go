package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// flowEvery is the time between two packets of a Flow.
const flowEvery = time.Millisecond

// flowTail is how long a Flow waits for the last answers.
const flowTail = 500 * time.Millisecond

// Flow sends a UDP echo every millisecond. Stop tells what became of them.
type Flow struct {
	conn net.Conn
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	sent     []time.Time // by number
	answered []bool
	missing  int
	stopped  bool
}

// FlowReport says what a Flow has measured. Only packets that were sent and not answered
// count, so that a prober that gets no CPU for a while reports nothing that is not so.
type FlowReport struct {
	Sent, Lost int
	// LongestGap is the longest time between the first of some packets lost in a row and the
	// next that was answered, or the last one sent.
	LongestGap time.Duration
}

func (r FlowReport) String() string {
	return fmt.Sprintf("%d sent, %d lost, longest gap %s", r.Sent, r.Lost, r.LongestGap.Round(time.Millisecond))
}

// Flow starts a flow from a host to dst, which must serve echoes, from src where it is
// valid. The caller stops it before it closes the lab.
func (h *Host) Flow(ctx context.Context, src, dst netip.Addr) (*Flow, error) {
	return h.FlowTo(ctx, src, netip.AddrPortFrom(dst, EchoPort))
}

// FlowTo is Flow to an echo server at another port.
func (h *Host) FlowTo(ctx context.Context, src netip.Addr, dst netip.AddrPort) (*Flow, error) {
	conn, err := h.Dial(ctx, "udp", src, dst)
	if err != nil {
		return nil, fmt.Errorf("flow from %s %s to %s: %w", h.Name, sourceText(src), dst, err)
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		if raw, err := udp.SyscallConn(); err == nil {
			_ = raw.Control(deepQueue)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	f := &Flow{conn: conn, stop: stop}
	f.done.Go(func() { f.send(ctx) })
	f.done.Go(f.receive)
	return f, nil
}

// Stop ends the flow when its last answers are in, or could have been.
func (f *Flow) Stop() FlowReport {
	f.stop()
	f.done.Wait()
	f.conn.Close()
	return summarize(f.sent, f.answered)
}

func (f *Flow) send(ctx context.Context) {
	tick := time.NewTicker(flowEvery)
	defer tick.Stop()
	var packet [8]byte
	for ctx.Err() == nil {
		f.mu.Lock()
		binary.BigEndian.PutUint64(packet[:], uint64(len(f.sent)))
		f.sent = append(f.sent, time.Now())
		f.answered = append(f.answered, false)
		f.missing++
		f.mu.Unlock()
		_, _ = f.conn.Write(packet[:]) // refused or unreachable: lost, like any other
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	f.wait()
}

// wait lets receive wait for what is still missing, and no longer.
func (f *Flow) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	patience := flowTail
	if f.missing == 0 {
		patience = 0
	}
	_ = f.conn.SetReadDeadline(time.Now().Add(patience))
}

func (f *Flow) receive() {
	var packet [8]byte
	for {
		n, err := f.conn.Read(packet[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil || n != len(packet):
			// An ICMP error about a packet that is lost.
		case f.note(binary.BigEndian.Uint64(packet[:])):
			return
		}
	}
}

// note marks a packet as answered and reports whether it was the last one to wait for.
func (f *Flow) note(number uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number < uint64(len(f.answered)) && !f.answered[number] {
		f.answered[number] = true
		f.missing--
	}
	return f.stopped && f.missing == 0
}

// summarize counts what was lost. Both slices are by the packets' numbers.
func summarize(sent []time.Time, answered []bool) FlowReport {
	r := FlowReport{Sent: len(sent)}
	first := -1 // of the present gap
	for i, ok := range answered {
		if !ok {
			r.Lost++
			if first < 0 {
				first = i
			}
		}
		if first >= 0 {
			r.LongestGap = max(r.LongestGap, sent[i].Sub(sent[first]))
		}
		if ok {
			first = -1
		}
	}
	return r
}
