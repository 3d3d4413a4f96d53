package lab

// What a namespace inherits from this machine and what it starts with differs between kernels and
// machines, so everything that the lab's behaviour hangs on is set.

var fabricSysctls = []string{
	"ipv4/ip_forward=1",
	"ipv4/conf/all/rp_filter=0",
	"ipv4/conf/default/rp_filter=0",
	// A gateway answers for its own address only, and sends nobody to a shorter way.
	"ipv4/conf/default/arp_ignore=1",
	"ipv4/conf/all/send_redirects=0",
	"ipv4/conf/default/send_redirects=0",
	"ipv6/conf/all/forwarding=1",
	"ipv6/conf/default/forwarding=1",
	"ipv6/conf/default/accept_dad=0",
	"ipv6/conf/default/addr_gen_mode=1", // no link-local addresses on the ports of bridges
}

var neighbourSysctls = []string{
	"ipv4/conf/all/rp_filter=0",
	"ipv4/conf/default/rp_filter=0",
	"ipv6/conf/default/accept_dad=0",
	"ipv6/conf/default/accept_ra=0",
}

var vmSysctls = []string{
	"ipv4/ip_forward=0",
	"ipv4/conf/all/rp_filter=0",
	"ipv4/conf/default/rp_filter=0",
	"ipv4/conf/all/arp_ignore=0",
	"ipv4/conf/default/arp_ignore=0",
	"ipv4/conf/all/arp_announce=0",
	"ipv4/conf/default/arp_announce=0",
	"ipv4/conf/all/src_valid_mark=0",
	"ipv6/conf/all/disable_ipv6=0",
	"ipv6/conf/default/disable_ipv6=0",
}

// hurry makes a host ask again at once for a neighbour's MAC that it asked for too early,
// so that what a test measures is the VM and not its peer's patience, and answer at once in
// another's name. The kernel has no default for these that a new namespace could set.
func (h *Host) hurry(nic string) error {
	return h.Do(func() error {
		return setSysctls("ipv4/neigh/"+nic+"/retrans_time_ms=10", "ipv6/neigh/"+nic+"/retrans_time_ms=10", "ipv4/neigh/"+nic+"/proxy_delay=0")
	})
}
