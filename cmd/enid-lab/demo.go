package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vishvananda/netlink"

	"enid/agent"
	"enid/netcfg"
	"enid/test/cloud"
	"enid/test/lab"
	"enid/test/rig"
)

// errChecks is the end of a tour on which something was not as it should be.
var errChecks = errors.New("checks failed")

// patience bounds every wait of the tour.
const patience = 20 * time.Second

// demo is one tour.
type demo struct {
	out     io.Writer
	dialect string
	ipv6    bool
	enid    string

	*rig.Rig
	daemon *rig.Daemon
	shown  int // how much of the daemon's log has been shown
	step   int
	down   bool // a NIC is down on purpose
	failed []string
}

// findEnid is the enid binary: the one named, or the one beside this program.
func findEnid(named string) (string, error) {
	if named == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		named = filepath.Join(filepath.Dir(self), "enid")
	}
	named, err := filepath.Abs(named)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(named); err != nil {
		return "", fmt.Errorf("the enid binary is needed (make build, or --enid FILE): %w", err)
	}
	return named, nil
}

func (d *demo) check() (err error) {
	if all := append(cloud.Dialects(), cloud.File); !slices.Contains(all, cloud.Dialect(d.dialect)) {
		return fmt.Errorf("--dialect %s: want one of %s", d.dialect, strings.Join(words(all), ", "))
	}
	d.enid, err = findEnid(d.enid)
	return err
}

func (d *demo) run(ctx context.Context) (err error) {
	d.say("A cloud with three subnets, a neighbour in each, a host outside, and a fabric that drops whatever\n" +
		"leaves by a NIC that does not own its source. Metadata: " + d.dialect + ", asked every second. All of it is in network\nnamespaces of this process.")
	d.Rig, err = rig.New(rig.Options{Dialect: cloud.Dialect(d.dialect), Enid: d.enid, IPv6: d.ipv6, PrimarySecondary: 1, Overlay: cloud.Dialect(d.dialect).TellsOneAddress()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Rig.Close()) }()
	if err := d.tour(ctx); err != nil {
		return err
	}
	if len(d.failed) > 0 {
		d.say("\nFAILED:\n  " + strings.Join(d.failed, "\n  "))
		return errChecks
	}
	d.say("\nAll checks passed: every address reached and reached from everywhere, no packet out of a wrong NIC.")
	return nil
}

// tour is the story.
func (d *demo) tour(ctx context.Context) error {
	var first, second cloud.ENI
	var assigned netip.Addr
	for _, s := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"The VM boots with its primary ENI, which has one secondary address; enid starts", func(context.Context) (err error) {
			d.daemon, err = d.Start()
			return err
		}},
		{"An ENI with five addresses is hot-plugged", func(context.Context) (err error) {
			first, err = d.Attach("subnet-b", 5)
			return err
		}},
		{"A second ENI is hot-plugged, into the same subnet", func(context.Context) (err error) {
			second, err = d.Attach("subnet-b", 5)
			return err
		}},
		{"An address is assigned to the first", func(context.Context) error {
			a, err := d.Cloud.AssignCount(first.ID, 1)
			if err == nil {
				assigned = a[0]
			}
			return err
		}},
		{"The address is released again", func(ctx context.Context) error {
			if err := d.Cloud.Release(first.ID, assigned); err != nil {
				return err
			}
			return d.awaitGone(ctx, assigned)
		}},
		{"Somebody deletes the rule that leads to the subnet's ENIs", func(ctx context.Context) error {
			return d.byHand(ctx, "ip", "rule", "del", "pref", "20108")
		}},
		{"Somebody sets the first ENI's NIC down", func(ctx context.Context) error { return d.linkDown(ctx, first) }},
		{"… and up again", func(ctx context.Context) error {
			d.down = false
			return d.byHand(ctx, "ip", "link", "set", d.NIC(first.MAC), "up")
		}},
		{"The metadata answers 500 to everything, and enid is killed and started in the middle of it", func(ctx context.Context) error { return d.outage(ctx) }},
		{"The second ENI is detached", func(ctx context.Context) error { return d.detach(ctx, second) }},
	} {
		if err := d.show(ctx, s.title, s.do); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(s.title), err)
		}
	}
	return nil
}

// show does one step, waits until the VM is as the cloud says, and shows how it went.
func (d *demo) show(ctx context.Context, title string, do func(context.Context) error) error {
	d.step++
	d.say(fmt.Sprintf("\n%d. %s", d.step, title))
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := do(bounded); err != nil {
		return err
	}
	if !d.down {
		if _, err := d.Await(bounded, d.Addresses()...); err != nil {
			d.fail("%v", err)
		}
		took := time.Since(began)
		if _, err := d.AwaitStatus(bounded, func(s *agent.Status) bool { return s.Converged && len(s.ENIs) == len(d.Cloud.Describe(d.Instance)) }); err != nil {
			d.fail("%v", err)
		}
		d.log()
		d.say(fmt.Sprintf("   every address works after %s", took.Round(time.Millisecond)))
	} else {
		d.log()
	}
	return errors.Join(d.table(ctx), d.Err())
}

func (d *demo) byHand(ctx context.Context, name string, args ...string) error {
	d.say("   $ " + name + " " + strings.Join(args, " "))
	_, err := d.VM.Run(ctx, name, args...)
	return err
}

func (d *demo) awaitGone(ctx context.Context, a netip.Addr) error {
	_, err := lab.Await(ctx, func() bool { return !d.has(a) })
	if err != nil {
		d.fail("%s was released and is still on its NIC", a)
	}
	return nil
}

func (d *demo) has(a netip.Addr) bool {
	addrs, err := d.VM.Netlink().AddrList(nil, familyOf(a))
	return err != nil || slices.ContainsFunc(addrs, func(x netlink.Addr) bool { return x.IP.String() == a.String() })
}

// linkDown sets a NIC down and checks that its addresses' packets go nowhere instead of astray.
func (d *demo) linkDown(ctx context.Context, e cloud.ENI) error {
	d.down = true
	if err := d.byHand(ctx, "ip", "link", "set", d.NIC(e.MAC), "down"); err != nil {
		return err
	}
	_, err := d.AwaitStatus(ctx, func(s *agent.Status) bool {
		return slices.ContainsFunc(s.ENIs, func(x agent.ENIStatus) bool { return x.MAC == e.MAC && x.Phase == netcfg.Down })
	})
	return err
}

// outage kills and starts enid while the metadata is out of order: nothing may change.
func (d *demo) outage(ctx context.Context) error {
	if d.dialect == "file" {
		if err := os.Remove(d.DocumentFile()); err != nil {
			return err
		}
	} else if err := d.Cloud.SetFault(cloud.Fault{Kind: cloud.FaultStatus, Status: 500}); err != nil {
		return err
	}
	d.daemon.Kill()
	d.shown = 0
	var err error
	if d.daemon, err = d.Start(); err != nil {
		return err
	}
	if _, err := d.AwaitStatus(ctx, func(s *agent.Status) bool { return s.Metadata.Error != "" }); err != nil {
		return err
	}
	if bad := lab.Failed(d.probe(ctx, d.Addresses())); len(bad) > 0 {
		d.fail("during the outage: %v", bad[0])
	}
	d.Cloud.ClearFault()
	if d.dialect == "file" {
		return d.WriteDocument()
	}
	_, err = d.AwaitStatus(ctx, func(s *agent.Status) bool { return s.Metadata.OK })
	return err
}

func (d *demo) detach(ctx context.Context, e cloud.ENI) error {
	if err := d.Cloud.Detach(d.Instance, e.ID); err != nil {
		return err
	}
	_, err := lab.Await(ctx, func() bool {
		rules, err := d.VM.Run(ctx, "ip", "rule")
		return err == nil && !strings.Contains(rules, "33020:") && !strings.Contains(rules, "20002")
	})
	if err != nil {
		d.fail("rules of the detached ENI are left")
	}
	return nil
}

func (d *demo) probe(ctx context.Context, addrs []netip.Addr) []lab.ProbeResult {
	results, err := d.Lab.Matrix(ctx, d.VM, addrs)
	if err != nil {
		d.fail("%v", err)
	}
	return results
}

// table shows which address is reached from where and by which NIC it leaves.
func (d *demo) table(ctx context.Context) error {
	results := d.probe(ctx, d.Addresses())
	var peers []string
	var failed []string
	cells := map[netip.Addr]map[string]string{}
	for _, r := range results {
		if !slices.Contains(peers, r.Peer) {
			peers = append(peers, r.Peer)
		}
		if cells[r.Addr] == nil {
			cells[r.Addr] = map[string]string{}
		}
		word := string(r.Direction)
		if r.Err != nil {
			word = "-"
			failed = append(failed, r.String())
		}
		cells[r.Addr][r.Peer] = strings.TrimSpace(cells[r.Addr][r.Peer] + " " + word)
	}
	d.print(peers, cells)
	if len(failed) > 0 && !d.down {
		d.fail("%d of %d probes failed, the first: %s", len(failed), len(results), failed[0])
	}
	return d.spoofed()
}

func (d *demo) print(peers []string, cells map[netip.Addr]map[string]string) {
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "   ADDRESS\tNIC\t%s\tLEAVES BY\n", strings.ToUpper(strings.Join(peers, "\t")))
	for _, e := range d.Cloud.Describe(d.Instance) {
		nic := d.NIC(e.MAC)
		for _, a := range e.Addresses {
			fmt.Fprintf(w, "   %s\t%s", a, nic)
			for _, p := range peers {
				fmt.Fprintf(w, "\t%s", cells[a][p])
			}
			by, err := d.VM.Egress(a, d.Lab.Outside().Addr(a))
			if err != nil {
				by = "nowhere"
			}
			if by != nic && !(d.down && by == "nowhere") {
				d.fail("%s is on %s and leaves by %s", a, nic, by)
			}
			fmt.Fprintf(w, "\t%s\n", by)
		}
	}
	_ = w.Flush()
}

func (d *demo) spoofed() error {
	spoofed, err := d.Lab.Spoofed()
	if err != nil {
		return err
	}
	for _, s := range spoofed {
		d.fail("spoofed: %s", s)
	}
	d.say(fmt.Sprintf("   packets out of a wrong NIC: %d", len(spoofed)))
	return d.Lab.ResetSpoofed()
}

// log shows what enid has written since the last step.
func (d *demo) log() {
	text := d.daemon.Log()
	for line := range strings.Lines(text[min(d.shown, len(text)):]) {
		_, line, _ = strings.Cut(line, "level=")
		if line != "" {
			d.say("   enid: " + strings.TrimSpace(line))
		}
	}
	d.shown = len(text)
}

func (d *demo) say(text string) { fmt.Fprintln(d.out, text) }

func (d *demo) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.failed = append(d.failed, fmt.Sprintf("step %d: %s", d.step, text))
	d.say("   FAILED: " + text)
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func words(dialects []cloud.Dialect) (out []string) {
	for _, d := range dialects {
		out = append(out, string(d))
	}
	return out
}
