package openapi

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"time"
)

// maxSkew is how far a request's date may be from the service's clock.
const maxSkew = 15 * time.Minute

// key is what belongs to an access key.
type key struct {
	secret   string
	token    string    // session token, or "": a person's key
	instance string    // the instance whose role it is, or "": a person's key
	expires  time.Time // zero: never
}

// caller is who signed a request, and for what.
type caller struct {
	accessKey string
	instance  string // "": a person
	region    string
	service   string
}

// AddKey gives a person an access key that may do everything and never expires.
func (s *Service) AddKey(access, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[access] = key{secret: secret}
}

// authenticate finds out who signed a request. Its errors are all 401.
func (s *Service) authenticate(r *http.Request, body []byte) (caller, error) {
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return caller{}, unauthenticated("%v", err)
	}
	if err := a.checkHeaders(r.Header); err != nil {
		return caller{}, unauthenticated("%v", err)
	}
	k, ok := s.key(a.accessKey)
	if !ok {
		return caller{}, unauthenticated("access key %q is not known", a.accessKey)
	}
	if err := a.verify(r, body, k.secret); err != nil {
		return caller{}, unauthenticated("%v", err)
	}
	if err := checkDate(r.Header.Get(dateHeader), a.day); err != nil {
		return caller{}, err
	}
	if err := s.checkSession(k, r.Header.Get(tokenHeader)); err != nil {
		return caller{}, err
	}
	return caller{a.accessKey, k.instance, a.region, a.service}, nil
}

func (s *Service) key(access string) (key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[access]
	return k, ok
}

func checkDate(text, day string) error {
	date, err := time.Parse(dateLayout, text)
	if err != nil {
		return unauthenticated("x-jdcloud-date %q: want YYYYMMDDThhmmssZ", text)
	}
	if date.Format(time.DateOnly) != dashed(day) {
		return unauthenticated("the credential is for day %s and x-jdcloud-date is %s", day, text)
	}
	now := time.Now().UTC()
	if date.Before(now.Add(-maxSkew)) || date.After(now.Add(maxSkew)) {
		return unauthenticated("x-jdcloud-date %s is more than %v from the service's clock, %s: set the clock", text, maxSkew, now.Format(dateLayout))
	}
	return nil
}

// dashed makes YYYY-MM-DD of YYYYMMDD.
func dashed(day string) string {
	if len(day) != len("20060102") {
		return day
	}
	return day[:4] + "-" + day[4:6] + "-" + day[6:]
}

// checkSession checks what a role's credentials have beside key and secret.
// The header is in base64, as JD's SDKs send it. A person's key needs none; one
// that comes all the same is for another purpose (MFA).
func (s *Service) checkSession(k key, header string) error {
	if k.token == "" {
		return nil
	}
	token, err := base64.StdEncoding.DecodeString(header)
	switch {
	case header == "":
		return unauthenticated("the session token is missing: send x-jdcloud-security-token")
	case err != nil || subtle.ConstantTimeCompare(token, []byte(k.token)) == 0:
		return unauthenticated("the session token is not that of the access key")
	case !time.Now().Before(k.expires):
		return unauthenticated("the session token has expired at %s: ask the metadata for new credentials", k.expires.Format(time.RFC3339))
	}
	if _, err := s.cloud.DescribeInstance(k.instance); err != nil {
		return unauthenticated("instance %s, whose role it is, is no more", k.instance)
	}
	return nil
}

func newSecret() string { return rand.Text() + rand.Text() }
