package systemd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LogOptions is the form of log lines.
type LogOptions struct {
	Level   slog.Leveler // the least that is logged; a *slog.LevelVar can be changed by a reload
	JSON    bool         // one JSON object a line, else key=value
	Journal bool         // the reader is the journal: see IsJournal
}

// NewHandler writes log lines. To the journal a line begins with its priority as of
// sd-daemon(3), which the journal takes off again, and has no time, because the
// journal has its own.
func NewHandler(w io.Writer, o LogOptions) slog.Handler {
	options := &slog.HandlerOptions{Level: o.Level}
	line := &line{w: w}
	var form slog.Handler = slog.NewTextHandler(&line.buf, options)
	if o.JSON {
		form = slog.NewJSONHandler(&line.buf, options)
	}
	return handler{form, line, o.Journal}
}

// IsJournal reports whether f is the stream to the journal that JOURNAL_STREAM names
// by device and inode. The variable alone says nothing: children inherit it, also when
// their output goes elsewhere.
func IsJournal(f *os.File, getenv func(string) string) bool {
	var st unix.Stat_t
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var statErr error
	if err := conn.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &st) }); err != nil || statErr != nil {
		return false
	}
	return getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// line is where one record becomes one write: it is shared by all handlers made from
// one, so that their lines do not mix.
type line struct {
	mu  sync.Mutex
	buf bytes.Buffer
	w   io.Writer
}

type handler struct {
	slog.Handler // formats into line.buf
	line         *line
	journal      bool
}

// Handle writes one line.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.buf.Reset()
	if h.journal {
		fmt.Fprintf(&h.line.buf, "<%d>", priority(r.Level))
		r.Time = time.Time{} // slog leaves out a zero time
	}
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.line.w.Write(h.line.buf.Bytes())
	return err
}

// WithAttrs is as of slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup is as of slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// priority is the level in syslog's numbers: 7 debug, 6 info, 4 warning, 3 error.
func priority(l slog.Level) int {
	switch {
	case l < slog.LevelInfo:
		return 7
	case l < slog.LevelWarn:
		return 6
	case l < slog.LevelError:
		return 4
	default:
		return 3
	}
}
