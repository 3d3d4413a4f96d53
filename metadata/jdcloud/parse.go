package jdcloud

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"enid/metadata"
	"enid/metadata/document"
)

const (
	// origin is what status shows as the source of each fact.
	origin = "jdcloud"
	// documentOrigin is the same for what the custom-metadata key says. It goes into
	// Snapshot.Custom, because overlay documents come before it.
	documentOrigin = "custom-metadata enid"
)

// nic is an entry of the list of NICs.
type nic struct {
	number int
	dir    string // as listed
}

// nics reads the list: each number once, in order, and the names that are no numbers.
// Numbers may have holes and may start anywhere; after a detach they are not
// promised to close up.
func nics(body string) (listed []nic, bad []string, err error) {
	names, err := names(body)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, "/")
		number, err := strconv.ParseUint(name, 10, 16)
		if err != nil {
			bad = append(bad, name)
			continue
		}
		listed = append(listed, nic{int(number), networkPath + name + "/"})
	}
	slices.SortStableFunc(listed, func(a, b nic) int { return cmp.Compare(a.number, b.number) })
	return slices.CompactFunc(listed, func(a, b nic) bool { return a.number == b.number }), bad, nil
}

// parser makes a Snapshot of what the service said.
type parser struct {
	answers  metadata.Answers
	snapshot metadata.Snapshot
}

func parse(answers metadata.Answers) (metadata.Snapshot, error) {
	list := answers.Of(networkPath)
	if list.Err != nil {
		return metadata.Snapshot{}, list.Err
	}
	listed, bad, err := nics(list.Body)
	if err != nil {
		return metadata.Snapshot{}, fmt.Errorf("%s: %w; check what answers at the metadata endpoint", networkPath, err)
	}
	if len(listed) == 0 {
		return metadata.Snapshot{}, fmt.Errorf("%s lists no NIC (it says %.80q), but an instance always has its primary ENI; check what answers at the metadata endpoint", networkPath, list.Body)
	}
	p := parser{answers, metadata.Snapshot{Provider: origin, Complete: true}}
	if len(bad) > 0 {
		p.incomplete(metadata.Unread("", "mac", &metadata.BadAnswerError{Path: networkPath, Err: fmt.Errorf("%.40q is not the number of a NIC", bad[0])}))
	}
	p.snapshot.Instance, _ = metadata.Read(answers, instancePath, scalar) // shown, never needed
	p.interfaces(listed)
	p.snapshot.Custom = p.document()
	return p.snapshot, nil
}

// interfaces reads every ENI and puts them in the order of their MACs.
func (p *parser) interfaces(listed []nic) {
	primary, err := primaryNumber(p.answers, listed)
	if err != nil {
		p.incomplete(metadata.Problem{Field: "primary", Reason: "primary-unclear", Text: err.Error()})
	}
	seen := map[metadata.MAC]nic{}
	for _, n := range listed {
		i, ok := p.eni(n)
		if !ok {
			continue
		}
		if first, twice := seen[i.MAC]; twice {
			p.incomplete(metadata.Problem{Interface: i.Name(), Field: "mac", Reason: "bad-answer", Text: fmt.Sprintf("%s and %s have one MAC address, %s; the first is taken", first.dir, n.dir, i.MAC)})
			continue
		}
		seen[i.MAC] = n
		if err == nil {
			i.Primary = metadata.Is(n.number == primary, origin)
		}
		p.snapshot.Interfaces = append(p.snapshot.Interfaces, i)
	}
	slices.SortFunc(p.snapshot.Interfaces, func(a, b metadata.Interface) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
}

// primaryNumber says which NIC is the primary. By the manual it is number 1, by an
// early draft of it 0, and the service's list starts with it: so the lowest
// number, if it is one of the two. The root's local-ipv4, which the manual does not
// list and JD Cloud's Kubernetes uses, is the primary's address; where it is readable and is
// some NIC's, it decides between 0 and 1, makes up for a numbering that starts
// elsewhere, and where it points to another NIC than the numbers do, nobody is called
// primary: the primary taken for a secondary would lose its host's traffic. A list that
// starts higher without that proof lacks the primary and is not believed.
func primaryNumber(answers metadata.Answers, listed []nic) (int, error) {
	lowest := listed[0].number
	if own, err := metadata.Read(answers, addressPath, ipv4); err == nil {
		for _, n := range listed {
			address, err := metadata.Read(answers, n.dir+"local-ipv4", ipv4)
			if err != nil || address != own {
				continue
			}
			if n.number > 1 && n.number != lowest {
				return 0, fmt.Errorf("which ENI is the primary is not known: by its number it is %s, by the instance's local-ipv4 %s it is %s", listed[0].dir, own, n.dir)
			}
			return n.number, nil
		}
	}
	if lowest > 1 {
		return 0, fmt.Errorf("%s starts with %s and lacks the primary ENI, which is number 1", networkPath, listed[0].dir)
	}
	return lowest, nil
}

// eni reads one NIC's facts. One whose MAC cannot be read is not known, and it may be any
// NIC of this host.
func (p *parser) eni(n nic) (metadata.Interface, bool) {
	id, idErr := metadata.Read(p.answers, n.dir+"network-interface-id", scalar)
	mac, err := metadata.Read(p.answers, n.dir+"mac", macAddress)
	if err != nil {
		p.incomplete(metadata.Unread(id, "mac", err))
		return metadata.Interface{}, false
	}
	i := metadata.Interface{MAC: mac, ID: known(id, idErr)}
	p.unread(i, "id", idErr)
	subnet, err := metadata.Read(p.answers, n.dir+"subnet-id", scalar)
	i.SubnetID = known(subnet, err)
	p.unread(i, "subnetId", err)

	address, err := metadata.Read(p.answers, n.dir+"local-ipv4", ipv4)
	p.unread(i, "addresses", err)
	if err != nil {
		return i, true
	}
	// Secondary addresses, and public ones bound to them, are in no key. How it is said
	// that there is no public address is not documented, so that one is no problem.
	i.Addresses = metadata.HasAtLeast([]netip.Addr{address}, origin)
	if public, err := metadata.Read(p.answers, n.dir+"floating-ipv4", ipv4); err == nil {
		i.Public = metadata.HasAtLeast(map[netip.Addr]netip.Addr{address: public}, origin)
	}
	return i, true
}

func known[T any](value T, err error) metadata.Fact[T] {
	if err != nil {
		return metadata.Fact[T]{}
	}
	return metadata.Is(value, origin)
}

// unread notes why a fact of i could not be read, if it could not. That keys are not
// there yet is told once, by the address.
func (p *parser) unread(i metadata.Interface, field string, err error) {
	if err != nil && (field == "addresses" || !errors.Is(err, metadata.ErrNotFound)) {
		p.snapshot.Problems = append(p.snapshot.Problems, metadata.Unread(i.Name(), field, err))
	}
}

// incomplete notes a problem that puts in doubt what is attached.
func (p *parser) incomplete(problem metadata.Problem) {
	p.snapshot.Complete = false
	problem.Text += "; no ENI is taken for detached meanwhile"
	p.snapshot.Problems = append(p.snapshot.Problems, problem)
}

// document is what the custom-metadata key says about the ENIs. Without the key there is
// no document. One that cannot be read leaves what it may say unknown, and is a problem.
func (p *parser) document() []metadata.Interface {
	text, err := metadata.Read(p.answers, documentPath, documentText)
	if errors.Is(err, metadata.ErrNotFound) {
		return nil
	}
	if err != nil {
		p.documentProblem(fmt.Errorf("%s: %w", documentOrigin, err))
		return nil
	}
	d, err := document.Parse(documentOrigin, []byte(text))
	if err != nil {
		p.documentProblem(err)
		return nil
	}
	return d.Interfaces()
}

// documentProblem makes one line of a document's errors, which come one a line, each
// with its position.
func (p *parser) documentProblem(err error) {
	p.snapshot.Problems = append(p.snapshot.Problems, metadata.Problem{
		Reason: "custom-metadata",
		Text:   strings.ReplaceAll(err.Error(), "\n", "; ") + "; what only this document says is not known meanwhile",
	})
}
