package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"enid/metadata"
	"enid/netcfg"
	"enid/test/kernel"
)

// host is a VM in memory with an agent on it, in the fake time of a synctest bubble. The test
// may look at it and change it whenever pass of time has been asked for with after.
type host struct {
	*kernel.Kernel
	t      rapid.TB // where to complain
	cloud  *cloud
	notify *serviceManager
	logged *lines
	config Config
	events Events
	reload Reloader
	agent  *Agent
	// opponents and neighbours are the options of these names.
	opponents  func(time.Time) []netcfg.Opponent
	neighbours func([]string) error
	source     Source // nil: cloud
	crash      func() // ends the agent in the middle of what it does
	stop       func() // ends the agent and waits for it
}

const primaryNIC = 2 // ifindex of eth0; the NIC of eni(i) has primaryNIC + i

// newHost is a host whose primary ENI is configured by DHCP, with an agent that does not run yet.
func newHost(t testing.TB) *host {
	h := &host{Kernel: kernel.New(225), t: t, cloud: &cloud{}, notify: &serviceManager{}, logged: &lines{}, config: Default()}
	h.config.RuntimeDir, h.config.StateDir = t.TempDir(), t.TempDir()
	h.plug(0)
	h.Addrs = append(h.Addrs, netcfg.Addr{Link: primaryNIC, Prefix: netip.MustParsePrefix("10.0.0.5/24")})
	h.Routes = append(h.Routes, netcfg.Route{
		Table: netcfg.MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.0.0.1"), Link: primaryNIC, Proto: 16, Metric: 100})
	h.OnWrite = func(netcfg.Op) { Poke(h.events.Kernel) } // as the real one's watcher does
	h.stop = func() {}
	return h
}

// make makes a new agent that does not run.
func (h *host) make() {
	h.events = NewEvents()
	source := h.source
	if source == nil {
		source = h.cloud
	}
	h.agent = New(Options{Config: h.config, Log: slog.New(slog.NewTextHandler(h.logged, &slog.HandlerOptions{ReplaceAttr: timeless})),
		Kernel: h.Kernel, Source: source, Notify: h.notify, Version: "test", Opponents: h.opponents, Neighbours: h.neighbours})
}

// start runs a new agent, as a start of the daemon does.
func (h *host) start() {
	h.make()
	ctx, cancel := context.WithCancel(context.Background())
	h.crash = cancel
	done := make(chan error, 1)
	go func() { done <- h.agent.Run(ctx, h.events, h.reload) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
}

// started is a host on which everything that the cloud says is configured, and the log read. A question has
// just been answered, so that the next poll is nine seconds away or more.
func started(t testing.TB, enis ...metadata.Interface) *host {
	h := newHost(t)
	for _, e := range enis[1:] {
		h.plug(int(e.MAC[5]))
	}
	h.cloud.says(enis...)
	h.start()
	h.after(2 * time.Minute)
	if s := h.agent.Status(); !s.Converged || !s.Metadata.Settled {
		t.Fatalf("the start did not converge and settle: %+v", s)
	}
	h.cloud.questions()
	for h.cloud.waiting() {
		h.after(100 * time.Millisecond)
	}
	h.logged.take()
	return h
}

// after lets time pass, until everything that it brings is done.
func (h *host) after(d time.Duration) {
	h.Protos() // its lock orders what the test did to the kernel before what the agent does next
	<-time.After(d)
	synctest.Wait()
}

// change does something to the kernel that the agent is told of.
func (h *host) change(f func()) {
	synctest.Wait()
	f()
	Poke(h.events.Kernel)
}

// plug adds the NIC of an ENI; the primary's is up.
func (h *host) plug(i int) {
	h.Plug(netcfg.Link{Index: primaryNIC + i, Name: fmt.Sprintf("eth%d", i), MAC: macOf(i), Up: i == 0, MTU: 1500})
}

// objects is everything that the kernel has.
func (h *host) objects() netcfg.State {
	return netcfg.State{Addrs: slices.Clone(h.Addrs), Routes: slices.Clone(h.Routes), Rules: slices.Clone(h.Rules), Settings: slices.Clone(h.Settings)}
}

// has reports whether an address is on any NIC.
func (h *host) has(address string) bool {
	return slices.ContainsFunc(h.Addrs, func(a netcfg.Addr) bool { return a.Prefix.Addr() == netip.MustParseAddr(address) })
}

// wantAddresses checks which addresses there are.
func (h *host) wantAddresses(want ...string) {
	h.t.Helper()
	var got []string
	for _, a := range h.Addrs {
		got = append(got, a.Prefix.Addr().String())
	}
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		h.t.Errorf("addresses %v, want %v", got, want)
	}
}

// eni is the status of one.
func (h *host) eni(i int) ENIStatus {
	h.t.Helper()
	for _, e := range h.agent.Status().ENIs {
		if e.MAC == macOf(i) {
			return e
		}
	}
	h.t.Errorf("no ENI %d in the status", i)
	return ENIStatus{}
}

func macOf(i int) metadata.MAC { return metadata.MAC{2, 0, 0, 0, 0, byte(i)} }

// eni is all about ENI i, in a subnet of its own, with these addresses; 0 is the primary.
func eni(i int, hosts ...int) metadata.Interface {
	var addrs []netip.Addr
	for _, n := range hosts {
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, byte(i), byte(n)}))
	}
	subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)
	return metadata.Interface{
		MAC: macOf(i), ID: metadata.Is(fmt.Sprintf("port-%d", i), "test"), Primary: metadata.Is(i == 0, "test"),
		Subnets: metadata.Is([]netip.Prefix{subnet}, "test"), Gateways: metadata.Is([]netip.Addr{subnet.Addr().Next()}, "test"),
		Addresses: metadata.Is(addrs, "test"), Prefixes: metadata.IsNone[[]netip.Prefix]("test"),
	}
}

// cloud is a source whose answers the test sets.
type cloud struct {
	mu     sync.Mutex
	answer metadata.Snapshot
	err    error
	hangs  bool
	takes  time.Duration // from looking to answering
	asked  []time.Time
}

// Fetch is Source.Fetch.
func (c *cloud) Fetch(ctx context.Context) (metadata.Snapshot, error) {
	c.mu.Lock()
	answer, err, hangs, takes := c.answer, c.err, c.hangs, c.takes
	c.asked = append(c.asked, time.Now())
	c.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return metadata.Snapshot{}, ctx.Err()
	}
	<-time.After(takes)
	if err != nil {
		return metadata.Snapshot{}, err
	}
	return metadata.Validate(answer), nil
}

func (c *cloud) says(enis ...metadata.Interface) {
	c.set(metadata.Snapshot{Provider: "test", Complete: true, Interfaces: enis}, nil, false)
}

func (c *cloud) fails(err error) { c.set(metadata.Snapshot{}, err, false) }

func (c *cloud) set(s metadata.Snapshot, err error, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer, c.err, c.hangs = s, err, hangs
}

// questions takes the times of the questions since the last call.
func (c *cloud) questions() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// waiting reports whether nobody has asked since the last call of questions.
func (c *cloud) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked) == 0
}

// serviceManager notes what it is told, and when.
type serviceManager struct {
	mu       sync.Mutex
	interval time.Duration
	told     []string
	at       map[string][]time.Time
}

func (s *serviceManager) tell(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string][]time.Time{}
	}
	s.told = append(s.told, what)
	s.at[what] = append(s.at[what], time.Now())
	return nil
}

func (s *serviceManager) times(what string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at[what])
}

func (s *serviceManager) Ready() error                            { return s.tell("ready") }
func (s *serviceManager) Reloading() error                        { return s.tell("reloading") }
func (s *serviceManager) Stopping() error                         { return s.tell("stopping") }
func (s *serviceManager) Status(string) error                     { return nil }
func (s *serviceManager) Watchdog() error                         { return s.tell("watchdog") }
func (s *serviceManager) WatchdogInterval() (time.Duration, bool) { return s.interval, s.interval > 0 }

// lines is a log to be read line by line.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write takes a line.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take is what was logged since the last call.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSuffix(l.buf.String(), "\n")
	l.buf.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func timeless(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// wantLog checks that the log since the last look has these lines, each given by its beginning.
func (h *host) wantLog(begins ...string) {
	h.t.Helper()
	got := h.logged.take()
	ok := len(got) == len(begins)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.HasPrefix(got[i], begins[i])
	}
	if !ok {
		h.t.Errorf("the log says\n%s\nwant %d lines that begin with\n%s", strings.Join(got, "\n"), len(begins), strings.Join(begins, "\n"))
	}
}
