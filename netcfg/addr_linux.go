package netcfg

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// presentAddr is an address as the kernel shows it.
type presentAddr struct {
	Addr
	passing bool // link-local, host-local or temporary: nobody's configuration
	mark    Mark
}

// addrs reads the addresses of all NICs, both families.
func (c *conn) addrs() ([]presentAddr, error) {
	return dump(c, unix.RTM_GETADDR, parseAddr, nl.NewIfAddrmsg(unix.AF_UNSPEC))
}

// parseAddr reads an RTM_NEWADDR. On a point-to-point NIC IFA_ADDRESS is the
// other side; on others it is all that IPv6 sends.
func parseAddr(b []byte) (presentAddr, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return presentAddr{}, false
	}
	family, bits, flags, scope := b[0], int(b[1]), uint32(b[2]), b[3]
	var local, address netip.Addr
	for typ, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch typ {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			flags = u32(v)
		}
	}
	if !local.IsValid() {
		local = address
	}
	a := presentAddr{Addr: Addr{Link: int(u32(b[4:])), Prefix: netip.PrefixFrom(local, bits)}}
	if family == unix.AF_INET6 && scope < unix.RT_SCOPE_LINK {
		a.mark = markOf(flags)
	}
	a.passing = scope >= unix.RT_SCOPE_LINK || a.mark&Temporary != 0
	return a, a.Prefix.IsValid() && netlinkFamily(FamilyOf(local)) == family
}

// markOf reads the flags of an IPv6 address: in IPv4 the bit of a temporary one means secondary. The kernel lets what
// it makes from an advertisement make temporary ones, and end.
func markOf(flags uint32) (m Mark) {
	if flags&unix.IFA_F_TEMPORARY != 0 {
		m |= Temporary
	}
	if flags&unix.IFA_F_DADFAILED != 0 {
		m |= Duplicate
	}
	if flags&unix.IFA_F_MANAGETEMPADDR != 0 && flags&unix.IFA_F_PERMANENT == 0 {
		m |= Autoconfigured
	}
	return m
}

// setAddr adds or removes an address.
func (c *conn) setAddr(v Verb, a Addr) error {
	ip := a.Prefix.Addr()
	msg := nl.NewIfAddrmsg(int(netlinkFamily(FamilyOf(ip))))
	msg.Index = uint32(a.Link)
	msg.Prefixlen = uint8(a.Prefix.Bits())
	parts := []nl.NetlinkRequestData{msg,
		nl.NewRtAttr(unix.IFA_LOCAL, ip.AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, ip.AsSlice())}
	if v == Del {
		return c.do(unix.RTM_DELADDR, 0, parts...)
	}
	parts = append(parts, attrU32(unix.IFA_FLAGS, addrFlags(a.Prefix)))
	return c.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, parts...)
}

// addrFlags: the cloud guarantees that an IPv6 address is this NIC's alone, and
// looking for duplicates would keep it unusable for a second. The route to a
// subnet is the business of the ENI's table, not of main.
func addrFlags(p netip.Prefix) (flags uint32) {
	if p.Addr().Is6() {
		flags |= unix.IFA_F_NODAD
	}
	if !p.IsSingleIP() {
		flags |= unix.IFA_F_NOPREFIXROUTE
	}
	return flags
}
