package offer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"enid/netcfg"
)

// maxFrame is the most that is read of a frame, in bytes: more than any DHCP message has that was not asked to
// be long.
const maxFrame = 2048

// listen opens a packet socket on a NIC for what DHCP servers send. Port 68 of UDP is the host's own DHCP
// client's, and nothing could be sent from it anyhow by a NIC without an address.
func listen(nic netcfg.Link) (conn, error) {
	// Protocol 0 gets no frame yet: the first ones would come past the filter.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for DHCP on %s: %w", nic.Name, advise(err))
	}
	file := os.NewFile(uintptr(fd), "DHCP on "+nic.Name)
	filter := unix.SockFprog{Len: uint16(len(serversOnly)), Filter: &serversOnly[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return nil, errors.Join(fmt.Errorf("filter the packet socket for DHCP on %s: %w", nic.Name, err), file.Close())
	}
	ipv4 := binary.NativeEndian.Uint16([]byte{etherIPv4 >> 8, etherIPv4 & 0xff})
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ipv4, Ifindex: nic.Index}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind a packet socket for DHCP to %s: %w", nic.Name, err), file.Close())
	}
	return file, nil
}

func advise(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w; it needs CAP_NET_RAW: run enid as root, give its service that capability, or set metadata.dhcp to off", err)
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("%w; allow AF_PACKET in RestrictAddressFamilies of its service, or set metadata.dhcp to off", err)
	}
	return err
}

// serversOnly lets through, of all that a busy NIC receives, UDP to the client's port, not in parts.
var serversOnly = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: etherIPv4, Jf: 8},
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: ethernetHeader + 9},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protoUDP, Jf: 6},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: ethernetHeader + 6},
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x1fff, Jt: 4},
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: ethernetHeader},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: ethernetHeader + 2},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: clientPort, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: maxFrame},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}
