package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	renewEarly = 10 * time.Minute
	// withoutToken is how long a refused PUT is not tried again, so that a
	// service that learns about tokens, or forgot them for a moment while it
	// started, is asked with one again.
	withoutToken = 5 * time.Minute
)

// Get is the body of a path that a service answers with status 200, see Client.Get.
type Get = func(ctx context.Context, path string) (string, error)

// TokenProtocol is how a service gives session tokens: a PUT gives one, and every GET
// shows it. EC2 began it with IMDSv2, and other clouds differ in the names alone.
type TokenProtocol struct {
	Path        string        // of the PUT
	TTLHeader   string        // of the PUT, in seconds
	TokenHeader string        // of each GET
	TTL         time.Duration // asked for; a token is renewed ten minutes before its end
}

// Tokens asks a service with session tokens. It is safe for concurrent use.
type Tokens struct {
	client   *Client
	protocol TokenProtocol

	mu    sync.Mutex
	token token
}

// token is what requests are made with. The zero value has not been asked for.
type token struct {
	value   string    // "" for requests without a token
	refused error     // why value is ""
	until   time.Time // when it is to be asked for again
	serial  int       // counts the tokens, so that a renewal is told from its cause
}

// NewTokens makes Tokens without a token: the first Begin asks for one.
func NewTokens(client *Client, protocol TokenProtocol) *Tokens {
	return &Tokens{client: client, protocol: protocol}
}

// Begin is called once for each Fetch. It makes sure that there is a token, which is an error
// where the service gave none though it may well have them, and returns how to
// ask during this Fetch.
//
// A 401 means that the token has expired or that the service has restarted: it is
// renewed and the request repeated, once for all requests of the Fetch, so
// that a key that always says 401 does not make a new token for each request.
func (t *Tokens) Begin(ctx context.Context) (Get, error) {
	before, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, path string) (string, error) { return t.get(ctx, path, before) }, nil
}

// get is the body of a path, asked for with the present token during the Fetch that
// began with before.
func (t *Tokens) get(ctx context.Context, path string, before token) (string, error) {
	used, err := t.current(ctx)
	if err != nil {
		return "", err
	}
	body, err := t.ask(ctx, path, used)
	if !isStatus(err, http.StatusUnauthorized) || used.serial > before.serial {
		return body, err
	}
	used, err = t.renew(ctx, before)
	if err != nil {
		return "", err
	}
	return t.ask(ctx, path, used)
}

func (t *Tokens) ask(ctx context.Context, path string, with token) (string, error) {
	header := http.Header{}
	if with.value != "" {
		header.Set(t.protocol.TokenHeader, with.value)
	}
	body, err := t.client.Get(ctx, path, header)
	if with.refused != nil && isStatus(err, http.StatusUnauthorized) {
		err = fmt.Errorf("%w; it wants a session token and gives none: %w", err, with.refused)
	}
	return body, err
}

// current is the present token, asked for when there is none or it is about to expire.
func (t *Tokens) current(ctx context.Context) (token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.serial > 0 && time.Now().Before(t.token.until) {
		return t.token, nil
	}
	return t.replace(ctx)
}

// renew replaces the token, unless another request has done so since before.
func (t *Tokens) renew(ctx context.Context, before token) (token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.serial > before.serial {
		return t.token, nil
	}
	return t.replace(ctx)
}

func (t *Tokens) replace(ctx context.Context) (token, error) {
	header := http.Header{}
	header.Set(t.protocol.TTLHeader, strconv.Itoa(int(t.protocol.TTL/time.Second)))
	value, err := t.client.Put(ctx, t.protocol.Path, header)
	next := token{value: strings.TrimSpace(value), until: time.Now().Add(t.protocol.TTL - renewEarly), serial: t.token.serial + 1}
	switch {
	case hasNoTokens(err):
		next = token{refused: err, until: time.Now().Add(withoutToken), serial: next.serial}
	case err != nil:
		return token{}, fmt.Errorf("session token: %w%s", err, hopHint(err))
	case !isToken(next.value):
		return token{}, fmt.Errorf("session token: PUT %s answered 200 with %.40q, which is no token; check what answers at the metadata endpoint", t.protocol.Path, value)
	}
	t.token = next
	return next, nil
}

// hopHint names what makes the answer to the PUT, and to nothing else, get lost: IMDS
// sends it with a small hop limit, and Alibaba Cloud has the same setting.
func hopHint(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "; in a container the instance's metadata hop limit must be 2 or more"
	}
	return ""
}

// hasNoTokens reports whether a refused PUT means: go on without a token, as in
// IMDSv1. 404, 405 and 501 say that the path or the method is unknown. 403 says
// that this PUT is not allowed: on EC2 because IMDS is off (a plain GET is then
// a 403 too) or because something added X-Forwarded-For (a plain GET then works,
// unless tokens are required, which is a 401). In each case the GET tells, and
// going without a token gives nothing away, as it protects the service from
// being used through us, not us. A timeout, a 5xx, a 400, 401 or 429 says nothing
// about tokens, so they are errors: the service may well have them, and want them.
func hasNoTokens(err error) bool {
	return isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusMethodNotAllowed) ||
		isStatus(err, http.StatusNotImplemented) || isStatus(err, http.StatusForbidden)
}

func isStatus(err error, status int) bool {
	answer, ok := errors.AsType[*StatusError](err)
	return ok && answer.Status == status
}

// isToken holds for what can stand in a header: one word of printable ASCII.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
