package offer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"enid/metadata"
)

// Options, and the values of option 53 (RFC 2132).
const (
	optPad       = 0
	optMask      = 1
	optRouter    = 3
	optMTU       = 26
	optRequested = 50
	optOverload  = 52
	optType      = 53
	optServer    = 54
	optWanted    = 55
	optEnd       = 255

	typeDiscover = 1
	typeOffer    = 2
)

// Where the fields of a message are, and how long it is before its options (RFC 2131, 2).
const (
	atID, atSeconds, atFlags, atYours  = 4, 8, 10, 16
	atClient, atName, atFile, atCookie = 28, 44, 108, 236
	atOptions                          = 240
	leastMessage                       = 300 // BOOTP's; some relays drop what is shorter
)

var cookie = []byte{99, 130, 83, 99}

// question is one DHCPDISCOVER, sent more than once.
type question struct {
	id   uint32 // of the transaction (xid)
	mac  metadata.MAC
	want netip.Addr // the address to be offered, as a hint for servers that have more than one; the zero Addr for any
}

// message is the question as it is after so many seconds. It asks for an answer by broadcast, as the NIC has no
// address to send one to.
func (q question) message(seconds uint16) []byte {
	m := make([]byte, atOptions, leastMessage)
	m[0], m[1], m[2] = 1, 1, 6 // a request; Ethernet; its addresses have six bytes
	binary.BigEndian.PutUint32(m[atID:], q.id)
	binary.BigEndian.PutUint16(m[atSeconds:], seconds)
	binary.BigEndian.PutUint16(m[atFlags:], 0x8000)
	copy(m[atClient:], q.mac[:])
	copy(m[atCookie:], cookie)
	m = append(m, optType, 1, typeDiscover)
	if q.want.IsValid() {
		m = append(m, optRequested, 4)
		m = append(m, q.want.AsSlice()...)
	}
	m = append(m, optWanted, 3, optMask, optRouter, optMTU, optEnd)
	return append(m, make([]byte, leastMessage-len(m))...)
}

// errNotOurs is the error of a frame that is no offer in answer to the question: none of anybody's business.
var errNotOurs = errors.New("not an offer for us")

// message is what counts of an offer.
type message struct {
	yours   netip.Addr
	options options
}

// options are a message's, by number; those that come in parts are joined (RFC 3396).
type options map[byte][]byte

func (o options) address(number byte) (netip.Addr, bool) {
	if len(o[number]) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(o[number])), true
}

// parse reads a message, errNotOurs for one that is no offer in answer to q.
func (q question) parse(m []byte) (message, error) {
	if len(m) < atOptions || m[0] != 2 || m[1] != 1 || m[2] != 6 || binary.BigEndian.Uint32(m[atID:]) != q.id ||
		!bytes.Equal(m[atClient:atClient+6], q.mac[:]) || !bytes.Equal(m[atCookie:atOptions], cookie) {
		return message{}, errNotOurs
	}
	o := options{}
	whole := o.add(m[atOptions:])
	// Options may go on in the fields for a file and a server's name (option 52).
	if overload := o[optOverload]; len(overload) == 1 {
		whole = whole && (overload[0]&1 == 0 || o.add(m[atFile:atCookie])) && (overload[0]&2 == 0 || o.add(m[atName:atFile]))
	}
	if !bytes.Equal(o[optType], []byte{typeOffer}) {
		return message{}, errNotOurs
	}
	if !whole {
		return message{}, errors.New("an offer whose options are cut off")
	}
	return message{netip.AddrFrom4([4]byte(m[atYours:])), o}, nil
}

// add reads a field of options up to its end mark, and reports whether all of them were whole.
func (o options) add(field []byte) bool {
	for len(field) > 0 {
		switch field[0] {
		case optPad:
			field = field[1:]
			continue
		case optEnd:
			return true
		}
		if len(field) < 2 || len(field) < 2+int(field[1]) {
			return false
		}
		end := 2 + int(field[1])
		o[field[0]] = append(o[field[0]], field[2:end]...)
		field = field[end:]
	}
	return true // without the end mark, as some servers send it
}
