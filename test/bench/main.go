// Command bench measures enid against what it must not exceed, everything in network
// namespaces of its own. What can be compared is compared with ip(8) in the same run, in turns,
// so that the ratio means something on any machine. It exits with 1 when a ratio is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"enid/test/lab"
)

// errMissed is the end of a run in which a ratio was not as required.
var errMissed = errors.New("a required ratio was missed")

// bench is what all parts of a run share.
type bench struct {
	*report
	enid   string // the built binary
	rounds int
	idle   time.Duration
}

// parts are the measurements, in the order of the output.
var parts = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"writes", (*bench).writes},
	{"forward", (*bench).forward},
	{"quiet", (*bench).quiet},
	{"react", (*bench).react},
	{"idle", (*bench).rest},
	{"dialects", (*bench).dialects},
	{fleetPart, (*bench).fleet},
}

// fleetPart is measured only where it is asked for: it takes minutes.
const fleetPart = "fleet"

func main() {
	b := &bench{report: &report{out: os.Stdout}}
	var only string
	flag.StringVar(&b.enid, "enid", "bin/enid", "the built enid")
	flag.IntVar(&b.rounds, "rounds", 9, "rounds of which the median counts")
	flag.DurationVar(&b.idle, "idle", 31*time.Second, "how long to watch the daemon do nothing")
	flag.StringVar(&only, "only", "", "measure these parts: writes,forward,quiet,react,idle,dialects,fleet")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	err := lab.Enter()
	if err == nil {
		// The daemon watches the directories on the way to its configuration: in /tmp every
		// program of this machine would wake it. /run is this lab's own.
		err = os.Setenv("TMPDIR", "/run")
	}
	if err == nil {
		err = b.run(ctx, only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only string) error {
	if _, err := os.Stat(b.enid); err != nil {
		return fmt.Errorf("the built enid is needed (make build): %w", err)
	}
	for _, p := range parts {
		if only == "" && p.name == fleetPart || only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return b.verdict()
}
