// Package lastgood keeps what the metadata said last in a file, for a start at which it says nothing.
package lastgood

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"enid/metadata"
)

// version is the form of the file. Another one is not read.
const version = 1

// maxBytes bounds the file: 128 ENIs with everything have a tenth of it.
const maxBytes = 4 << 20

// Document is what was believed of an instance's ENIs, and when.
type Document struct {
	Provider string `json:"provider"`
	Instance string `json:"instance,omitempty"` // its id, "" where the dialect has none
	// Answered is the time of the newest answer of the metadata that bore this out.
	Answered   time.Time            `json:"answered"`
	Interfaces []metadata.Interface `json:"interfaces"` // by MAC, no two alike
}

// file is the document with what proves that it is whole.
type file struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the content without white space, in hex
	Content json.RawMessage `json:"content"`
}

// Same reports whether two documents say the same of the same instance, whenever they were written.
func (d Document) Same(other Document) bool {
	other.Answered = d.Answered
	a, err1 := json.Marshal(d)
	b, err2 := json.Marshal(other)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// Fits reports whether the document may be used on a host with these NICs, at this time, for this provider ("" for one
// that is not known yet); the error says why not. Before the metadata has answered nobody tells the host's
// instance, so it is known by the MAC of its primary ENI, which no other has.
func (d Document) Fits(provider string, nics []metadata.MAC, now time.Time, maxAge time.Duration) error {
	primary := slices.IndexFunc(d.Interfaces, func(i metadata.Interface) bool { return i.Primary.Value })
	age := now.Sub(d.Answered)
	switch {
	case provider != "" && provider != d.Provider:
		return fmt.Errorf("it is what %s said, and this host asks %s", d.Provider, provider)
	case primary < 0:
		return errors.New("it does not say which ENI is the primary one, by which the instance is known")
	case !slices.Contains(nics, d.Interfaces[primary].MAC):
		return fmt.Errorf("it is of another instance: no NIC here has the MAC %s of its primary ENI", d.Interfaces[primary].MAC)
	case age > maxAge:
		return fmt.Errorf("it is of %s, which is longer ago than metadata.max_age (%s)", d.Answered.Format(time.RFC3339), maxAge)
	case age < -maxAge:
		return fmt.Errorf("it is of %s, which is yet to come; is this host's clock right?", d.Answered.Format(time.RFC3339))
	}
	return nil
}

// Load reads a document. Its ENIs are checked as an answer of the metadata is. The error matches
// fs.ErrNotExist where there is none.
func Load(path string) (Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return Document{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return Document{}, err
	case len(data) > maxBytes:
		return Document{}, fmt.Errorf("%s is larger than %d bytes", path, maxBytes)
	}
	d, err := parse(data)
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func parse(data []byte) (Document, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return Document{}, fmt.Errorf("it is damaged: %w", err)
	}
	if f.Version != version {
		return Document{}, fmt.Errorf("version %d is not known to this enid", f.Version)
	}
	if s, err := sum(f.Content); err != nil || s != f.SHA256 {
		return Document{}, errors.New("it is damaged: its checksum is another")
	}
	var d Document
	if err := json.Unmarshal(f.Content, &d); err != nil {
		return Document{}, err
	}
	d.Interfaces = metadata.Validate(metadata.Snapshot{Provider: d.Provider, Interfaces: d.Interfaces}).Interfaces
	return d, nil
}

func sum(content []byte) (string, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		return "", err
	}
	s := sha256.Sum256(compact.Bytes())
	return hex.EncodeToString(s[:]), nil
}

func (d Document) format() ([]byte, error) {
	content, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	s, err := sum(content)
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(file{version, s, content}, "", "  ")
	return append(data, '\n'), err
}

// Save writes the document in one step: at every moment, also when the machine dies, there is the file from
// before or the new one, whole. Only its owner may read it.
func (d Document) Save(path string) error {
	data, err := d.format()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := write(path+".new", data); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// write is os.WriteFile that does not return before the data is on the disk.
func write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close())
}

// Next is the document to keep after an answer, given the one from before: what is believed now. While the list of
// ENIs is not settled, one of the same instance that the document has and nobody speaks of stays in it; and what
// was known whole is not replaced by less.
func (d Document) Next(answer metadata.Snapshot, belief metadata.Belief, now time.Time) Document {
	next := Document{Provider: answer.Provider, Instance: answer.Instance, Answered: now}
	before := map[metadata.MAC]metadata.Interface{}
	if d.Provider == next.Provider && (d.Instance == next.Instance || d.Instance == "" || next.Instance == "") {
		for _, i := range d.Interfaces {
			before[i.MAC] = i
		}
	}
	for _, b := range belief.Interfaces() {
		i, known := before[b.MAC]
		if !known || b.Whole() || !i.Whole() {
			i = b.Interface
		}
		next.Interfaces = append(next.Interfaces, i)
		delete(before, b.MAC)
	}
	if !belief.Settled() {
		for _, i := range before {
			next.Interfaces = append(next.Interfaces, i)
		}
	}
	slices.SortFunc(next.Interfaces, func(a, b metadata.Interface) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	return next
}
