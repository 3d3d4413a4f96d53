package e2e

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"enid/test/cloud"
	"enid/test/rig"
)

// groups are all in which a write of enid would show.
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
	unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
}

// listen collects what changes in the VM's kernel.
func listen(t *testing.T, r *rig.Rig) (events func() []string) {
	t.Helper()
	fd := -1
	must(t, r.VM.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	}))
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	for _, group := range groups {
		must(t, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	return func() (found []string) {
		buf := make([]byte, 1<<16)
		for {
			n, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EAGAIN) {
				return found
			}
			must(t, err)
			for _, m := range must1[[]syscall.NetlinkMessage](t)(syscall.ParseNetlinkMessage(buf[:n])) {
				found = append(found, eventName(m.Header.Type))
			}
		}
	}
}

func eventName(typ uint16) string {
	names := map[uint16]string{
		unix.RTM_NEWLINK: "link", unix.RTM_NEWADDR: "new address", unix.RTM_DELADDR: "address deleted",
		unix.RTM_NEWROUTE: "new route", unix.RTM_DELROUTE: "route deleted", unix.RTM_NEWRULE: "new rule",
		unix.RTM_DELRULE: "rule deleted", unix.RTM_NEWNETCONF: "sysctl",
	}
	if name := names[typ]; name != "" {
		return name
	}
	return "other"
}

// A pass that finds nothing to do writes nothing, and the log is as silent as the kernel: over
// polls and reloads, in every dialect, and after a restart.
func TestCLISilence(t *testing.T) {
	for _, dialect := range []cloud.Dialect{cloud.EC2, cloud.JDCloud, cloud.File} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rig.Options{Dialect: dialect, IPv6: true, PrimarySecondary: 1})
			attach(t, r, "subnet-b", 5)
			attach(t, r, "subnet-b", 5)
			d := start(t, r)
			quiet(t, r, d, "after a change")
			stop(t, d)
			d = start(t, r)
			quiet(t, r, d, "after a restart")
			if n := strings.Count(d.Log(), "msg=changed"); n > 0 {
				t.Errorf("a restart has changed something:\n%s", d.Log())
			}
		})
	}
}

// quiet watches the kernel and the log for some passes.
func quiet(t *testing.T, r *rig.Rig, d *rig.Daemon, when string) {
	t.Helper()
	kernel(t, r) // until IPv6 is settled
	events, log, kept := listen(t, r), d.Log(), files(t, r.Dir)
	for range 3 {
		passes := counted(t, r)
		hangUp(t, d)
		eventually(t, "no pass", func() bool { return counted(t, r) > passes })
	}
	if found := events(); len(found) > 0 {
		t.Errorf("%s, the kernel has told of %q", when, found)
	}
	if d.Log() != log {
		t.Errorf("%s, the log has more:\n%s", when, d.Log()[len(log):])
	}
	if now := files(t, r.Dir); strings.Join(now, "\n") != strings.Join(kept, "\n") {
		t.Errorf("%s, files were written:\n%s\nbefore:\n%s", when, strings.Join(now, "\n"), strings.Join(kept, "\n"))
	}
}
