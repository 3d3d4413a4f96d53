package netcfg

import "strings"

// maker says who usually makes a rule of such numbers, "" for enid and for nobody known. What is
// told by a table or protocol of one's own comes before what is told by a priority, which
// several share.
func (s *sight) maker(r hostRule) string {
	if s.owns(r) {
		return ""
	}
	for _, known := range []string{makerByTable(r), makerByProtocol[r.proto], makerByMark(r), makerByPriority(r)} {
		if known != "" {
			return known
		}
	}
	return ""
}

// kernelRules are those that the kernel starts with.
var kernelRules = map[int]int{0: LocalTable, 32766: MainTable, 32767: 253}

// builtIn: it is one of the rules that every namespace starts with.
func (r hostRule) builtIn() bool {
	table, ok := kernelRules[r.priority]
	return ok && r.table == table && r.action == actionTable
}

func makerByTable(r hostRule) string {
	switch t := r.table; {
	case r.action != actionTable || r.builtIn():
	case t == 52:
		return "Tailscale"
	case t == 51820 || r.mark == 51820:
		return "wg-quick"
	case t == 220:
		return "strongSwan"
	case t == 0x7fff0815:
		return "systemd-imdsd"
	case t >= 30200 && t <= 30299 || t >= 30400 && t <= 30499:
		return "nm-cloud-setup"
	case t >= 200 && t <= 202:
		return "Cilium"
	}
	return ""
}

// makerByProtocol are numbers of rtnetlink.h, and of /etc/iproute2/rt_protos, that one program has.
var makerByProtocol = map[int]string{
	11: "Zebra (FRR, Quagga)", 12: "BIRD", 16: "a DHCP client", 18: "keepalived", 42: "Babel", 66: "Google's guest agent", 80: "Calico",
	84: "OVN-Kubernetes", 99: "Open/R",
}

func makerByMark(r hostRule) string {
	switch {
	case r.mask == 0xff0000 && r.mark != 0:
		return "Tailscale"
	case r.mask == 0x10 && r.mark == 0x10:
		return "Terway"
	case r.mask == 0x80 && r.mark == 0x80:
		return "AWS VPC CNI or Cilium"
	case r.mask == 0xf00 && r.mark != 0:
		return "Cilium"
	}
	return ""
}

func makerByPriority(r hostRule) string {
	within := func(low, high int) bool { return r.priority >= low && r.priority <= high }
	switch p := r.priority; {
	case r.builtIn():
		return "the kernel"
	case p == 99:
		return "Calico (WireGuard)"
	case p == 1 || p == 9 || p == 10 || p == 20 || p == 100 || within(109, 112):
		return "Cilium or AWS VPC CNI"
	case p == 220:
		return "strongSwan"
	case p == 512:
		return "AWS VPC CNI or Terway"
	case p == 1024 || p == 1535 || p == 1536:
		return "AWS VPC CNI"
	case p == 600 || p == 2048:
		return "Terway"
	case within(5210, 5270):
		return "Tailscale"
	case within(10000, 11000):
		return "amazon-ec2-net-utils"
	case within(30200, 30499):
		return "nm-cloud-setup"
	case within(32700, 32765):
		return "something that gave no priority (cloud-init, oci-utils, wg-quick, ip rule by hand)"
	}
	return ""
}

// foreign describes a rule that is not enid's: its numbers, and whose it probably is.
func (st Step) foreign() string {
	text := "rule " + st.number() + " (" + st.Rule + ", protocol " + protocolName(st.Protocol)
	if st.By != "" && !strings.HasPrefix(st.By, "something") {
		text += ", usually of " + st.By
	} else if st.By != "" {
		text += ", of " + st.By
	}
	return text + ")"
}
