package netcfg

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Print writes the explanation for a person. Without all the rules that were passed are counted only.
func (e Explanation) Print(w io.Writer, all bool) error {
	p := &printer{w: w}
	p.line("%s", e.Packet.sentence())
	p.steps(e.Steps, all)
	p.text("  ", e.Way.sentence())
	if e.Reverse.Reason != "" {
		verdict := "passes"
		if e.Reverse.Drops {
			verdict = "DROPPED"
		}
		if e.Reverse.Partly {
			verdict = "DROPPED by some of the next hops"
		}
		p.text("  ", fmt.Sprintf("reverse path filter of %s: %s, %s", e.Packet.IIF, verdict, e.Reverse.Reason))
		if all || e.Reverse.Drops {
			p.line("  the way back, %s to %s:", e.Packet.Dst, e.Packet.Src)
			p.steps(e.Reverse.Steps, all)
		}
	}
	p.text("  ", e.Kernel.sentence())
	for _, note := range e.Notes {
		p.text("  ", note)
	}
	for _, problem := range e.Wrong {
		p.text("  ", "! "+problem.Text+" ["+problem.Reason+"]")
	}
	return p.err
}

// sentence is what the question was.
func (p Packet) sentence() string {
	text := "any"
	if p.Src.IsValid() {
		text = p.Src.String()
	}
	text += " to " + p.Dst.String()
	if p.IIF != "" {
		text += ", comes in by " + p.IIF
	} else {
		text += ", made on this host by uid " + strconv.FormatUint(uint64(p.UID), 10)
	}
	if p.Mark != 0 {
		text += fmt.Sprintf(", mark %#x", p.Mark)
	}
	return text
}

func (w Way) sentence() string {
	route := ""
	if w.Table != 0 {
		route = fmt.Sprintf("; route %s, table %s", destination(w.Dst), w.Name)
	}
	switch w.Type {
	case "unicast":
		var ways []string
		for _, h := range w.Hops {
			ways = append(ways, h.sentence())
		}
		return "leaves by " + strings.Join(ways, " or ") + route
	case "none":
		return "has no way: no rule has an answer"
	case "unreachable", "blackhole", "prohibit":
		return "is refused: " + w.Type + route
	case "local":
		return "is for this host" + route
	}
	return "is for this host, " + w.Type + route
}

func (h Hop) sentence() string {
	text := h.NIC
	if h.ENI != "" {
		text += " of ENI " + h.ENI
	}
	if h.Via.IsValid() {
		return text + " through gateway " + h.Via.String()
	}
	return text + " straight"
}

func (k KernelWay) sentence() string {
	answer := k.Error
	if k.Error == "" {
		answer = k.Type
		if k.NIC != "" {
			answer += " dev " + k.NIC
		}
		if k.Via.IsValid() {
			answer += " via " + k.Via.String()
		}
		answer += " table " + tableNumber(k.Table)
		if k.Source.IsValid() {
			answer += " src " + k.Source.String()
		}
	}
	if k.Agrees {
		return "the kernel's own lookup agrees: " + answer
	}
	return "the kernel's own lookup DOES NOT agree: " + answer
}

// number is the priority.
func (st Step) number() string { return strconv.Itoa(st.Priority) }

// protocolName is how ip(8) calls those that everybody knows.
func protocolName(proto int) string {
	switch proto {
	case 2:
		return "kernel"
	case 3:
		return "boot"
	case 4:
		return "static"
	}
	return strconv.Itoa(proto)
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

// steps writes rules, runs of passed ones as one line.
func (p *printer) steps(steps []Step, all bool) {
	passed := 0
	flush := func() {
		switch {
		case passed == 1:
			p.line("         1 rule passed")
		case passed > 1:
			p.line("         %d rules passed", passed)
		}
		passed = 0
	}
	for _, step := range steps {
		if !step.Matched && !all {
			passed++
			continue
		}
		flush()
		rule := step.Rule
		if !step.Own && step.Matched && step.By != "the kernel" {
			rule += " protocol " + protocolName(step.Protocol)
			if step.By != "" {
				rule += ", usually of " + step.By
			}
		}
		p.text(fmt.Sprintf("%7d: ", step.Priority), rule)
		reason := step.Reason
		if !step.Matched {
			reason = "passed: " + reason
		}
		p.text("           ", "-> "+reason)
	}
	flush()
}

// text writes words in lines; those after the first are further in.
func (p *printer) text(first, text string) {
	Wrap(p, first, strings.Repeat(" ", len(first)+2), strings.Fields(text))
}

// Write lets through what is written until something fails.
func (p *printer) Write(b []byte) (n int, err error) {
	if p.err == nil {
		_, p.err = p.w.Write(b)
	}
	return len(b), p.err
}
