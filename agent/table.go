package agent

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"enid/metadata"
	"enid/netcfg"
)

// Print writes the status for a person: one line an ENI, its addresses and problems below.
func (s *Status) Print(w io.Writer, now time.Time) error {
	head := "enid " + s.Version
	if s.Instance != "" {
		head += " on instance " + s.Instance
	}
	paragraph(w, "", head+": "+s.summary())
	paragraph(w, "", "metadata: "+s.Metadata.sentence(now))
	s.printReturnPath(w)
	printProblems(w, "", s.Problems)
	if len(s.ENIs) == 0 {
		_, err := fmt.Fprintln(w, "no ENI is known")
		return err
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ENI\tNIC\tPHASE\tSINCE\tADDRESSES\tTABLE\tCHANGED")
	for _, e := range s.ENIs {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, dash(e.NIC), e.Phase, ago(e.Since, now),
			e.count(), e.table(), ago(e.LastChange, now))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, e := range s.ENIs {
		fmt.Fprintln(w)
		e.print(w)
	}
	return s.printPolicies(w)
}

func (m MetadataStatus) sentence(now time.Time) string {
	switch {
	case m.NoCloud:
		return m.Error
	case m.OK:
		return fmt.Sprintf("%s, answered %s ago", m.Provider, ago(m.LastAnswer, now))
	case !m.LastGood.IsZero():
		return strings.TrimSuffix(fmt.Sprintf("%s, no answer since the start, its last good one of %s ago is used: %s", m.Provider, ago(m.LastGood, now), m.Error), ": ")
	case m.Error == "":
		return m.Provider + ", not asked yet"
	case m.LastAnswer.IsZero():
		return fmt.Sprintf("%s, has never answered: %s", m.Provider, m.Error)
	}
	return fmt.Sprintf("%s, no answer for %s, everything stays as it is: %s", m.Provider, ago(m.LastAnswer, now), m.Error)
}

func (e *ENIStatus) count() string {
	present := 0
	for _, a := range e.Addresses {
		if a.Present {
			present++
		}
	}
	return fmt.Sprintf("%d of %d", present, len(e.Addresses))
}

func (e *ENIStatus) table() string {
	switch {
	case e.Primary:
		return "main"
	case e.Slot == netcfg.NoSlot:
		return "-"
	}
	return fmt.Sprint(e.Table)
}

// print writes an ENI's addresses, what is known and by whom, and its problems.
func (e *ENIStatus) print(w io.Writer) {
	role := "secondary"
	if e.Primary {
		role = "primary"
	}
	fmt.Fprintf(w, "%s (%s, mac %s)\n", e.Name, role, e.MAC)
	var addresses []string
	for _, a := range e.Addresses {
		text := a.Address.String()
		if a.Public.IsValid() {
			text += " (public " + a.Public.String() + ")"
		}
		if !a.Present {
			text += " MISSING"
		}
		addresses = append(addresses, text)
	}
	labelled(w, "  subnets    ", ",", texts(e.Subnets))
	labelled(w, "  gateway    ", ",", texts(e.Gateways))
	labelled(w, "  addresses  ", ",", addresses)
	labelled(w, "  prefixes   ", ",", texts(e.Prefixes))
	labelled(w, "  local      ", ",", texts(e.Local))
	if e.VLAN != nil {
		labelled(w, "  vlan       ", ",", []string{fmt.Sprintf("%d on %s", e.VLAN.ID, e.VLAN.Parent)})
	}
	labelled(w, "  said by    ", ";", e.sources())
	if !e.StaleSince.IsZero() {
		paragraph(w, "  ", "stale since "+e.StaleSince.Format(time.RFC3339)+": known from the metadata's last good answer, which nothing has confirmed since the start")
	}
	if e.Phase == netcfg.Waiting {
		paragraph(w, "  ", "the metadata lists it, and no NIC with its MAC is here yet")
	}
	printProblems(w, "  ", e.Problems)
}

// sources groups the facts by who said them.
func (e *ENIStatus) sources() []string {
	var order []string
	facts := map[string][]string{}
	for _, fact := range []string{"primary", "subnets", "gateway", "addresses", "prefixes", "local", "vlan"} {
		origin, told := e.Origins[fact]
		if !told {
			continue
		}
		if facts[origin] == nil {
			order = append(order, origin)
		}
		facts[origin] = append(facts[origin], fact)
	}
	if len(order) == 1 {
		return order
	}
	var parts []string
	for _, origin := range order {
		parts = append(parts, strings.ReplaceAll(origin, ", ", " + ")+": "+strings.Join(facts[origin], " "))
	}
	return parts
}

// labelled writes values behind a label, with a separator between them.
func labelled(w io.Writer, label, separator string, values []string) {
	if len(values) == 0 {
		return
	}
	words := slices.Clone(values)
	for i := range words[:len(words)-1] {
		words[i] += separator
	}
	netcfg.Wrap(w, label, strings.Repeat(" ", len(label)), words)
}

// paragraph writes a text, the lines after the first further in.
func paragraph(w io.Writer, indent, text string) {
	netcfg.Wrap(w, indent, indent+"  ", strings.Fields(text))
}

func printProblems(w io.Writer, indent string, problems []metadata.Problem) {
	for _, p := range problems {
		text := p.Text
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		text += " [" + p.Reason + "]"
		// A document with several errors has a line for each.
		for line := range strings.Lines(text) {
			paragraph(w, indent, "! "+line)
		}
	}
}

func texts[T fmt.Stringer](values []T) []string {
	var s []string
	for _, v := range values {
		s = append(s, v.String())
	}
	return s
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ago is a duration since a time in one unit, "-" for the zero time.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(d.Milliseconds(), 0))
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
