package agent

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"enid/metadata"
	"enid/netcfg"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// a status of everything that can be seen at once.
func manySidedStatus() *Status {
	ip := netip.MustParseAddr
	var many []AddressStatus
	for i := range 21 {
		many = append(many, AddressStatus{Address: ip(fmt.Sprintf("10.0.2.%d", 10+i)), Present: i != 20})
	}
	many[0].Public = ip("203.0.113.7")
	return &Status{
		Version: "1.0.0", Instance: "i-abcdef0123",
		Metadata: MetadataStatus{Provider: "jdcloud", Error: "GET http://169.254.169.254/metadata/latest/: 500 Internal Server Error", LastAnswer: now.Add(-90 * time.Second)},
		Problems: []metadata.Problem{
			{Reason: "overlay", Text: "/etc/enid/interfaces.d/a.yaml:3:5: unknown key \"adresses\"; want one of: mac, id, primary\n/etc/enid/interfaces.d/a.yaml:4:5: mac: \"x\" is not a MAC address"},
		},
		ReturnPath: ReturnPathStatus{Setting: "auto", IPv4: true, IPv6: true, Backend: "nf_tables"},
		Policies: []PolicyStatus{
			{Name: "pods", ENI: "port-2*", NIC: "eth2", State: netcfg.PolicyInForce},
			{Name: "backup", ENI: "mac 02:00:00:00:00:07", State: netcfg.PolicyBlocked, Problems: []metadata.Problem{{Field: "policy backup", Reason: "policy-eni-absent",
				Text: "no ENI mac 02:00:00:00:00:07 is attached and managed; its traffic is refused (when_absent)"}}},
		},
		ENIs: []ENIStatus{
			{Name: "port-0", MAC: macOf(0), NIC: "eth0", Primary: true, Phase: PhaseConfigured, Since: now.Add(-72 * time.Hour), Table: 20000,
				Addresses: []AddressStatus{{Address: ip("10.0.0.5"), Present: true}}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")},
				Origins: map[string]string{"primary": "jdcloud", "subnets": "jdcloud", "gateway": "jdcloud", "addresses": "jdcloud", "prefixes": "jdcloud"}},
			{Name: "port-2", MAC: macOf(2), NIC: "eth2", Slot: 2, Table: 20002, Phase: PhaseFailed, Since: now.Add(-5 * time.Minute), LastChange: now.Add(-1500 * time.Millisecond),
				Addresses: many, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.2.64/28")}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("2001:db8:2::/64")},
				Gateways: []netip.Addr{ip("10.0.2.1"), ip("fe80::1")},
				Origins:  map[string]string{"primary": "jdcloud", "subnets": "overlay /etc/enid/interfaces.d/a.yaml", "gateway": "overlay /etc/enid/interfaces.d/a.yaml", "addresses": "jdcloud, custom-metadata enid", "prefixes": "unknown"},
				Problems: []metadata.Problem{{Interface: "port-2", Field: "addresses", Reason: "kernel-refused", Text: "ip addr add 10.0.2.30/32 dev eth2: operation not permitted; it needs CAP_NET_ADMIN: run enid as root"}}},
			{Name: "02:00:00:00:00:03", MAC: macOf(3), Slot: netcfg.NoSlot, Phase: netcfg.Waiting, Since: now.Add(-3 * time.Hour), Origins: map[string]string{"primary": "ec2", "subnets": "ec2", "gateway": "ec2", "addresses": "ec2", "prefixes": "ec2"}},
		},
	}
}

func TestPrint(t *testing.T) {
	for name, s := range map[string]*Status{
		"many-sided": manySidedStatus(),
		"start":      {Version: "1.0.0", Metadata: MetadataStatus{Provider: "auto"}},
		"no-answer":  {Version: "1.0.0", Metadata: MetadataStatus{Provider: "auto", Error: "no cloud's metadata answers here"}},
		"good": {Version: "1.0.0", Converged: true, Metadata: MetadataStatus{Provider: "ec2", OK: true, LastAnswer: now.Add(-4 * time.Second)},
			ENIs: manySidedStatus().ENIs[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := s.Print(&out, now); err != nil {
				t.Fatal(err)
			}
			wantGolden(t, "status/"+name+".txt", out.String())
			for line := range strings.Lines(out.String()) {
				if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > 80 && len(strings.Fields(line)) > 1 {
					t.Errorf("wider than 80 columns: %q", line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("blanks at the end of %q", line)
				}
			}
		})
	}
}

type brokenPipe struct{}

// Write refuses.
func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestPrintToABrokenPipe: an error of the writer is told.
func TestPrintToABrokenPipe(t *testing.T) {
	if err := manySidedStatus().Print(brokenPipe{}, now); err == nil {
		t.Error("no error")
	}
}

func TestSentence(t *testing.T) {
	ok := MetadataStatus{OK: true}
	enis := manySidedStatus().ENIs
	for _, tt := range []struct {
		s    Status
		want string
	}{
		{Status{Converged: true, Metadata: ok, ENIs: enis[:1]}, "1 ENI configured"},
		{Status{Metadata: ok, ENIs: enis}, "1 ENI configured, 2 not; see enid status"},
		{Status{Converged: true, Metadata: ok}, "0 ENIs configured"},
		{Status{}, "0 ENIs configured, the metadata has not answered yet; see enid status"},
		{Status{Converged: true, Metadata: MetadataStatus{Error: "x"}, ENIs: enis[:1]}, "1 ENI configured, the metadata does not answer; see enid status"},
		{Status{Converged: true, Metadata: ok, ENIs: []ENIStatus{{Phase: netcfg.Ignored}}}, "0 ENIs configured"},
	} {
		if got := tt.s.Sentence(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 250 * time.Millisecond: "250ms", 1500 * time.Millisecond: "1.5s", 59 * time.Second: "59.0s",
		time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m", 47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "-" {
		t.Errorf("never: %q", got)
	}
}
