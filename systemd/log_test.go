package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func logged(o LogOptions) string {
	var out bytes.Buffer
	ll := slog.New(NewHandler(&out, o)).With("eni", "port-a").WithGroup("change")
	ll.Debug("looked")
	ll.Info("added", "address", "10.0.1.5")
	ll.Warn("two\nlines")
	ll.Error("failed", "err", errors.New("no such device"))
	return out.String()
}

func TestHandler(t *testing.T) {
	const text = `level=DEBUG msg=looked eni=port-a
level=INFO msg=added eni=port-a change.address=10.0.1.5
level=WARN msg="two\nlines" eni=port-a
level=ERROR msg=failed eni=port-a change.err="no such device"
`
	const json = `{"level":"DEBUG","msg":"looked","eni":"port-a"}
{"level":"INFO","msg":"added","eni":"port-a","change":{"address":"10.0.1.5"}}
{"level":"WARN","msg":"two\nlines","eni":"port-a"}
{"level":"ERROR","msg":"failed","eni":"port-a","change":{"err":"no such device"}}
`
	for _, tt := range []struct {
		about   string
		options LogOptions
		want    string
	}{
		{"text", LogOptions{Level: slog.LevelDebug}, text},
		{"json", LogOptions{Level: slog.LevelDebug, JSON: true}, json},
	} {
		t.Run(tt.about, func(t *testing.T) {
			// Without the journal every line has its time; it is taken off to compare.
			stamp := regexp.MustCompile(`(?m)^(\{?)"?time"?[=:]"?\d{4}-\d\d-\d\dT[^ ",]+"?[ ,]`)
			got := logged(tt.options)
			if n := len(stamp.FindAllString(got, -1)); n != 4 {
				t.Errorf("%d of 4 lines have a time:\n%s", n, got)
			}
			if got := stamp.ReplaceAllString(got, "$1"); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}

			tt.options.Journal = true
			want := strings.Split(tt.want, "\n")
			for i, p := range []string{"<7>", "<6>", "<4>", "<3>"} {
				want[i] = p + want[i]
			}
			if got := logged(tt.options); got != strings.Join(want, "\n") {
				t.Errorf("got\n%swant\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

// TestHandlerLevel: the level can change while the daemon runs.
func TestHandlerLevel(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	ll := slog.New(NewHandler(&out, LogOptions{Level: level, Journal: true}))
	ll.Debug("first")
	level.Set(slog.LevelDebug)
	ll.Debug("second")
	if got, want := out.String(), "<7>level=DEBUG msg=second\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// writes keeps each write apart. It takes no lock: the handler has to.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}

// TestHandlerLines: a record is one write of one line, whoever else logs.
func TestHandlerLines(t *testing.T) {
	var out writes
	ll := slog.New(NewHandler(&out, LogOptions{Level: slog.LevelInfo, Journal: true}))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				ll.With("i", i).Info("line")
			}
		})
	}
	wg.Wait()
	whole := regexp.MustCompile(`^<6>level=INFO msg=line i=\d\n$`)
	for _, w := range out {
		if !whole.MatchString(w) {
			t.Fatalf("%q is not one line", w)
		}
	}
	if len(out) != 200 {
		t.Errorf("%d writes, want 200", len(out))
	}
}

func TestIsJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino):   true,
		fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false,
		"":                                     false,
		"x":                                    false,
	} {
		if got := IsJournal(f, env(map[string]string{"JOURNAL_STREAM": stream})); got != want {
			t.Errorf("JOURNAL_STREAM=%q: got %t, want %t", stream, got, want)
		}
	}
	f.Close()
	if IsJournal(f, env(map[string]string{"JOURNAL_STREAM": fmt.Sprintf("%d:%d", st.Dev, st.Ino)})) {
		t.Error("a closed file is the journal")
	}
}
