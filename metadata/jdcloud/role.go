package jdcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"enid/metadata"
)

// rolePath is where the metadata gives the credentials of the role that is bound to the instance. It is in
// no page of the manual; it was seen to answer an object with Code, accessKey, secretKey, sessionToken and
// expiration, with Code "fail" and empty fields where no role is bound.
const rolePath = "iam/instance-role-security-credentials"

const (
	// renewBefore is how long before they expire credentials are renewed, at most.
	renewBefore = 5 * time.Minute
	// unknownLife is for how long credentials are used whose expiration cannot be read.
	unknownLife = 5 * time.Minute
)

// errNoRole says that the instance has no credentials to ask the OpenAPI with.
var errNoRole = errors.New("no role is bound to the instance, so the OpenAPI is not asked for what the metadata does not say; bind a role that may describe network interfaces and subnets, say it in an interfaces document or the custom-metadata key enid, or set metadata.openapi: off")

// secrets are the parts of credentials.
type secrets struct{ accessKey, secretKey, sessionToken string }

// credentials are what requests are signed with. However they are printed or marshalled, what is secret in them
// is not: the methods see to that, and where fmt cannot call them because the value is in a private field, it walks over
// the fields and stops at a function, as it does not at a pointer.
type credentials struct {
	parts   func() secrets // nil where there are none
	expires time.Time      // zero where unknown
}

// String tells that there are credentials and nothing of them.
func (c credentials) String() string { return "credentials(hidden)" }

// Format is String for every verb.
func (c credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue is String for log/slog.
func (c credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String for encoders.
func (c credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// parseCredentials reads the answer of rolePath. Its errors quote nothing of the body.
func parseCredentials(body string) (credentials, error) {
	text, err := unquote(body)
	var answer struct {
		Code                               string
		AccessKey, SecretKey, SessionToken string
		Expiration                         json.RawMessage
	}
	if err != nil || json.Unmarshal([]byte(text), &answer) != nil {
		return credentials{}, errors.New("the answer is no JSON object with accessKey, secretKey, sessionToken and expiration")
	}
	if failed(text) || answer.AccessKey == "" || answer.SecretKey == "" {
		return credentials{}, errNoRole
	}
	for _, word := range []string{answer.AccessKey, answer.SecretKey} {
		if _, err := metadata.Word(word); err != nil {
			return credentials{}, errors.New("accessKey and secretKey are not both words of printable characters")
		}
	}
	parts := secrets{answer.AccessKey, answer.SecretKey, answer.SessionToken}
	return credentials{func() secrets { return parts }, expiration(answer.Expiration)}, nil
}

// expiration reads a time in the forms that JD Cloud's services use elsewhere, as this one's is not
// documented: RFC 3339, or seconds or milliseconds since 1970. Zero is unknown.
func expiration(raw json.RawMessage) time.Time {
	text := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = quoted
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n <= 0:
		return time.Time{}
	case n > 1e11: // seconds get there in the year 5138
		return time.UnixMilli(n)
	}
	return time.Unix(n, 0)
}

// renewal is when credentials that were read at the time now are to be read again: five minutes before they
// expire or a tenth of their life, whichever is less.
func (c credentials) renewal(now time.Time) time.Time {
	if c.expires.IsZero() {
		return now.Add(unknownLife)
	}
	life := max(c.expires.Sub(now), 0)
	return c.expires.Add(-min(renewBefore, life/10))
}

// role keeps the credentials of the instance's role.
type role struct {
	read  func(ctx context.Context) (string, error) // the body of rolePath
	have  credentials
	renew time.Time
}

// get is credentials that are good for a while yet. When they cannot be renewed, the old ones do until
// they expire.
func (r *role) get(ctx context.Context) (credentials, error) {
	now := time.Now()
	if r.have.parts != nil && now.Before(r.renew) {
		return r.have, nil
	}
	_, err := r.again(ctx)
	if r.have.parts != nil && now.Before(r.have.expires) {
		return r.have, nil
	}
	return r.have, err
}

// again reads the credentials whatever is known of them, and says whether they are others than before.
func (r *role) again(ctx context.Context) (changed bool, err error) {
	now := time.Now()
	body, err := r.read(ctx)
	if errors.Is(err, metadata.ErrNotFound) {
		r.have = credentials{}
		return true, errNoRole
	}
	if err != nil {
		return false, fmt.Errorf("the credentials of the instance's role: %w", err)
	}
	fresh, err := parseCredentials(body)
	if errors.Is(err, errNoRole) {
		r.have = credentials{}
		return true, err
	}
	if err != nil {
		return false, fmt.Errorf("the credentials of the instance's role, %s: %w", rolePath, err)
	}
	changed = r.have.parts == nil || r.have.parts() != fresh.parts()
	r.have, r.renew = fresh, fresh.renewal(now)
	return changed, nil
}
