// Package offer asks by DHCP what the network of a NIC looks like, and takes no lease: it sends a
// DHCPDISCOVER and reads the offers, nothing else. The messages are few and fixed, so they are written and
// read here (RFC 2131, RFC 2132) and not by a library, which would bring more modules than this has files.
package offer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// Offer is what a DHCP server says of one NIC.
type Offer struct {
	Address netip.Addr   // that it would give (yiaddr)
	Prefix  netip.Prefix // the subnet that follows from Address and the subnet mask (option 1)
	Gateway netip.Addr   // the first router (option 3), the zero Addr where it names none
	MTU     int          // bytes (option 26), 0 where it names none
	Server  netip.Addr   // who says so (option 54)
}

// The bounds of what is believed: the subnet is one that has room for a gateway and a host; the MTU is as
// metadata.Validate wants it.
const (
	leastBits, mostBits = 8, 30
	leastMTU, mostMTU   = 576, 9216
)

// read makes an Offer of a message's address and options. The error says who offers what cannot be. A message
// with anything in it that makes no sense counts for nothing: it may be garbled elsewhere too.
func (m message) read() (Offer, error) {
	o := Offer{Address: m.yours}
	if err := m.server(&o); err != nil {
		return Offer{}, err
	}
	for _, part := range []func(*Offer) error{m.prefix, m.gateway, m.mtu} {
		if err := part(&o); err != nil {
			return Offer{}, fmt.Errorf("%s offers %s: %w", o.Server, o.Address, err)
		}
	}
	return o, nil
}

func (m message) server(o *Offer) error {
	id, ok := m.options.address(optServer)
	if !ok || !usable(id) {
		return fmt.Errorf("an offer of %s does not say from whom it is (option 54)", m.yours)
	}
	o.Server = id
	return nil
}

func (m message) prefix(o *Offer) error {
	mask, ok := m.options[optMask]
	switch {
	case !usable(o.Address):
		return errors.New("that is no address of a NIC")
	case !ok:
		return errors.New("it has no subnet mask (option 1)")
	case len(mask) != 4:
		return fmt.Errorf("its subnet mask (option 1) has %d bytes, want 4", len(mask))
	}
	ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(mask))
	if binary.BigEndian.Uint32(mask)<<ones != 0 || ones < leastBits || ones > mostBits {
		return fmt.Errorf("its subnet mask (option 1) is %s, want one of /%d to /%d", netip.AddrFrom4([4]byte(mask)), leastBits, mostBits)
	}
	o.Prefix = netip.PrefixFrom(o.Address, ones).Masked()
	if !isHost(o.Prefix, o.Address) {
		return fmt.Errorf("in %s that is no host's address", o.Prefix)
	}
	return nil
}

func (m message) gateway(o *Offer) error {
	routers, ok := m.options[optRouter]
	if !ok {
		return nil
	}
	if len(routers) == 0 || len(routers)%4 != 0 {
		return fmt.Errorf("its list of routers (option 3) has %d bytes, want 4 for each", len(routers))
	}
	gateway := netip.AddrFrom4([4]byte(routers))
	if !o.Prefix.Contains(gateway) || !isHost(o.Prefix, gateway) || gateway == o.Address {
		return fmt.Errorf("its router (option 3) is %s, which is no other host in %s", gateway, o.Prefix)
	}
	o.Gateway = gateway
	return nil
}

func (m message) mtu(o *Offer) error {
	value, ok := m.options[optMTU]
	if !ok {
		return nil
	}
	if len(value) != 2 {
		return fmt.Errorf("its MTU (option 26) has %d bytes, want 2", len(value))
	}
	o.MTU = int(binary.BigEndian.Uint16(value))
	if o.MTU < leastMTU || o.MTU > mostMTU {
		return fmt.Errorf("its MTU (option 26) is %d, want %d to %d", o.MTU, leastMTU, mostMTU)
	}
	return nil
}

// usable reports whether a NIC can have the address: no multicast, loopback, link-local or reserved one.
func usable(a netip.Addr) bool { return a.IsGlobalUnicast() && a.As4()[0] != 0 && a.As4()[0] < 240 }

// isHost reports whether an address of a subnet is neither the subnet's own nor the broadcast one.
func isHost(p netip.Prefix, a netip.Addr) bool {
	b := a.As4()
	host := binary.BigEndian.Uint32(b[:]) << p.Bits()
	return host != 0 && host != ^uint32(0)<<p.Bits()
}
