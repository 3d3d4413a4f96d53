package netcfg

import (
	"encoding/binary"
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// carried are the slots whose mark leads to an unreachable rule of ours and is on a connection
// still. Where the kernel cannot be asked the answer is yes: unknown is not empty.
func carried(n Numbers, own []Rule) map[Slot]bool {
	if n.Mark == 0 {
		return nil // nobody asks about marks
	}
	var found map[Slot]bool
	for _, r := range own {
		slot := n.slotOfMark(r)
		if slot == NoSlot || !r.Unreachable || r.Mark != n.MarkOf(slot) {
			continue
		}
		if found == nil {
			found = map[Slot]bool{}
		}
		if _, asked := found[slot]; !asked {
			found[slot] = connectionMarked(r.Mark, n.Mark)
		}
	}
	return found
}

// Constants of linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const (
	subsysConntrack = 1
	conntrackGet    = subsysConntrack<<8 | 1 // IPCTNL_MSG_CT_GET
	ctaMark         = 8
	ctaMarkMask     = 21
)

// connectionMarked reports whether a connection of either family has a mark. The kernel filters, and the
// first answer is enough: the socket is closed on the rest.
func connectionMarked(mark, mask uint32) bool {
	c, err := openSocket(unix.NETLINK_NETFILTER)
	if err != nil {
		return true
	}
	defer c.close()
	some := errors.New("there is one")
	big := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	err = c.exchange(request(conntrackGet, unix.NLM_F_DUMP, []nl.NetlinkRequestData{
		&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC}, // both families
		nl.NewRtAttr(ctaMark, big(mark)), nl.NewRtAttr(ctaMarkMask, big(mask)),
	}), func([]byte) error { return some })
	return err != nil // also where a change ran into the dump
}
