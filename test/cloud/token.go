package cloud

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"time"
)

const maxTokenTTL = 21600 // seconds, in every dialect with tokens

// SetTokenRequired says whether the dialects with session tokens answer only to one
// (as EC2's IMDSv2, the default) or also without one (IMDSv1).
func (c *Cloud) SetTokenRequired(required bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokenless = !required
}

// RevokeTokens makes every session token given out so far invalid.
func (c *Cloud) RevokeTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range c.instances {
		clear(in.tokens)
	}
}

// tokens are how a dialect gives out session tokens, and wants them.
type tokens struct {
	path    string // of the PUT
	ttl     string // the PUT's header
	header  string // of each GET
	without int    // status of a GET without a token where one is required
	failure func(status int) response
}

// admit answers a PUT and what is not allowed. Else ok is true, and left is how many seconds
// the request's token is still valid, "" where it came without one.
func (t tokens) admit(c *Cloud, in *instance, r *http.Request) (left string, refusal response, ok bool) {
	now, token := time.Now(), r.Header.Get(t.header)
	switch {
	case r.Method == http.MethodPut:
		return "", t.issue(in, r, now), false
	case !readOnly(r), r.URL.Path == t.path:
		return "", t.failure(http.StatusMethodNotAllowed), false
	case token == "" && c.tokenless:
		return "", response{}, true
	case token == "":
		return "", t.failure(t.without), false
	}
	end, known := in.tokens[token]
	if !known || !now.Before(end) {
		return "", t.failure(http.StatusUnauthorized), false
	}
	return strconv.Itoa(int(end.Sub(now) / time.Second)), response{}, true
}

// issue answers a PUT. Only the unversioned path gives tokens; a request
// that came through a proxy gets none.
func (t tokens) issue(in *instance, r *http.Request, now time.Time) response {
	ttl, err := strconv.Atoi(r.Header.Get(t.ttl))
	switch {
	case r.URL.Path != t.path, r.Header.Values("X-Forwarded-For") != nil:
		return t.failure(http.StatusForbidden)
	case err != nil, ttl < 1, ttl > maxTokenTTL:
		return t.failure(http.StatusBadRequest)
	}
	for token, end := range in.tokens {
		if !now.Before(end) {
			delete(in.tokens, token)
		}
	}
	token := rand.Text()
	in.tokens[token] = now.Add(time.Duration(ttl) * time.Second)
	return response{
		status: http.StatusOK, contentType: "text/plain", body: token,
		header: map[string]string{t.ttl: strconv.Itoa(ttl)},
	}
}
