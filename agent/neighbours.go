package agent

import (
	"slices"

	"enid/metadata"
	"enid/netcfg"
)

// spared is what the other network managers were told last.
type spared struct {
	told bool
	macs []string
	err  error
}

// spare tells the other network managers which NICs are enid's, where that is news or all is to be looked
// at anew: before an address goes on a NIC, and as soon as the metadata speaks of an ENI, which may be
// before its NIC comes.
func (a *Agent) spare(t netcfg.Target, full bool) {
	if a.neighbours == nil {
		return
	}
	var macs []string
	if a.config.Neighbours != Off {
		macs = secondaries(t)
	}
	if s := a.spared; s.told && s.err == nil && !full && slices.Equal(macs, s.macs) {
		return
	}
	a.spared = spared{true, macs, a.neighbours(macs)}
}

// secondaries are the ENIs, in the order of their MACs, that are beyond doubt not the primary and that
// enid manages, or will when their NIC is here.
func secondaries(t netcfg.Target) (macs []string) {
	for _, o := range t.ENIs {
		kept := o.Phase == netcfg.Ignored || o.Phase == netcfg.Conflict && o.Link.Index == 0 // off by us
		if o.Slot > netcfg.Primary && !kept {
			macs = append(macs, o.MAC.String())
		}
	}
	slices.Sort(macs)
	return slices.Compact(macs)
}

// problems is what went wrong in telling them.
func (s spared) problems() []metadata.Problem {
	if s.err == nil {
		return nil
	}
	return []metadata.Problem{{Reason: "neighbours-not-told", Text: s.err.Error()}}
}
