package openapi

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The signature JDCLOUD2-HMAC-SHA256, from JD Cloud's page "Signature
// Algorithm" and checked against the signer of its SDK for Go.
const (
	algorithm = "JDCLOUD2-HMAC-SHA256"
	keyPrefix = "JDCLOUD2"
	terminal  = "jdcloud2_request"

	dateHeader  = "X-Jdcloud-Date"
	nonceHeader = "X-Jdcloud-Nonce"
	tokenHeader = "X-Jdcloud-Security-Token"
	dateLayout  = "20060102T150405Z"
)

// authorization is what the Authorization header says.
type authorization struct {
	accessKey string
	day       string // YYYYMMDD
	region    string
	service   string
	headers   []string // signed ones, in lower case
	signature string   // hexadecimal, in lower case
}

func parseAuthorization(text string) (authorization, error) {
	rest, ok := strings.CutPrefix(text, algorithm+" Credential=")
	credential, rest, ok2 := strings.Cut(rest, ", SignedHeaders=")
	headers, signature, ok3 := strings.Cut(rest, ", Signature=")
	parts := strings.Split(credential, "/")
	if !ok || !ok2 || !ok3 || len(parts) != 5 || parts[4] != terminal || len(signature) != hex.EncodedLen(sha256.Size) {
		return authorization{}, fmt.Errorf("authorization header: want %s Credential=KEY/DAY/REGION/SERVICE/%s, SignedHeaders=A;B, Signature=HEX",
			algorithm, terminal)
	}
	return authorization{parts[0], parts[1], parts[2], parts[3], strings.Split(headers, ";"), signature}, nil
}

// checkHeaders reports a header that has to be signed and is not: the date, the
// nonce, and the session token where there is one.
func (a authorization) checkHeaders(h http.Header) error {
	for _, name := range []string{dateHeader, nonceHeader, tokenHeader} {
		present := len(h.Values(name)) > 0
		switch signed := slices.Contains(a.headers, strings.ToLower(name)); {
		case present && !signed:
			return fmt.Errorf("header %s is not signed: name it in SignedHeaders", strings.ToLower(name))
		case !present && name != tokenHeader:
			return fmt.Errorf("header %s is missing", strings.ToLower(name))
		}
	}
	return nil
}

var errSignature = errors.New("the signature does not match: it is made with another secret, or the request was changed")

// verify reports whether secret made the signature of r.
func (a authorization) verify(r *http.Request, body []byte, secret string) error {
	want := a.sign(secret, r.Header.Get(dateHeader), canonicalRequest(r, body, a.headers))
	if !hmac.Equal([]byte(want), []byte(a.signature)) {
		return errSignature
	}
	return nil
}

func (a authorization) sign(secret, date, canonical string) string {
	scope := strings.Join([]string{a.day, a.region, a.service, terminal}, "/")
	key := []byte(keyPrefix + secret)
	for _, part := range []string{a.day, a.region, a.service, terminal} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, strings.Join([]string{algorithm, date, scope, digest([]byte(canonical))}, "\n")))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// canonicalRequest is the request in the one form that is signed.
func canonicalRequest(r *http.Request, body []byte, signed []string) string {
	path, query := target(r)
	lines := []string{r.Method, escape(path, true), canonicalQuery(parseQuery(query))}
	for _, name := range signed {
		lines = append(lines, name+":"+headerValue(r, name))
	}
	return strings.Join(append(lines, "", strings.Join(signed, ";"), digest(body)), "\n")
}

// headerValue is the header's value with surrounding spaces gone, and runs of
// spaces made one, as JD's SDKs do it.
func headerValue(r *http.Request, name string) string {
	if name == "host" {
		return r.Host
	}
	value := strings.Trim(strings.Join(r.Header.Values(name), ","), " ")
	for strings.Contains(value, "  ") {
		value = strings.ReplaceAll(value, "  ", " ")
	}
	return value
}

// target is the request's path, decoded, and its query as it came: what is
// signed and what is acted on are read from the same text.
func target(r *http.Request) (path, query string) {
	path, query, _ = strings.Cut(r.RequestURI, "?")
	return unescape(path), query
}

// pair is one parameter of a query.
type pair struct{ name, value string }

func parseQuery(raw string) []pair {
	var out []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		out = append(out, pair{unescape(name), unescape(value)})
	}
	return out
}

func canonicalQuery(pairs []pair) string {
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var parts []string
	for _, p := range pairs {
		parts = append(parts, escape(p.name, false)+"="+escape(p.value, false))
	}
	return strings.Join(parts, "&")
}

const hexDigits = "0123456789ABCDEF"

// escape leaves letters, digits and -._~ as they are, and slashes where asked to.
func escape(s string, slashes bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("-._~", c) >= 0, c == '/' && slashes:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// unescape is the opposite of escape. A percent sign that begins no escape
// stands for itself, and so does a plus sign: JD's page signs them that way.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if d, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.WriteByte(d[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
