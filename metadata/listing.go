package metadata

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Listing collects the ENIs of an answer that lists them one after the other, each with its MAC inside, into a
// Snapshot. Begin with a Snapshot that is Complete.
type Listing struct {
	Snapshot Snapshot
	twice    []MAC // listed more than once
}

// Incomplete notes what puts in doubt which ENIs are attached.
func (l *Listing) Incomplete(p Problem) {
	l.Snapshot.Complete = false
	p.Text += "; no ENI is taken for detached meanwhile"
	l.Snapshot.Problems = append(l.Snapshot.Problems, p)
}

// Add takes in an ENI and the problems of its facts. Facts that are told of one MAC twice may be either one's, so
// that nothing but the MAC is believed.
func (l *Listing) Add(i Interface, problems []Problem) {
	n := slices.IndexFunc(l.Snapshot.Interfaces, func(o Interface) bool { return o.MAC == i.MAC })
	if n < 0 {
		l.Snapshot.Interfaces = append(l.Snapshot.Interfaces, i)
		l.Snapshot.Problems = append(l.Snapshot.Problems, problems...)
		return
	}
	l.Snapshot.Interfaces[n] = Interface{MAC: i.MAC}
	if !slices.Contains(l.twice, i.MAC) {
		l.twice = append(l.twice, i.MAC)
		l.Incomplete(Problem{Interface: i.MAC.String(), Field: "mac", Reason: ReasonDuplicateMAC,
			Text: fmt.Sprintf("two ENIs are listed with the MAC %s; neither is believed until one of them has another", i.MAC)})
	}
}

// Done is the Snapshot, by MAC. It is an error where no ENI could be read, for then nothing was learnt.
func (l *Listing) Done() (Snapshot, error) {
	if len(l.Snapshot.Interfaces) > 0 {
		slices.SortFunc(l.Snapshot.Interfaces, func(a, b Interface) int { return compareMAC(a.MAC, b.MAC) })
		return l.Snapshot, nil
	}
	if len(l.Snapshot.Problems) > 0 {
		return Snapshot{}, fmt.Errorf("no ENI can be read: %s", l.Snapshot.Problems[0])
	}
	return Snapshot{}, errors.New("no ENI is listed, but an instance always has its primary ENI; check what answers at the metadata endpoint")
}

// JSON decodes the value of a key inside a document, whose name is for errors. One that is missing or null is an
// error that matches ErrNotFound, one of another kind is a BadAnswerError.
func JSON[T any](name string, raw json.RawMessage) (value T, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return value, fmt.Errorf("%s is missing: %w", name, ErrNotFound)
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return *new(T), &BadAnswerError{name, err}
	}
	return value, nil
}
