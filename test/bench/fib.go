package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The cost of one route lookup as the kernel does it for a forwarded packet: the BPF helper
// bpf_fib_lookup, called a million times by BPF_PROG_TEST_RUN, which tells the time of one
// run. No system call and no packet is in it.

// insn is an instruction of BPF (struct bpf_insn of linux/bpf.h).
type insn struct {
	code   uint8
	regs   uint8 // destination, and the source in the upper four bits
	offset int16
	imm    int32
}

const (
	fibLookup   = 69     // bpf_fib_lookup of enum bpf_func_id
	skipNeigh   = 1 << 3 // BPF_FIB_LOOKUP_SKIP_NEIGH, Linux 6.3
	paramsSize  = 64     // sizeof(struct bpf_fib_lookup)
	lookupCount = 200_000
)

// fibProgram asks for the way of a packet that came in by a NIC and returns the helper's answer.
func fibProgram(ifindex int, src, dst netip.Addr) []insn {
	const r0, r1, r2, r3, r4, r6, fp = 0, 1, 2, 3, 4, 6, 10
	store := func(size uint8, offset int16, imm int32) insn {
		return insn{unix.BPF_ST | unix.BPF_MEM | size, fp, offset - paramsSize, imm}
	}
	move := func(to, from uint8) insn { return insn{unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X, to | from<<4, 0, 0} }
	set := func(to uint8, imm int32) insn { return insn{unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K, to, 0, imm} }
	word := func(a netip.Addr) int32 { b := a.As4(); return int32(binary.NativeEndian.Uint32(b[:])) }

	p := []insn{move(r6, r1)}
	for offset := int16(0); offset < paramsSize; offset += 8 {
		p = append(p, store(unix.BPF_DW, offset, 0))
	}
	return append(p,
		store(unix.BPF_B, 0, unix.AF_INET), store(unix.BPF_W, 8, int32(ifindex)), store(unix.BPF_W, 16, word(src)), store(unix.BPF_W, 32, word(dst)),
		move(r1, r6), move(r2, fp), insn{unix.BPF_ALU64 | unix.BPF_ADD | unix.BPF_K, r2, 0, -paramsSize}, set(r3, paramsSize), set(r4, skipNeigh),
		insn{unix.BPF_JMP | unix.BPF_CALL, 0, 0, fibLookup}, insn{unix.BPF_JMP | unix.BPF_EXIT, r0, 0, 0})
}

// lookupTime is how long one lookup takes in the calling thread's network namespace.
func lookupTime(ifindex int, src, dst netip.Addr) (time.Duration, error) {
	program, license, packet := fibProgram(ifindex, src, dst), []byte("GPL\x00"), make([]byte, 64)
	load := struct {
		kind, insns uint32
		program     *insn
		license     *byte
		level, size uint32
		log         uint64
		version     uint32
		flags       uint32
	}{kind: unix.BPF_PROG_TYPE_SCHED_CLS, insns: uint32(len(program)), program: &program[0], license: &license[0]}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	if err != nil {
		return 0, fmt.Errorf("load a BPF program (it takes root): %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	run := struct {
		fd, answer, sizeIn, sizeOut uint32
		in                          *byte
		out                         uint64
		repeat, nanoseconds         uint32
		ctxIn, ctxOut               uint32
		ctxInAt, ctxOutAt           uint64
		flags, cpu, batch, pad      uint32
	}{fd: uint32(fd), sizeIn: uint32(len(packet)), in: &packet[0], repeat: lookupCount}
	if _, err := bpf(unix.BPF_PROG_TEST_RUN, unsafe.Pointer(&run), unsafe.Sizeof(run)); err != nil {
		return 0, fmt.Errorf("run a BPF program: %w", err)
	}
	if run.answer != 0 {
		return 0, fmt.Errorf("the lookup of %s to %s by NIC %d found no way (BPF_FIB_LKUP_RET %d)", src, dst, ifindex, run.answer)
	}
	return time.Duration(run.nanoseconds), nil
}

func bpf(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
