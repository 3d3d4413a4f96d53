package metadata

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// MAC is the hardware address of an ENI: its identity, on the cloud's side and
// on the NIC. It is a value, so that clouds that print it in upper case, with
// dashes or without separators compare equal to the kernel's form.
type MAC [6]byte

// ParseMAC reads a MAC written as 02:29:96:8f:00:01, 02-29-96-8F-00-01 or
// 0229968F0001. The zero, broadcast and multicast addresses are errors: no NIC
// has one of its own.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	digits := strings.NewReplacer(":", "", "-", "").Replace(strings.TrimSpace(s))
	n, err := hex.Decode(m[:], []byte(digits[:min(len(digits), 2*len(m))]))
	if err != nil || n != len(m) || len(digits) != 2*len(m) {
		return MAC{}, fmt.Errorf("%q is not a MAC address (want six bytes, such as 02:29:96:8f:00:01)", s)
	}
	if m == (MAC{}) || m[0]&1 == 1 {
		return MAC{}, fmt.Errorf("%q is not the MAC address of a NIC (zero, broadcast or multicast)", s)
	}
	return m, nil
}

// String is the kernel's form: lower case with colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText makes a MAC a string in JSON and YAML, also as a map's key.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMAC for decoders.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMAC(string(b))
	return err
}
