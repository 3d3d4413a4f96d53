package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"enid/agent"
	"enid/metadata/file"
	"enid/netcfg"
	"enid/systemd"
)

func (c *cli) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the daemon",
		Long: "Run the daemon: watch the metadata and the kernel and keep them in agreement.\nOn stop it leaves the kernel as it is, so that a restart moves no packet. SIGHUP\nmakes it read its configuration again, as a change of the file does.",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.daemon(cmd.Context()) },
	}
}

// load reads the configuration that the command line names.
func (c *cli) load() (agent.Config, error) {
	return agent.Load(c.config, c.config != agent.DefaultConfigFile)
}

// logger writes to stderr what the configuration asks for; level can be changed later.
func logger(config agent.Config, level *slog.LevelVar) *slog.Logger {
	level.Set(config.Log.Level)
	return slog.New(systemd.NewHandler(os.Stderr, systemd.LogOptions{
		Level: level, JSON: config.Log.Format == agent.LogJSON, Journal: systemd.IsJournal(os.Stderr, os.Getenv),
	}))
}

// assemble makes an agent on this namespace's kernel.
func (c *cli) assemble(log *slog.Logger, config agent.Config, notify agent.Notifier) (*agent.Agent, *netcfg.Kernel, error) {
	source, err := agent.NewSource(config.Metadata)
	if err != nil {
		return nil, nil, err
	}
	kernel, err := netcfg.NewKernel(config.RuntimeDir)
	if err != nil {
		return nil, nil, err
	}
	if problem := kernel.RecordProblem(); problem != nil {
		log.Warn(problem.Error())
	}
	return agent.New(agent.Options{
		Config: config, Log: log, Kernel: kernel, Source: source, Notify: notify, Version: version(),
		Opponents: kernel.Opponents, Neighbours: systemd.Neighbours{Run: "/run"}.Spare,
	}), kernel, nil
}

func (c *cli) daemon(ctx context.Context) error {
	lean()
	config, err := c.load()
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	log := logger(config, level)
	if err := netcfg.MayChange(); err != nil {
		return err
	}
	a, kernel, err := c.assemble(log, config, starter{systemd.New(os.Getenv)})
	if err != nil {
		return err
	}
	defer kernel.Close()

	events := agent.NewEvents()
	tasks, ctx := errgroup.WithContext(ctx)
	w := &watchers{tasks: tasks, ctx: ctx, agent: a, events: events, config: c.config}
	tasks.Go(func() error {
		return agent.Named("kernel events", kernel.Watch(ctx, func() { agent.Poke(events.Kernel) }))
	})
	tasks.Go(func() error { return hangups(ctx, events.Reload) })
	tasks.Go(func() error {
		return a.Run(ctx, events, agent.Reloader{
			Load:   c.load,
			Source: func(config agent.Config) (agent.Source, error) { return agent.NewSource(config.Metadata) },
			Started: func(config agent.Config) {
				log.Info("enid is running", "version", version(), "provider", config.Metadata.Provider)
				w.start(config)
			},
			Changed: func(config agent.Config) {
				level.Set(config.Log.Level)
				w.follow(config)
			},
		})
	})
	return tasks.Wait()
}

// hangups makes SIGHUP a wish for the configuration to be read again.
func hangups(ctx context.Context, reload chan struct{}) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			agent.Poke(reload)
		}
	}
}

// watchers are the tasks beside the loop. What depends on the configuration is started anew when that
// part of it changes.
type watchers struct {
	tasks  *errgroup.Group
	ctx    context.Context
	agent  *agent.Agent
	events agent.Events
	config string // the configuration file

	documents, http watcher
}

// watcher is one task and what it was started for.
type watcher struct {
	what string
	stop context.CancelFunc
}

// restart ends the task if it was started for something else, and reports whether to start it.
func (w *watcher) restart(ctx context.Context, what string) (context.Context, bool) {
	if w.stop != nil {
		if w.what == what {
			return nil, false
		}
		w.stop()
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.what = what
	return ctx, true
}

// start begins to watch the configuration file and everything that it names.
func (w *watchers) start(config agent.Config) {
	w.watch(w.ctx, w.events.Reload, w.config)
	w.tasks.Go(func() error {
		return agent.Named("socket", agent.ServeSocket(w.ctx, w.agent.Handler(), config.RuntimeDir))
	})
	w.follow(config)
}

// follow makes the tasks those of this configuration.
func (w *watchers) follow(config agent.Config) {
	var paths []string
	for _, path := range []string{config.Metadata.File, config.Metadata.Overlay} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	if ctx, start := w.documents.restart(w.ctx, strings.Join(paths, "\n")); start && len(paths) > 0 {
		w.watch(ctx, w.events.Files, paths...)
	}
	if ctx, start := w.http.restart(w.ctx, config.HTTP); start {
		w.tasks.Go(func() error {
			agent.ServeHTTP(ctx, w.agent.Handler(), config.HTTP, func(err error) { w.agent.Report("http-unavailable", err) })
			return nil
		})
	}
}

// watch pokes when one of the paths may read differently. Where the kernel refuses to watch,
// the daemon lives on: documents are read with every poll, the configuration on SIGHUP.
func (w *watchers) watch(ctx context.Context, poke chan struct{}, paths ...string) {
	w.tasks.Go(func() error {
		if err := file.Watch(ctx, paths, func() { agent.Poke(poke) }); err != nil {
			w.agent.Report("files-not-watched", err)
		}
		return nil
	})
}
