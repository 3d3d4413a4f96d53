package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// SocketName is the socket in the runtime directory on which the daemon answers like on its
// HTTP address; enid status asks there.
const SocketName = "enid.sock"

// aliveWithin is how old the last pass may be before /healthz says that the daemon hangs. A
// pass comes at least with every poll and every resync.
const aliveWithin = 2 * time.Minute

// Handler serves /metrics, /status and /healthz. It reads only.
func (a *Agent) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(a.Metrics()...)
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(a.Status())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.counters.alive(max(aliveWithin, 2*a.pollInterval())) {
			http.Error(w, "no pass for too long", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return mux
}

func (a *Agent) pollInterval() time.Duration { return time.Duration(a.counters.poll.Load()) }

// ServeSocket answers on the socket in the runtime directory until ctx ends.
func ServeSocket(ctx context.Context, handler http.Handler, runtimeDir string) error {
	socket := filepath.Join(runtimeDir, SocketName)
	// The lock says that no other enid is here, so a socket that is left is a dead one's.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	return serve(ctx, l, handler)
}

// serve answers until ctx ends, which is no error.
func serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listenAgain is how long to wait for an address that somebody else has.
const listenAgain = 10 * time.Second

// ServeHTTP answers on the HTTP address, "" for none, until ctx ends. An address that cannot be had is
// no reason to leave the network alone: failed is called with an error, with nil once it can be had
// after all, and meanwhile it is tried again.
func ServeHTTP(ctx context.Context, handler http.Handler, address string, failed func(error)) {
	said := ""
	for ctx.Err() == nil {
		err := listenAndServe(ctx, handler, address, failed)
		if ctx.Err() != nil || err == nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			failed(fmt.Errorf("http: %w; /metrics and /status are on the socket only; free the address or set another one", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

func listenAndServe(ctx context.Context, handler http.Handler, address string, failed func(error)) error {
	if address == "" {
		failed(nil)
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	failed(nil)
	return serve(ctx, l, handler)
}

// FetchStatus asks the daemon of this runtime directory for its status.
func FetchStatus(ctx context.Context, runtimeDir string) (*Status, error) {
	socket := filepath.Join(runtimeDir, SocketName)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://enid/status", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("the daemon does not run (nobody answers at %s); systemctl start enid", socket)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s: permission denied; run this as root", socket)
	case err != nil:
		return nil, fmt.Errorf("the daemon does not answer: %w", err)
	}
	defer response.Body.Close()
	var s Status
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return nil, fmt.Errorf("the daemon's answer makes no sense, is it of another version? %w", err)
	}
	return &s, nil
}
