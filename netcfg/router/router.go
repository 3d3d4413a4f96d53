// Package router hears what routers say of a NIC's network in their router advertisements, and asks for them
// (RFC 4861). It changes nothing: what is heard is for others to believe.
package router

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

// Preference is how much a router wants to be the default router (RFC 4191, 2.1): the greater the more.
type Preference int

// The preferences.
const (
	Low    Preference = -1
	Medium Preference = 0
	High   Preference = 1
)

// Advertisement is what counts here of one router advertisement.
type Advertisement struct {
	Router     netip.Addr // who says so: link-local, without a zone
	Lifetime   time.Duration
	Preference Preference
	Prefixes   []netip.Prefix // that are on link
	Withdrawn  []netip.Prefix // that are not any more
	MTU        int            // bytes, 0 where it names none
}

// Default reports whether the router forwards for others. One that does not may still know the prefixes.
func (a Advertisement) Default() bool { return a.Lifetime > 0 }

// The bounds of what is believed of an MTU: what IPv6 needs (RFC 8200, 5), and as metadata.Validate wants it.
const leastMTU, mostMTU = 1280, 9216

// hopLimit is that of a packet that no router has forwarded.
const hopLimit = 255

// parse reads an ICMPv6 message that has come by the NIC, its checksum found right. The error says what is wrong
// with a router's word; errOther is that of any other message. One that makes no sense in part counts for
// nothing: it may be garbled elsewhere too.
func parse(message []byte, from netip.Addr, hops int) (Advertisement, error) {
	if len(message) == 0 || message[0] != typeAdvertisement {
		return Advertisement{}, errOther
	}
	from = from.WithZone("")
	refuse := func(format string, args ...any) (Advertisement, error) {
		return Advertisement{}, fmt.Errorf("the router advertisement of %s "+format, append([]any{from}, args...)...)
	}
	switch {
	case hops != hopLimit:
		return refuse("has come through a router, by its hop limit of %d, want %d", hops, hopLimit)
	case !from.Is6() || from.Is4In6() || !from.IsLinkLocalUnicast():
		return refuse("is not from a link-local address")
	case len(message) < 2 || message[1] != 0:
		return refuse("does not have the code 0")
	}
	m, err := ndp.ParseMessage(message)
	if err != nil {
		return refuse("cannot be read: %w", err)
	}
	ra, ok := m.(*ndp.RouterAdvertisement)
	if !ok {
		return Advertisement{}, errOther
	}
	return read(ra, from)
}

// errOther is the error of a message that is no router advertisement.
var errOther = errors.New("not a router advertisement")

// Types of ICMPv6 messages (RFC 4861, 4).
const (
	typeSolicitation  = 133
	typeAdvertisement = 134
)

// read takes out of an advertisement what counts.
func read(ra *ndp.RouterAdvertisement, from netip.Addr) (Advertisement, error) {
	a := Advertisement{Router: from, Lifetime: ra.RouterLifetime}
	switch ra.RouterSelectionPreference {
	case ndp.High:
		a.Preference = High
	case ndp.Low:
		a.Preference = Low
	}
	for _, o := range ra.Options {
		switch o := o.(type) {
		case *ndp.PrefixInformation:
			a.prefix(o)
		case *ndp.MTU:
			if o.MTU < leastMTU || o.MTU > mostMTU {
				return Advertisement{}, fmt.Errorf("the router advertisement of %s has the MTU %d, want %d to %d", from, o.MTU, leastMTU, mostMTU)
			}
			a.MTU = int(o.MTU)
		}
	}
	return a, nil
}

// prefix notes a prefix that is on link. The link-local one is always, and no subnet.
func (a *Advertisement) prefix(o *ndp.PrefixInformation) {
	p := netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked()
	switch {
	case !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || !p.Addr().IsGlobalUnicast() || p.Bits() < leastBits || p.Bits() > mostBits:
	case o.ValidLifetime == 0:
		a.Withdrawn = append(a.Withdrawn, p)
	case o.OnLink:
		a.Prefixes = append(a.Prefixes, p)
	}
}

// The lengths of what is believed to be a subnet: no more than a cloud's whole allocation, with room for a
// router and a host.
const leastBits, mostBits = 16, 126

// solicitation is the message that asks all routers for an advertisement. It does not tell the NIC's own MAC: a
// router asks for that where it wants to answer this NIC alone.
func solicitation() []byte { return []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0} }
