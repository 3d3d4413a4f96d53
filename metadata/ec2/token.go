package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"enid/metadata"
)

// The session token of IMDSv2: a PUT gives it, and every GET shows it.
const (
	tokenPath   = "/latest/api/token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"

	tokenTTL   = 21600 * time.Second // the longest that IMDS gives
	renewEarly = 10 * time.Minute
	// withoutToken is how long a refused PUT is not tried again, so that a
	// service that learns about tokens, or forgot them for a moment while it
	// started, is asked with one again.
	withoutToken = 5 * time.Minute
)

// token is what requests are made with. The zero value has not been asked for.
type token struct {
	value   string    // "" for requests without a token, IMDSv1
	refused error     // why value is ""
	until   time.Time // when it is to be asked for again
	serial  int       // counts the tokens, so that a renewal is told from its cause
}

// tokens keeps the present token for requests that run side by side.
type tokens struct {
	client *metadata.Client

	mu    sync.Mutex
	token token
}

// get is the body of a path, asked for with the present token. A 401 means that the
// token has expired or that the service has restarted: it is renewed and the
// request repeated, once for all requests of the Fetch that began with before,
// so that a key that always says 401 does not make a new token for each request.
func (t *tokens) get(ctx context.Context, path string, before token) (string, error) {
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

func (t *tokens) ask(ctx context.Context, path string, with token) (string, error) {
	header := http.Header{}
	if with.value != "" {
		header.Set(tokenHeader, with.value)
	}
	body, err := t.client.Get(ctx, path, header)
	if with.refused != nil && isStatus(err, http.StatusUnauthorized) {
		err = fmt.Errorf("%w; it wants a session token and gives none: %w", err, with.refused)
	}
	return body, err
}

// current is the present token, asked for when there is none or it is about to expire.
func (t *tokens) current(ctx context.Context) (token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.serial > 0 && time.Now().Before(t.token.until) {
		return t.token, nil
	}
	return t.replace(ctx)
}

// renew replaces the token, unless another request has done so since before.
func (t *tokens) renew(ctx context.Context, before token) (token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.serial > before.serial {
		return t.token, nil
	}
	return t.replace(ctx)
}

func (t *tokens) replace(ctx context.Context) (token, error) {
	header := http.Header{ttlHeader: {strconv.Itoa(int(tokenTTL / time.Second))}}
	value, err := t.client.Put(ctx, tokenPath, header)
	next := token{value: strings.TrimSpace(value), until: time.Now().Add(tokenTTL - renewEarly), serial: t.token.serial + 1}
	switch {
	case hasNoTokens(err):
		next = token{refused: err, until: time.Now().Add(withoutToken), serial: next.serial}
	case err != nil:
		return token{}, fmt.Errorf("session token: %w%s", err, hopHint(err))
	case !isToken(next.value):
		return token{}, fmt.Errorf("session token: PUT %s answered 200 with %.40q, which is no token; check what answers at the metadata endpoint", tokenPath, value)
	}
	t.token = next
	return next, nil
}

// hopHint names what makes the answer to the PUT, and to nothing else, get lost: IMDS
// sends it with a small hop limit.
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
	answer, ok := errors.AsType[*metadata.StatusError](err)
	return ok && answer.Status == status
}

// isToken holds for what can stand in a header: one word of printable ASCII.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
