package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// report prints what was measured beside what is required.
type report struct {
	out    io.Writer
	missed int // required ratios
	late   int // required times and sizes, which depend on the machine
}

func (r *report) heading(format string, args ...any) {
	fmt.Fprintf(r.out, "\n"+format+"\n", args...)
}

// show is a line without a requirement.
func (r *report) show(name, format string, args ...any) {
	fmt.Fprintf(r.out, "  %-58s %s\n", name, fmt.Sprintf(format, args...))
}

// ratio is a time against a baseline of the same rounds; at most limit times it is required.
func (r *report) ratio(name string, times, baseline []time.Duration, limit float64) {
	x := float64(median(times)) / float64(median(baseline))
	word := "ok"
	if x > limit {
		word = "MISSED"
		r.missed++
	}
	fmt.Fprintf(r.out, "  %-58s %-22s %.2f x   (required: at most %.1f x) %s\n", name, spread(times), x, limit, word)
}

// below is a time that has to be shorter than limit on an idle machine.
func (r *report) below(name string, times []time.Duration, limit time.Duration) {
	r.value(name, spread(times), median(times) < limit, limit.String())
}

// value is a number that was judged already.
func (r *report) value(name, value string, ok bool, limit string) {
	word := "ok"
	if !ok {
		word = "MISSED"
		r.late++
	}
	fmt.Fprintf(r.out, "  %-58s %-22s (required: below %s) %s\n", name, value, limit, word)
}

// verdict is the last line, and the error that makes the run fail.
func (r *report) verdict() error {
	switch {
	case r.missed > 0:
		return fmt.Errorf("%w: %d", errMissed, r.missed)
	case r.late > 0:
		fmt.Fprintf(r.out, "\nEvery ratio is as required; %d times or sizes are not, on this machine now.\n", r.late)
	default:
		fmt.Fprintln(r.out, "\nEverything is as required.")
	}
	return nil
}

func median(times []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(times))
	return s[len(s)/2]
}

// spread is the median, and the range in which the others are.
func spread(times []time.Duration) string {
	return fmt.Sprintf("%s (%s to %s)", short(median(times)), short(slices.Min(times)), short(slices.Max(times)))
}

// short is a duration in milliseconds, with the digits that mean something.
func short(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10 && ms > -10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100 && ms > -100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
