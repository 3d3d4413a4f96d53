package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"enid/metadata"

	"golang.org/x/sys/unix"
)

func (c change) isOurs(value string) bool { return slices.Contains(c.ours, value) }

// undone: nothing of ours is in effect. The value is the one found, which one of ours was to
// replace when enid was killed, or it is another's since. Only for a link that somebody set
// down is it remembered that enid had brought it up.
func (c change) undone(k Knob, value string) bool {
	if k == LinkUp {
		return value == c.found && c.isOurs(value)
	}
	return value == c.found || !c.isOurs(value)
}

// recordable: the NIC is there and has an address to know it by.
func (l look) recordable(link int) bool { return l.byID[link].MAC != (metadata.MAC{}) }

// doSetting sets a knob. One that the kernel lacks for this NIC (IPv6 off) has
// nothing that could go wrong.
func (b *batch) doSetting(op Op, s Setting) error {
	if !b.look.recordable(s.Link) {
		return fmt.Errorf("NIC %d is gone or is no Ethernet NIC: %w", s.Link, unix.ENODEV)
	}
	if err := b.put(s); err != nil {
		return err
	}
	id := ownedKnob{b.look.byID[s.Link].id(), s.Knob}
	if c, recorded := b.record.knobs[id]; recorded {
		b.record.knobs[id] = change{c.found, []string{s.Value}}
	}
	return nil
}

// restore puts back the value found, unless somebody else has changed ours, or needs a NIC up that
// was down.
func (b *batch) restore(op Op, s Setting) (Op, error) {
	id := ownedKnob{b.look.byID[s.Link].id(), s.Knob}
	c, recorded := b.record.knobs[id]
	if !recorded { // never ours, or gone with its NIC
		return op, nil
	}
	link, err := b.conn.link(s.Link)
	if err != nil && !gone(err) {
		return op, err
	}
	present, ok, err := knob(link, s.Knob)
	if err != nil {
		return op, err
	}
	used := false
	if s.Knob == LinkUp && link.Up && c.found == "0" {
		if used, err = b.inUse(link); err != nil {
			return op, err
		}
	}
	s.Value = present
	if ok && c.isOurs(present) && !used {
		s.Value = c.found
		if err := b.put(s); err != nil && !gone(err) {
			return op, err
		}
	}
	delete(b.record.knobs, id)
	op.Object = s
	return op, nil
}

// put writes a value, to the name that the NIC has now.
func (b *batch) put(s Setting) error {
	if s.Knob.Path("") == "" {
		return b.conn.setLink(s)
	}
	err := writeSysctl(b.look.byID[s.Link].Name, s)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	link, err := b.conn.link(s.Link)
	if err != nil {
		return err
	}
	err = writeSysctl(link.Name, s)
	if errors.Is(err, fs.ErrNotExist) { // the NIC is there, the setting is not
		return nil
	}
	return err
}
