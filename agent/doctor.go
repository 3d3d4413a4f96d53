package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"syscall"

	"enid/netcfg"
)

// Diagnoser looks at the kernel for what can hurt; netcfg.Kernel is one.
type Diagnoser interface {
	Diagnose(netcfg.Checkup) ([]netcfg.Finding, error)
}

// Doctor looks for every condition of the host that can hurt, the worst first: in the kernel, in the
// metadata, and in what other network managers have in hand. It changes nothing. The root is the
// file system's, "/" but for tests.
func (a *Agent) Doctor(ctx context.Context, kernel Diagnoser, root string) ([]netcfg.Finding, error) {
	findings := a.askDoctor(ctx)
	a.chains = true
	var r report
	if _, err := a.decide(ctx, true, &r); err != nil {
		return nil, err
	}
	found, err := kernel.Diagnose(netcfg.Checkup{Scope: a.scope(true), Seen: r.seen, Target: r.target, ReturnPath: a.returnPath()})
	if err != nil {
		return nil, err
	}
	findings = append(findings, found...)
	findings = append(findings, managers{root}.findings(r.target)...)
	findings = append(findings, a.daemonFindings(ctx)...)
	netcfg.SortFindings(findings)
	return findings, nil
}

// askDoctor asks the metadata once.
func (a *Agent) askDoctor(ctx context.Context) []netcfg.Finding {
	s, err := a.source.Fetch(ctx)
	switch {
	case errors.Is(err, syscall.EACCES):
		return []netcfg.Finding{{Severity: netcfg.SeverityError, Check: "metadata-locked", Evidence: err.Error(),
			Remedy: "give enid the mark that opens it (metadata.mark, 0x7fff0815 where systemd-imdsd locked it) and the NIC (metadata.interface)"}}
	case isNoCloud(err):
		return []netcfg.Finding{{Severity: netcfg.SeverityWarning, Check: "no-cloud", Evidence: err.Error(),
			Remedy: "where this host is in a cloud, set metadata.provider; where it is in none, metadata.file, or remove enid"}}
	case err != nil:
		return []netcfg.Finding{{Severity: netcfg.SeverityError, Check: "metadata-unreachable", Evidence: err.Error(),
			Remedy: "everything stays as it is until it answers; see whether the address leaves by the primary: enid explain any 169.254.169.254"}}
	}
	a.learn(s, nil, time.Now())
	var found []netcfg.Finding
	for _, p := range s.Problems {
		found = append(found, netcfg.Finding{Severity: netcfg.SeverityWarning, Check: p.Reason, Evidence: p.String(), Remedy: "correct what the metadata or the interfaces document says"})
	}
	return found
}

// daemonFindings is what the daemon itself complains about, or that there is none.
func (a *Agent) daemonFindings(ctx context.Context) []netcfg.Finding {
	s, err := FetchStatus(ctx, a.config.RuntimeDir)
	if err != nil {
		return []netcfg.Finding{{Severity: netcfg.SeverityWarning, Check: "daemon-not-running", Evidence: err.Error(), Remedy: "systemctl enable --now enid"}}
	}
	var found []netcfg.Finding
	for _, e := range s.ENIs {
		for _, p := range e.Problems {
			found = append(found, netcfg.Finding{Severity: netcfg.SeverityWarning, Check: p.Reason, Evidence: e.Name + ": " + p.Text, Remedy: "see enid status"})
		}
	}
	for _, p := range s.Policies {
		for _, problem := range p.Problems {
			found = append(found, netcfg.Finding{Severity: netcfg.SeverityWarning, Check: problem.Reason, Evidence: problem.String(), Remedy: "see policies in the configuration"})
		}
	}
	for _, p := range s.Problems {
		if p.Reason != "iptables-missing" && p.Reason != "mark-collision" { // found by ourselves
			found = append(found, netcfg.Finding{Severity: netcfg.SeverityWarning, Check: p.Reason, Evidence: p.Text, Remedy: "see enid status"})
		}
	}
	return found
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// Hurts reports whether a finding is an error.
func Hurts(findings []netcfg.Finding) bool {
	return slices.ContainsFunc(findings, func(f netcfg.Finding) bool { return f.Severity == netcfg.SeverityError })
}

// PrintFindings writes them for a person.
func PrintFindings(w io.Writer, findings []netcfg.Finding) {
	if len(findings) == 0 {
		fmt.Fprintln(w, "nothing found that could hurt")
		return
	}
	counts := map[netcfg.Severity]int{}
	for i, f := range findings {
		if i > 0 {
			fmt.Fprintln(w)
		}
		counts[f.Severity]++
		netcfg.Wrap(w, fmt.Sprintf("%-8s ", f.Severity), "         ", strings.Fields(f.Evidence+" ["+f.Check+"]"))
		netcfg.Wrap(w, "  remedy ", "         ", strings.Fields(f.Remedy))
	}
	fmt.Fprintf(w, "\n%s, %s\n", plural(counts[netcfg.SeverityError], "error"), plural(counts[netcfg.SeverityWarning], "warning"))
}
