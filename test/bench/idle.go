package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"enid/agent"
	"enid/test/cloud"
	"enid/test/rig"
)

// idlePoll is the default of the configuration.
var idlePoll = agent.Default().Metadata.Poll

const mib = 1 << 20

// rest measures what the built daemon costs while nothing happens.
func (b *bench) rest(ctx context.Context) error {
	r, err := rig.New(rig.Options{Dialect: cloud.EC2, Enid: b.enid, Poll: idlePoll, PrimarySecondary: perENI - 1})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	d, err := r.Start()
	if err != nil {
		return err
	}
	for i := range secondaries {
		if _, err := r.Attach(rig.SubnetNames[1+i%2], perENI); err != nil {
			return err
		}
	}
	if _, err := settle(ctx, r, secondaries+1); err != nil {
		return err
	}
	// At first the Go runtime still gives back what the start has used.
	start, cancel := context.WithTimeout(ctx, 4*idlePoll)
	defer cancel()
	for range 2 {
		if err := nextQuestion(start, r); err != nil {
			return err
		}
	}
	u, err := b.watch(ctx, r, d.PID())
	if err != nil {
		return err
	}
	b.heading("The daemon at rest, %d ENIs with %d addresses each, metadata asked every %s, watched for %s", secondaries+1, perENI, idlePoll, b.idle)
	resident := u.own + u.file
	b.value("resident (VmRSS)", fmt.Sprintf("%.1f MiB", float64(resident)/mib), resident < 15*mib, "15 MiB")
	b.show("  of which its own (RssAnon), and the program file's", "%.1f MiB, %.1f MiB", float64(u.own)/mib, float64(u.file)/mib)
	idle := perHour(u.quiet, u.quietTime)
	b.value("CPU an hour besides polling", fmt.Sprintf("%.2f s", idle), idle < 1, "1 s")
	b.show("  with it", "%.2f s, of which a poll costs %s", perHour(u.quiet+u.polling, b.idle), short(u.polling/time.Duration(max(u.polls, 1))))
	perPoll := float64(u.requests) / float64(max(u.polls, 1))
	b.show("metadata requests a minute", "%.0f, %.0f a poll", float64(u.requests)/b.idle.Minutes(), perPoll)
	return nil
}

func perHour(cpu, of time.Duration) float64 { return cpu.Seconds() * float64(time.Hour) / float64(of) }

// usage is what a process costs. quiet is the CPU time of the seconds without a request to the
// metadata, polling that of the others.
type usage struct {
	own, file       int // resident bytes: its own, and the program file's
	quiet, polling  time.Duration
	quietTime       time.Duration
	polls, requests int
}

func (b *bench) watch(ctx context.Context, r *rig.Rig, pid int) (u usage, err error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	<-tick.C // the answer to the question that has just come
	r.Cloud.ResetRequests(r.Instance)
	cpu, polling := processTime(pid), false
	for began := time.Now(); time.Since(began) < b.idle; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return u, ctx.Err()
		}
		// What follows a request may take until the next second.
		cpuNow, requests := processTime(pid), requests(r)
		if polling || requests > u.requests {
			u.polling += cpuNow - cpu
			polling = requests > u.requests
		} else {
			u.quiet += cpuNow - cpu
			u.quietTime += time.Second
		}
		cpu, u.requests = cpuNow, requests
	}
	u.polls = questions(r)
	u.own, u.file, err = memory(pid)
	return u, err
}

func requests(r *rig.Rig) (n int) {
	for _, q := range r.Cloud.Requests(r.Instance) {
		n += q.Count
	}
	return n
}

// processTime is the CPU time of a process, to the nanosecond: the clock of another process
// has its inverted id above three bits that say which clock.
func processTime(pid int) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// memory is the resident memory of a process in bytes: its own, and that of files.
func memory(pid int) (anon, file int, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "RssAnon:":
			anon = kib << 10
		case "RssFile:", "RssShmem:":
			file += kib << 10
		}
	}
	return anon, file, nil
}
