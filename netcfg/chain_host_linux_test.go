package netcfg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// chainHost is a host whose iptables commands can be counted and made to fail.
type chainHost struct {
	*host
	bin  string            // the only folder in PATH
	real map[string]string // where the real commands are
}

// stand is a command that stands in for a real one: it counts, and from a number of changes on it
// refuses them, as if enid had been killed before.
const stand = `#!/bin/sh
case "$*" in
*" -N "*|*" -A "*|*" -I "*|*" -D "*|*" -F "*|*" -X "*)
	read n < %[1]s/changes
	read limit < %[1]s/limit
	if [ "$n" -ge "$limit" ]; then
		echo "killed" >&2
		exit 1
	fi
	echo $((n + 1)) > %[1]s/changes ;;
esac
echo "%[2]s $*" >> %[1]s/log
exec %[2]s "$@"
`

// newChainHost has the given backends, the first one being plain iptables.
func newChainHost(t testing.TB, backends ...string) *chainHost {
	t.Helper()
	h := &chainHost{host: newHost(t), bin: t.TempDir(), real: map[string]string{}}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where an ordinary user's lacks them
	for _, f := range []string{"iptables", "ip6tables"} {
		for _, backend := range []string{"-nft", "-legacy"} {
			path, err := exec.LookPath(f + backend)
			h.must(err)
			h.real[f+backend], h.real[f+backend+"-save"] = path, path+"-save"
		}
	}
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(h.bin, "lock"))
	t.Setenv("PATH", h.bin)
	h.limit(-1)
	h.install(backends...)
	return h
}

// install puts the stand-ins of backends in place of those that are there.
func (h *chainHost) install(backends ...string) {
	h.Helper()
	for _, f := range []string{"iptables", "ip6tables"} {
		for _, name := range []string{f, f + "-save", f + "-nft", f + "-nft-save", f + "-legacy", f + "-legacy-save"} {
			_ = os.Remove(filepath.Join(h.bin, name))
		}
		for i, backend := range backends {
			suffix := "-legacy"
			if backend == backendNFT {
				suffix = "-nft"
			}
			for _, end := range []string{"", "-save"} {
				script := fmt.Sprintf(stand, h.bin, h.real[f+suffix+end])
				h.must(os.WriteFile(filepath.Join(h.bin, f+suffix+end), []byte(script), 0o700))
				if i == 0 {
					h.must(os.Symlink(f+suffix+end, filepath.Join(h.bin, f+end)))
				}
			}
		}
	}
}

// limit lets n changes happen from now on, -1 for all.
func (h *chainHost) limit(n int) {
	h.Helper()
	if n < 0 {
		n = 1 << 30
	}
	h.must(os.WriteFile(filepath.Join(h.bin, "changes"), []byte("0\n"), 0o600))
	h.must(os.WriteFile(filepath.Join(h.bin, "limit"), []byte(strconv.Itoa(n)+"\n"), 0o600))
}

// processes are the commands that were run since this was last asked.
func (h *chainHost) processes() []string {
	h.Helper()
	content, err := os.ReadFile(filepath.Join(h.bin, "log"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	h.must(err)
	h.must(os.Remove(filepath.Join(h.bin, "log")))
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

// run runs a real command, as somebody else.
func (h *chainHost) run(name string, args string) string {
	h.Helper()
	output, err := exec.Command(h.real[name], strings.Fields(args)...).Output()
	if err != nil {
		h.Fatalf("%s %s: %v", name, args, err)
	}
	return string(output)
}

// rules are the rules of a table as a real command prints them, without the policies.
func (h *chainHost) rules(name, table string) (rules []string) {
	h.Helper()
	for line := range strings.Lines(h.run(name, "-t "+table+" -S")) {
		if !strings.HasPrefix(line, "-P") {
			rules = append(rules, strings.TrimSpace(line))
		}
	}
	return rules
}

func (h *chainHost) chainScope() Scope {
	s := h.scope(20001)
	s.Chains, s.Numbers = true, DefaultNumbers
	return s
}

// chains are the chains of ours, whoever looks.
func (h *chainHost) chains() []Chain {
	h.Helper()
	return h.see(h.chainScope()).Own.Chains
}

// wants fails unless the chains of ours are these.
func (h *chainHost) wants(want ...Chain) {
	h.Helper()
	if diff := gocmp.Diff(want, h.chains(), equate); diff != "" {
		h.Fatalf("chains of ours (-want +got):\n%s", diff)
	}
}

const restore = "-m connmark ! --mark 0x0/0x7f000000 -m mark --mark 0x0/0x7f00ff00 -j CONNMARK --restore-mark --nfmask 0x7f000000 --ctmask 0x7f000000"

// marking marks connections of NICs.
func marking(nics ...string) Chain {
	var lines []string
	for i, nic := range nics {
		lines = append(lines, fmt.Sprintf("-i %s -m conntrack --ctdir ORIGINAL -m connmark --mark 0x0/0x7f000000 -j CONNMARK --set-xmark %#x/0x7f000000", nic, DefaultNumbers.MarkOf(Slot(i))))
	}
	return Chain{Family: V4, Hook: MarkIncoming}.with(append(lines, "-m conntrack --ctdir REPLY "+restore))
}

// designed is every form of line that is ever wanted.
func designed() []Chain {
	local := Chain{Family: V4, Hook: MarkLocal}.with([]string{"-m conntrack --ctstate DNAT " + restore})
	forwarded := Chain{Family: V4, Hook: MarkForwarded}.with([]string{
		"-s 172.17.0.0/16 -d 10.9.0.0/16 -i docker0 -o eth1 -p tcp -m tcp --dport 80 -m mark --mark 0x10/0xff -j MARK --set-xmark 0x1000000/0x7f000000",
		"-s 172.17.0.7/32 -o eth1 -p udp -m udp --dport 8000:8100 -j MARK --set-xmark 0x1000000/0x7f000000",
		"-o eth1 -p icmp -j MARK --set-xmark 0x2000000/0x7f000000", "-o eth1 -p 47 -j MARK --set-xmark 0x2000000/0x7f000000",
		"-o eth1 -p 50 -j MARK --set-xmark 0x2000000/0x7f000000", "-o eth1 -p sctp -m sctp --dport 7 -j MARK --set-xmark 0x2000000/0x7f000000",
	})
	translated := Chain{Family: V4, Hook: TranslateOut}.with([]string{"-o eth1 -m mark --mark 0x1000000/0x7f000000 -j SNAT --to-source 10.0.1.5"})
	incoming6, local6 := marking("eth0", "eth1"), local
	incoming6.Family, local6.Family = V6, V6
	return []Chain{marking("eth0", "eth1", "eth2"), forwarded, local, translated, incoming6,
		Chain{Family: V6, Hook: MarkForwarded}.with([]string{"-s 2001:db8::/64 -d fd00:0:0:1::5/128 -o eth1 -p ipv6-icmp -j MARK --set-xmark 0x1000000/0x7f000000"}), local6,
		Chain{Family: V6, Hook: TranslateOut}.with([]string{"-o eth1 -m mark --mark 0x1000000/0x7f000000 -j SNAT --to-source 2001:db8::5"})}
}

func objects(chains ...Chain) (o []Object) {
	for _, c := range chains {
		o = append(o, c)
	}
	return o
}

// sameOnBoth runs a test with each backend.
func sameOnBoth(t *testing.T, test func(t *testing.T, h *chainHost, iptables string)) {
	for backend, name := range map[string]string{backendNFT: "iptables-nft", backendLegacy: "iptables-legacy"} {
		t.Run(backend, func(t *testing.T) { test(t, newChainHost(t, backend), name) })
	}
}

// others is what a host's containers have, in the tables and at the hooks of ours.
func (h *chainHost) others(iptables string) {
	h.Helper()
	for _, args := range []string{
		"-t mangle -N ENID-FOO", "-t mangle -A ENID-FOO -j RETURN", "-t mangle -A PREROUTING -i eth9 -j ENID-FOO",
		"-t filter -N ENID-PREROUTING-0", "-t filter -A FORWARD -j ENID-PREROUTING-0",
		"-t nat -N DOCKER", "-t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE", "-t nat -A PREROUTING -j DOCKER",
	} {
		h.run(iptables, args)
	}
}

func (h *chainHost) everything(iptables string) []string {
	h.Helper()
	return slices.Concat(h.rules(iptables, "mangle"), h.rules(iptables, "nat"), h.rules(iptables, "filter"))
}

// without6 takes ip6tables away.
func (h *chainHost) without6() {
	h.Helper()
	found, err := filepath.Glob(filepath.Join(h.bin, "ip6tables*"))
	h.must(err)
	for _, name := range found {
		h.must(os.Remove(name))
	}
}
