package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"enid/metadata"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// RAOptions say what a subnet's router advertises.
type RAOptions struct {
	Router     netip.Addr     // who says so; zero: the gateway's fe80::1
	Lifetime   time.Duration  // as a default router, in seconds; 0: it is none
	Preference ndp.Preference // the zero value is medium
	Prefixes   []netip.Prefix // that are on link
	Autonomous bool           // hosts make themselves addresses in them (SLAAC)
	MTU        int            // bytes, 0: not said
	HopLimit   byte           // that the packet comes with; 0: 255, what it must have
	Silent     bool           // it answers no questions
}

// Advertiser is a subnet's router as far as it advertises itself: when it is asked, and when the test wants it to.
type Advertiser struct {
	subnet *Subnet
	socket *PacketSocket
	done   chan struct{}

	mu      sync.Mutex
	options RAOptions
	asked   map[metadata.MAC]int // router solicitations
	errs    []error
}

// Advertise starts an advertiser in a subnet, and advertises once. It ends with the lab. A subnet may have several.
func (l *Lab) Advertise(s *Subnet, o RAOptions) (*Advertiser, error) {
	socket, err := l.fabric.Packets(s.bridge, unix.ETH_P_IPV6)
	if err != nil {
		return nil, fmt.Errorf("lab: router advertisements in subnet %s: %w", s.Name, err)
	}
	a := &Advertiser{subnet: s, socket: socket, done: make(chan struct{}), options: o, asked: map[metadata.MAC]int{}}
	l.mu.Lock()
	l.advertisers = append(l.advertisers, a)
	l.mu.Unlock()
	go a.serve()
	return a, a.Send()
}

// Set changes what is advertised from now on.
func (a *Advertiser) Set(o RAOptions) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.options = o
}

// Asked is how often a NIC has asked.
func (a *Advertiser) Asked(mac metadata.MAC) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[mac]
}

// Send advertises to all hosts of the subnet.
func (a *Advertiser) Send() error {
	a.mu.Lock()
	o := a.options
	a.mu.Unlock()
	frame, err := o.frame(a.socket.MAC)
	if err == nil {
		_, err = a.socket.Write(frame)
	}
	if err != nil {
		return fmt.Errorf("lab: advertise a router in subnet %s: %w", a.subnet.Name, err)
	}
	return nil
}

// serve works until the socket is closed.
func (a *Advertiser) serve() {
	defer close(a.done)
	frame := make([]byte, 2000)
	for {
		n, err := a.socket.Read(frame)
		if mac, asks := parseSolicitation(frame[:max(n, 0)]); err == nil && asks {
			a.mu.Lock()
			a.asked[mac]++
			silent := a.options.Silent
			a.mu.Unlock()
			if !silent {
				err = a.Send()
			}
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			a.mu.Lock()
			a.errs = append(a.errs, err)
			a.mu.Unlock()
			return
		}
	}
}

// close ends the advertiser and says what went wrong.
func (a *Advertiser) close() error {
	err := a.socket.Close()
	<-a.done
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(append(a.errs, err)...)
}

// parseSolicitation reports whether a frame is a router solicitation (RFC 4861, 4.1), and from which NIC.
func parseSolicitation(f []byte) (mac metadata.MAC, ok bool) {
	const header = 14 + 40
	if len(f) < header+8 || binary.BigEndian.Uint16(f[12:]) != unix.ETH_P_IPV6 ||
		f[20] != unix.IPPROTO_ICMPV6 || f[21] != ndp.HopLimit || f[header] != 133 || f[header+1] != 0 {
		return mac, false
	}
	copy(mac[:], f[6:])
	return mac, true
}

var allNodes = netip.MustParseAddr("ff02::1")

// frame is the advertisement, from a NIC to all hosts.
func (o RAOptions) frame(mac metadata.MAC) ([]byte, error) {
	router, hops := o.Router, o.HopLimit
	if !router.IsValid() {
		router = linkLocalGateway.Addr()
	}
	if hops == 0 {
		hops = ndp.HopLimit
	}
	ra := &ndp.RouterAdvertisement{RouterLifetime: o.Lifetime, RouterSelectionPreference: o.Preference,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: slices.Clone(mac[:])}}}
	for _, p := range o.Prefixes {
		ra.Options = append(ra.Options, &ndp.PrefixInformation{Prefix: p.Masked().Addr(), PrefixLength: uint8(p.Bits()), OnLink: true,
			AutonomousAddressConfiguration: o.Autonomous, ValidLifetime: 2 * time.Hour, PreferredLifetime: time.Hour})
	}
	if o.MTU != 0 {
		ra.Options = append(ra.Options, ndp.NewMTU(uint32(o.MTU)))
	}
	message, err := ndp.MarshalMessageChecksum(ra, router, allNodes)
	if err != nil {
		return nil, err
	}
	f := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:]...)
	f = binary.BigEndian.AppendUint16(f, unix.ETH_P_IPV6)
	f = append(f, 0x60, 0, 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(len(message)))
	f = append(f, unix.IPPROTO_ICMPV6, hops)
	f = append(append(f, router.AsSlice()...), allNodes.AsSlice()...)
	return append(f, message...), nil
}
