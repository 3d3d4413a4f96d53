package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"enid/metadata"
)

// Spoof is the evidence of frames that entered the fabric by a port with a source
// that is not that port's.
type Spoof struct {
	Port string // VM and NIC by the names they were plugged in with, "vm1 eth1"
	Kind string // "ip", "ip6", "arp", else the EtherType
	// MAC is the frame's source. ARP's own idea of it is in Sender.
	MAC, Sender metadata.MAC
	Src, Dst    netip.Addr // for ARP the sender's and the target's; none for other EtherTypes
	Packets     uint64
}

func (s Spoof) String() string {
	text := fmt.Sprintf("%d × %s from %s, source %s", s.Packets, s.Kind, s.Port, s.MAC)
	if s.Kind == "arp" {
		text += fmt.Sprintf(" (sender %s)", s.Sender)
	}
	if s.Src.IsValid() {
		text += fmt.Sprintf(" %s to %s", s.Src, s.Dst)
	}
	return text
}

// Spoofed returns what the fabric has dropped since the last reset, in a fixed order.
// Frames that the kernel still has in hand are not in it yet.
func (l *Lab) Spoofed() ([]Spoof, error) {
	out, err := l.fabric.Run(context.Background(), "nft", "-j", "list", "table", "bridge", "lab")
	if err != nil {
		return nil, fmt.Errorf("lab: read the evidence: %w", err)
	}
	spoofs, total, err := parseEvidence([]byte(out))
	if err != nil {
		return nil, fmt.Errorf("lab: read the evidence: %w", err)
	}
	names := l.portNames()
	var kept uint64
	for i := range spoofs {
		if name, plugged := names[spoofs[i].Port]; plugged {
			spoofs[i].Port = name
		}
		kept += spoofs[i].Packets
	}
	if kept < total {
		spoofs = append(spoofs, Spoof{Port: "any", Kind: "not kept", Packets: total - kept})
	}
	slices.SortFunc(spoofs, func(a, b Spoof) int { return strings.Compare(a.String(), b.String()) })
	return spoofs, nil
}

// ResetSpoofed forgets all evidence.
func (l *Lab) ResetSpoofed() error { return l.nft(guardReset) }

func (l *Lab) portNames() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string]string{}
	for _, p := range l.ports {
		names[p.name] = p.vm.Name + " " + p.nic.Name
	}
	return names
}

// ruleset is the part of nft's JSON (libnftables-json(5)) that holds evidence.
type ruleset struct {
	Nftables []struct {
		Counter *struct {
			Name    string
			Packets uint64
		}
		Set *struct {
			Name string
			Elem []struct {
				Elem struct {
					Val     struct{ Concat []any }
					Counter struct{ Packets uint64 }
				}
			}
		}
	}
}

// parseEvidence reads the sets and the counter of guardTable.
func parseEvidence(b []byte) (spoofs []Spoof, total uint64, err error) {
	var rules ruleset
	if err := json.Unmarshal(b, &rules); err != nil {
		return nil, 0, fmt.Errorf("parse nft's answer: %w", err)
	}
	for _, o := range rules.Nftables {
		if o.Counter != nil && o.Counter.Name == "spoofs" {
			total = o.Counter.Packets
		}
		if o.Set == nil {
			continue
		}
		for _, e := range o.Set.Elem {
			s, err := parseSpoof(o.Set.Name, e.Elem.Val.Concat)
			if err != nil {
				return nil, 0, fmt.Errorf("set %s: %w", o.Set.Name, err)
			}
			s.Packets = e.Elem.Counter.Packets
			if s.Packets > 0 {
				spoofs = append(spoofs, s)
			}
		}
	}
	return spoofs, total, nil
}

// parseSpoof reads the key of a set's element: port, source MAC, then what the set
// is about.
func parseSpoof(set string, key []any) (Spoof, error) {
	words := make([]string, len(key))
	for i, k := range key {
		words[i] = fmt.Sprint(k) // an EtherType without a name is a number
	}
	length := map[string]int{"spoof4": 4, "spoof6": 4, "spoofarp": 5, "spoofother": 3}[set]
	if length == 0 || len(words) != length {
		return Spoof{}, fmt.Errorf("an element has the key %q", words)
	}
	s := Spoof{Port: words[0]}
	var errs [4]error
	s.MAC, errs[0] = parseHardware(words[1])
	switch set {
	case "spoofother":
		s.Kind = "ethertype " + words[2]
		return s, errs[0]
	case "spoofarp":
		s.Kind = "arp"
		s.Sender, errs[1] = parseHardware(words[2])
	case "spoof4":
		s.Kind = "ip"
	case "spoof6":
		s.Kind = "ip6"
	}
	s.Src, errs[2] = netip.ParseAddr(words[length-2])
	s.Dst, errs[3] = netip.ParseAddr(words[length-1])
	return s, errors.Join(errs[:]...)
}

// parseHardware takes also what is no NIC's MAC: this is evidence.
func parseHardware(s string) (m metadata.MAC, err error) {
	b, err := net.ParseMAC(s)
	if err == nil && len(b) != len(m) {
		err = fmt.Errorf("%q is not a MAC address", s)
	}
	copy(m[:], b)
	return m, err
}
