package netcfg

import (
	"fmt"
	"net/netip"
)

// MainTable is RT_TABLE_MAIN.
const MainTable = 254

// MaxSlots is how many ENIs fit, the primary included: the connection mark has seven bits
// of which 0 means no mark.
const MaxSlots = 127

// Numbers are the settings that say which numbers of the kernel's are ours.
type Numbers struct {
	Table         int    // tables Table to Table+MaxSlots-1, and Table+900
	Priority      int    // selectors, in front of main
	BlockPriority int    // wall, chains and blocks, behind main
	Protocol      int    // marks our rules and routes
	Mark          uint32 // mask of the connection mark: seven bits in a row
	Group         uint32 // link group of every managed NIC
}

// DefaultNumbers keep clear of every agent and CNI that we know of.
var DefaultNumbers = Numbers{Table: 20000, Priority: 20000, BlockPriority: 32768, Protocol: 225, Mark: 0x7f000000, Group: 225}

// Reaches reports why a host cannot go from these numbers to others in one step. Where an ENI's new table
// or block of rules is another ENI's old one, packets of the one would leave by the other meanwhile.
func (n Numbers) Reaches(to Numbers) error {
	const tables, blocks = 901, blockOffset + blockStep*MaxSlots
	overlap := func(a, b, span int) bool { return a != b && max(a, b)-min(a, b) < span }
	switch {
	case overlap(n.Table, to.Table, tables):
		return fmt.Errorf("routing.table: %d is too near the present %d, whose tables are in use; want %d or more between them", to.Table, n.Table, tables)
	case overlap(n.BlockPriority, to.BlockPriority, blocks):
		return fmt.Errorf("routing.block_priority: %d is too near the present %d, whose rules are in use; want %d or more between them", to.BlockPriority, n.BlockPriority, blocks)
	}
	return nil
}

// Offsets from Numbers.Priority and Numbers.BlockPriority. The selectors leave room for
// one priority for each prefix length, longer prefixes first.
const (
	markGate         = 0 // leads packets without a mark past the marks
	markExceptions   = 1 // the primary's three, then main
	markMain         = 4
	markSelectors    = 5
	markLanding      = 9
	prefixSelectors  = 10
	forwardGate      = 99 // leads forwarded packets past what is only about this host's own
	subnetSelectors  = 100
	primarySelectors = 200
	deviceSelectors  = 300
	forwardLanding   = 308
	policyBypass     = 309
	policySelectors  = 310 // one for each policy, in their order
	policyLanding    = 399
	prioritySpan     = 400

	wallOffset  = 0
	blockOffset = 232 // blocks at 33000 + 10 a slot
	blockStep   = 10
	chainBefore = 2 // a shared subnet's chain runs into the block of its first ENI
)

// Validate reports numbers that the kernel or this layout cannot take.
func (n Numbers) Validate() error {
	switch {
	case n.Table < 256 || n.Table > 1<<31-1000:
		return fmt.Errorf("table: %d is out of range; want 256 to %d, the tables up to it plus 900 are used", n.Table, 1<<31-1000)
	case n.Priority < 1 || n.Priority > 32766-prioritySpan:
		return fmt.Errorf("priority: %d is out of range; want 1 to %d, so that the selectors stand between local and main", n.Priority, 32766-prioritySpan)
	case n.BlockPriority < 32768 || n.BlockPriority > 1<<31-10000:
		return fmt.Errorf("block_priority: %d is out of range; want 32768 or more, so that the blocks stand behind main and default", n.BlockPriority)
	case n.Protocol < 5 || n.Protocol > 255:
		return fmt.Errorf("protocol: %d is out of range; want 5 to 255, a number that nobody else uses (see /etc/iproute2/rt_protos)", n.Protocol)
	case n.Group < 1:
		return fmt.Errorf("group: 0 is every NIC's group; want another number")
	case n.markShift() < 0:
		return fmt.Errorf("mark: mask %#x must be seven bits in a row, such as 0x7f000000", n.Mark)
	}
	return nil
}

// markShift is the place of the mask's lowest bit, -1 for a mask of another form.
func (n Numbers) markShift() int {
	for shift := range 26 {
		if n.Mark == 0x7f<<shift {
			return shift
		}
	}
	return -1
}

// TableOf is the route table of a slot.
func (n Numbers) TableOf(s Slot) int { return n.Table + int(s) }

// RefuseTable holds unreachable for the sibling subnets of the primary.
func (n Numbers) RefuseTable() int { return n.Table + 900 }

// MarkOf is the connection mark of a slot, within the mask Numbers.Mark.
func (n Numbers) MarkOf(s Slot) uint32 { return uint32(s+1) << n.markShift() }

// blockOf is the priority of the first rule of a slot's block.
func (n Numbers) blockOf(s Slot) int { return n.BlockPriority + blockOffset + blockStep*int(s) }

// chainOf is the priority of the chain of a shared subnet whose first ENI has
// this slot. It stands right before that ENI's block and runs into it.
func (n Numbers) chainOf(s Slot) int { return n.blockOf(s) - chainBefore }

// holds reports whether a rule stands where rules of these numbers do.
func (n Numbers) holds(r Rule) bool {
	return n.inFront(r.Priority) || n.behind(r.Priority)
}

// inFront reports whether a priority is among the selectors', in front of main.
func (n Numbers) inFront(priority int) bool {
	return priority >= n.Priority && priority < n.Priority+prioritySpan
}

// behind reports whether a priority is among those of wall, chains and blocks, behind main.
func (n Numbers) behind(priority int) bool {
	return priority >= n.wall() && priority < n.blockOf(MaxSlots)
}

// wall is the priority of the rule that nobody walks past into the blocks.
func (n Numbers) wall() int { return n.BlockPriority + wallOffset }

// prefixRank puts longer prefixes at lower numbers.
func prefixRank(p netip.Prefix) int { return p.Addr().BitLen() - p.Bits() }
