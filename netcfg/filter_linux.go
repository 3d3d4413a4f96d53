package netcfg

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// The event socket's filter is a classic BPF program, which every kernel takes from
// everybody. On a host with a routing daemon it keeps its prefixes from waking us.

// maxFilter keeps a program well below BPF_MAXINSNS (4096) and the socket's
// share of memory (net.core.optmem_max).
const maxFilter = 1500

// Constants of linux/filter.h that the unix package lacks: the pseudo offset from
// which "load word" calls bpf_skb_get_nlattr instead, which looks from offset A for the
// attribute of type X and puts its offset into A, 0 for none.
const skfNLAttr = 0xfffff000 + 12 // SKF_AD_OFF + SKF_AD_NLATTR

// Offsets in a route message, netlink's header included.
const (
	typeOffset     = 4
	protocolOffset = unix.SizeofNlMsghdr + 5
	attrsOffset    = unix.SizeofNlMsghdr + unix.SizeofRtMsg
)

// attach gives the kernel the filter. Replaced in one step, no event falls
// between two filters.
func (i interest) attach(fd int) error {
	program := i.filter()
	if len(program) > maxFilter {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// filter passes everything but route messages, and of these what concerns() says.
func (i interest) filter() []unix.SockFilter {
	var p bpf
	p.load(unix.BPF_H, typeOffset)
	p.skipUnless2(bigEndian16(unix.RTM_NEWROUTE), bigEndian16(unix.RTM_DELROUTE))
	p.load(unix.BPF_B, protocolOffset)
	p.passIf(i.protos, func(v int) uint32 { return uint32(v) })
	p.passIfAttr(unix.RTA_OIF, i.nics)
	p.load(unix.BPF_H, typeOffset)
	p.dropUnless(bigEndian16(unix.RTM_DELROUTE))
	p.passIfAttr(unix.RTA_TABLE, i.tables)
	return append(p, drop)
}

var (
	pass = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}
	drop = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
)

// bpf is a program under construction. Its jumps are short: who has an answer
// returns on the spot.
type bpf []unix.SockFilter

func (p *bpf) add(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *bpf) load(size uint16, offset uint32) { p.add(unix.BPF_LD|size|unix.BPF_ABS, 0, 0, offset) }

// skipUnless2 passes the message unless A is a or b.
func (p *bpf) skipUnless2(a, b uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 2, 0, a)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, b)
	*p = append(*p, pass)
}

func (p *bpf) dropUnless(a uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, a)
	*p = append(*p, drop)
}

// passIf passes the message if A is one of the values.
func (p *bpf) passIf(values []int, word func(int) uint32) {
	for _, v := range values {
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, word(v))
		*p = append(*p, pass)
	}
}

// passIfAttr passes the message if its attribute, a number of 32 bits, is one of
// the values.
func (p *bpf) passIfAttr(typ uint32, values []int) {
	var test bpf
	test.add(unix.BPF_MISC|unix.BPF_TAX, 0, 0, 0)
	test.add(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, 0, 0, unix.SizeofRtAttr)
	test.passIf(values, bigEndian32)

	p.add(unix.BPF_LDX|unix.BPF_W|unix.BPF_IMM, 0, 0, typ)
	p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_IMM, 0, 0, attrsOffset)
	p.load(unix.BPF_W, skfNLAttr)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, 0)
	p.add(unix.BPF_JMP|unix.BPF_JA, 0, 0, uint32(len(test)))
	*p = append(*p, slices.Clip(test)...)
}

// bigEndian16 and bigEndian32 are what the program, whose loads are big-endian,
// sees of a number that netlink holds in the host's order.
func bigEndian16(v int) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, uint16(v))))
}

func bigEndian32(v int) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, uint32(v)))
}
