package metadata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// FetchTimeout bounds one whole Fetch of a dialect, so that a service whose every
// key hangs delays a poll and does not end polling.
const FetchTimeout = 10 * time.Second

const (
	connectTimeout = time.Second
	requestTimeout = 3 * time.Second // connection, headers and body
	idleTimeout    = 30 * time.Second
	idleConns      = 2
	maxBody        = 1 << 20
	maxDocument    = 4 << 20 // 512 KiB of a user's own attributes, six bytes for one in the worst JSON, and the rest
	maxHeaders     = 64 << 10
)

// ErrNotFound is a service's 404. Errors of Client match it with errors.Is.
var ErrNotFound = errors.New("not found")

var (
	errPage    = errors.New("answered 200 with an HTML page instead of a value; something stands between this host and the metadata service")
	errTooLong = errors.New("that is no metadata")
)

// StatusError is an answer whose status is not 200.
type StatusError struct {
	Path   string // as it was asked for
	Status int
	// RetryAfter is how long the service wants not to be asked again (Retry-After of RFC 9110, 10.2.3), 0
	// where it does not say; ten minutes at most.
	RetryAfter time.Duration
}

// Error says the status, and for a redirect why it was not followed. Where it was
// asked is said by the error that wraps it.
func (e *StatusError) Error() string {
	s := strings.TrimSpace(fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status)))
	if e.Status/100 == 3 {
		s += ", a redirect, which is not followed; a metadata service sends none, so something stands in between"
	}
	return s
}

// Is makes a 404 match ErrNotFound.
func (e *StatusError) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// Client asks one metadata service over HTTP/1.1, with the manners that all of
// them want: no proxy, no redirect, little time, little memory, few
// connections. It is safe for concurrent use.
type Client struct {
	base string // scheme://host[:port]
	dial Dial
	http *http.Client
	hold hold

	mu      sync.Mutex
	results map[string]uint64
}

// NewClient makes a Client for an endpoint written as scheme://host[:port].
func NewClient(endpoint string, dial Dial) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || !isEndpoint(u) {
		return nil, fmt.Errorf("metadata endpoint %q: want scheme://host[:port], such as http://169.254.169.254", endpoint)
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	return &Client{base: base.String(), dial: dial, http: newHTTP(dial), results: map[string]uint64{}}, nil
}

func isEndpoint(u *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return false
	}
	rest := *u
	rest.Scheme, rest.Host, rest.Path = "", "", strings.TrimPrefix(u.Path, "/")
	return rest == url.URL{}
}

// newHTTP leaves Proxy unset: a proxy of the environment would be told the
// instance's secrets, and IMDS refuses what was forwarded.
func newHTTP(dial Dial) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial.dialer().DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			Protocols:              protocols,
			MaxIdleConns:           idleConns,
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaders,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Get is the body of a path, which starts with a slash. Every status but 200 is
// a StatusError; an HTML page under 200 is an error too. An empty body is for
// the caller to judge.
func (c *Client) Get(ctx context.Context, path string, header http.Header) (string, error) {
	return c.do(ctx, http.MethodGet, path, header)
}

// Put is Get with the method that session tokens are asked for with, without a
// request body.
func (c *Client) Put(ctx context.Context, path string, header http.Header) (string, error) {
	return c.do(ctx, http.MethodPut, path, header)
}

// Requests counts the requests made so far by their result: the status ("200",
// "404"), "page", "too-long", "timeout", "canceled" or "error".
func (c *Client) Requests() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.results)
}

// Document is a body with the headers that came with it.
type Document struct {
	Body   string
	Header http.Header
}

// GetDocument is Get where the headers count too, for a document of everything, which may have 4 MiB. A service that
// answers only when there is something new (a long poll) needs patience, the longest time that the answer may take;
// 0 is the 3 seconds of any request.
func (c *Client) GetDocument(ctx context.Context, path string, header http.Header, patience time.Duration) (Document, error) {
	return c.count(ctx, http.MethodGet, path, header, cmp.Or(patience, requestTimeout), maxDocument)
}

func (c *Client) do(ctx context.Context, method, path string, header http.Header) (string, error) {
	d, err := c.count(ctx, method, path, header, requestTimeout, maxBody)
	return d.Body, err
}

// count makes one request of bounded time and answer, and notes how it ended. While the service does not want to be
// asked, none is made.
func (c *Client) count(ctx context.Context, method, path string, header http.Header, timeout time.Duration, limit int) (Document, error) {
	d, err := Document{}, c.hold.pass(ctx, path)
	if err == nil {
		d, err = c.ask(ctx, method, path, header, timeout, limit)
	}
	if err != nil {
		return Document{}, fmt.Errorf("metadata service %s: %s %s: %w", c.base, method, path, err)
	}
	return d, nil
}

func (c *Client) ask(ctx context.Context, method, path string, header http.Header, timeout time.Duration, limit int) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d, err := c.exchange(ctx, method, path, header, limit)
	c.hold.note(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results[result(err)]++
	return d, err
}

func (c *Client) exchange(ctx context.Context, method, path string, header http.Header, limit int) (Document, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil || !strings.HasPrefix(path, "/") {
		return Document{}, fmt.Errorf("%q is not a path of a metadata service", path)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "enid")
	// Not sent. It lets net/http try a PUT again when the service has just closed
	// the idle connection that was taken for it; a token may be asked for twice.
	req.Header["Idempotency-Key"] = nil

	resp, err := c.http.Do(req)
	if err != nil {
		return Document{}, c.transportError(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1)) // also read on an error status, to keep the connection
	switch {
	case resp.StatusCode != http.StatusOK:
		return Document{}, &StatusError{Path: path, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	case err != nil:
		return Document{}, c.transportError(err)
	case len(body) > limit:
		return Document{}, fmt.Errorf("answered more than %d bytes: %w", limit, errTooLong)
	case isPage(resp.Header.Get("Content-Type"), body):
		return Document{}, errPage
	}
	return Document{string(body), resp.Header}, nil
}

// isPage recognises what captive portals, proxies and error handlers send
// under status 200. No value or document of a metadata service starts with <.
func isPage(contentType string, body []byte) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	start := strings.TrimSpace(strings.TrimPrefix(string(body[:min(len(body), 512)]), "\ufeff"))
	return kind == "text/html" || kind == "application/xhtml+xml" || strings.HasPrefix(start, "<")
}

// transportError is PlainError with what to do where the host itself refuses.
func (c *Client) transportError(err error) error {
	err = PlainError(err)
	if errors.Is(err, syscall.EACCES) {
		return c.dial.forbidden(err)
	}
	return err
}

// PlainError drops from an error of net/http what repeats the request or changes from
// one try to the next (source ports), so that the same outage has the same text
// and is logged once.
func PlainError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if TimedOut(err) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

// TimedOut reports whether an error is that of a deadline, of a context or of a connection.
func TimedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

func result(err error) string {
	status, isStatus := errors.AsType[*StatusError](err)
	switch {
	case err == nil:
		return strconv.Itoa(http.StatusOK)
	case isStatus:
		return strconv.Itoa(status.Status)
	case errors.Is(err, errPage):
		return "page"
	case errors.Is(err, errTooLong):
		return "too-long"
	case TimedOut(err):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "error"
}
