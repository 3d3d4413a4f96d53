package cloud

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultKind is a way in which metadata goes wrong.
type FaultKind string

// The kinds of Fault. Those of the first group concern the answer as HTTP, the
// others what it says.
const (
	FaultStatus     FaultKind = "status"      // Fault.Status, with the dialect's error body
	FaultReset      FaultKind = "reset"       // the connection is reset
	FaultHang       FaultKind = "hang"        // no answer until the client goes
	FaultLatency    FaultKind = "latency"     // the right answer after Fault.Latency
	FaultRedirect   FaultKind = "redirect"    // 302 to Fault.Location
	FaultEmpty      FaultKind = "empty"       // 200 without a body
	FaultHTML       FaultKind = "html"        // 200 with an HTML page, as captive portals and proxies do
	FaultEndless    FaultKind = "endless"     // 200 with a body that goes on until the client goes
	FaultCutLength  FaultKind = "cut-length"  // half a body, though Content-Length says all of it
	FaultCutChunked FaultKind = "cut-chunked" // half a body in chunks, and no last chunk
	FaultCutBody    FaultKind = "cut-body"    // half a body in an answer that is right as HTTP

	FaultNoMAC       FaultKind = "no-mac"       // no ENI is listed
	FaultNoKeys      FaultKind = "no-keys"      // ENIs are listed, their keys are 404
	FaultNoAddresses FaultKind = "no-addresses" // ENIs are there, their address lists are empty
)

var faultKinds = []FaultKind{
	FaultStatus, FaultReset, FaultHang, FaultLatency, FaultRedirect, FaultEmpty, FaultHTML, FaultEndless,
	FaultCutLength, FaultCutChunked, FaultCutBody, FaultNoMAC, FaultNoKeys, FaultNoAddresses,
}

// Fault is what goes wrong, for whom, where and for how long.
type Fault struct {
	Kind     FaultKind
	Instance string        // "" for all
	ENI      string        // of FaultNoKeys and FaultNoAddresses: this one alone; "" for all
	Path     string        // a glob as in path.Match, where * stays between slashes; "" for all
	Times    int           // only the next so many requests that match; 0: until ClearFault
	Status   int           // of FaultStatus, 200 to 599
	Latency  time.Duration // of FaultLatency
	Location string        // of FaultRedirect
}

// SetFault makes requests go wrong from now on. There is one fault for each
// instance and one for all; a new one replaces the one before it, and the
// instance's goes first.
func (c *Cloud) SetFault(f Fault) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("set fault %q: %w", f.Kind, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.instances[f.Instance]; f.Instance != "" && !ok {
		return fmt.Errorf("set fault %q: instance %q: %w: create it first", f.Kind, f.Instance, ErrNotFound)
	}
	c.faults[f.Instance] = &f
	return nil
}

func (f Fault) check() error {
	_, err := path.Match(f.Path, "")
	switch {
	case err != nil:
		return fmt.Errorf("path %q: %w: %w", f.Path, ErrInvalid, err)
	case !slices.Contains(faultKinds, f.Kind):
		return fmt.Errorf("kind: %w: want one of %v", ErrInvalid, faultKinds)
	case f.Kind == FaultStatus && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d: %w: want 200 to 599", f.Status, ErrInvalid)
	case f.Kind == FaultLatency && f.Latency <= 0, f.Times < 0:
		return fmt.Errorf("latency %s, times %d: %w: want a positive latency and no negative times", f.Latency, f.Times, ErrInvalid)
	case f.Kind == FaultRedirect && f.Location == "":
		return fmt.Errorf("location: %w: want where to redirect to", ErrInvalid)
	}
	return nil
}

// ClearFault ends all faults.
func (c *Cloud) ClearFault() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.faults)
}

// pickFault is the fault that a request meets, or the zero Fault: none.
func (c *Cloud) pickFault(instance, requestPath string) Fault {
	for _, key := range []string{instance, ""} {
		f, ok := c.faults[key]
		if !ok || !f.matches(requestPath) {
			continue
		}
		if f.Times--; f.Times == 0 {
			delete(c.faults, key) // without a limit it counts down from 0, and never gets there
		}
		return *f
	}
	return Fault{}
}

func (f *Fault) matches(requestPath string) bool {
	ok, _ := path.Match(f.Path, requestPath) // the pattern was checked
	return ok || f.Path == ""
}

const htmlPage = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>Please sign in</h1></body></html>\n"

// before does what goes wrong before there is an answer, and reports whether
// that was all.
func (f Fault) before(w http.ResponseWriter, r *http.Request) (done bool) {
	switch f.Kind {
	case FaultLatency:
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
			return false
		case <-r.Context().Done():
		}
	case FaultHang:
		<-r.Context().Done()
	case FaultReset:
		reset(w)
	case FaultRedirect:
		http.Redirect(w, r, f.Location, http.StatusFound)
	case FaultEmpty:
		w.WriteHeader(http.StatusOK)
	case FaultHTML:
		response{status: http.StatusOK, contentType: "text/html; charset=utf-8", body: htmlPage}.write(w, Fault{})
	case FaultEndless:
		for err := error(nil); err == nil; {
			_, err = io.WriteString(w, strings.Repeat("endless\n", 4096))
		}
	default:
		return false
	}
	return true
}

// reset closes the connection so that the client gets RST: unsent data is
// thrown away. A connection that cannot be taken over is cut.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		err = tcp.SetLinger(0)
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// cut writes half of an answer where the fault says so.
func (f Fault) cut(w http.ResponseWriter, res response) (done bool) {
	half := res.body[:len(res.body)/2]
	switch f.Kind {
	case FaultCutBody:
		w.WriteHeader(res.status)
		_, _ = io.WriteString(w, half)
		return true
	case FaultCutLength:
		w.Header().Set("Content-Length", strconv.Itoa(max(1, len(res.body)))) // an empty body has nothing to cut off
	case FaultCutChunked:
	default:
		return false
	}
	w.WriteHeader(res.status)
	_, _ = io.WriteString(w, half)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // the server closes the connection without an end of the body
}

// distort makes the metadata say what is wrong.
func (f Fault) distort(v view) view {
	v.nics = slices.Clone(v.nics)
	switch f.Kind {
	case FaultNoMAC:
		v.nics = nil
	case FaultNoKeys:
		for i := range v.nics {
			v.nics[i].keys = v.nics[i].keys && !f.concerns(v.nics[i])
		}
	case FaultNoAddresses:
		for i := range v.nics {
			if f.concerns(v.nics[i]) {
				v.nics[i].Addresses = nil
			}
		}
	}
	return v
}

func (f Fault) concerns(n nic) bool { return f.ENI == "" || f.ENI == n.ID }
