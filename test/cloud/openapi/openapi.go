// Package openapi is the cloud's own interface: JD Cloud's OpenAPI of the
// services vpc and vm over a simulated cloud, so faithfully that JD's SDK works
// with it unchanged.
//
// Paths, parameters and JSON are those of github.com/jdcloud-api/jdcloud-sdk-go
// v1.64.0, plus what newer revisions of the API have about ENIs: secondary
// addresses of another subnet, a MAC that changes, describeNetworkInterfaceCidrIps.
package openapi

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"enid/test/cloud"
)

// maxBody is more than the largest custom metadata: 40 values of 16 KiB.
const maxBody = 1 << 20

// Service answers for one region of a cloud, as vpc.jdcloud-api.com and
// vm.jdcloud-api.com do: one listener may serve both. Make it with New. All
// methods may be called from several goroutines.
type Service struct {
	cloud *cloud.Cloud

	mu       sync.Mutex // never held while the cloud is called, which asks for roles while it is locked
	keys     map[string]key
	roles    map[string]bool   // instances that have one, "" for all
	minted   map[string]minted // the newest credentials, by instance
	writers  map[string]bool   // instances whose role may write
	lifetime time.Duration
	limit    int
	windows  map[string]window // by access key
	requests map[string]int
}

// New is the service of cloud.Region, with no keys and no
// roles: it refuses everybody until there are some.
func New(c *cloud.Cloud) *Service {
	return &Service{
		cloud: c,
		keys:  map[string]key{}, roles: map[string]bool{}, minted: map[string]minted{}, writers: map[string]bool{}, lifetime: roleLifetime,
		windows: map[string]window{}, requests: map[string]int{},
	}
}

// ServeHTTP answers one request, whatever happens with JD's envelope:
// {"requestId","result"} or {"requestId","error":{code,status,message}}, where
// the code is the HTTP status.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	result, err := s.answer(w, r)
	writeEnvelope(w, newRequestID(), result, err)
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	path, rawQuery := target(r)
	op, id, unknown := s.route(r.Method, path)
	s.count(op)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, invalid("body: %v; send at most %d bytes", err, maxBody)
	}
	who, err := s.authenticate(r, body)
	if err != nil {
		return nil, err
	}
	if unknown != nil {
		return nil, unknown
	}
	if err := s.admit(who, op); err != nil {
		return nil, err
	}
	asked := call{id: id, query: newQuery(rawQuery), body: body}
	if op.write {
		return op.run(s, asked)
	}
	var result any
	s.cloud.Settled(func() { result, err = op.run(s, asked) })
	return result, err
}

// admit reports whether the caller may do op now.
func (s *Service) admit(who caller, op operation) error {
	switch {
	case who.service != op.service:
		return denied("the signature is made for service %q: sign %s for %q", who.service, op.name, op.service)
	case who.region != cloud.Region:
		return denied("the signature is made for region %q: sign for %q", who.region, cloud.Region)
	case !s.underLimit(who.accessKey):
		return cloud.Refusal{Code: http.StatusTooManyRequests, Status: cloud.StatusQuota, Message: "Request limit exceeded: ask less often"}
	case op.write && who.instance != "" && !s.mayWrite(who.instance):
		return denied("the role of instance %s may describe only: it has no permission for %s:%s", who.instance, op.service, op.name)
	}
	return nil
}

// window counts the requests of one access key in one second.
type window struct {
	began time.Time
	count int
}

// SetLimit sets how many requests a second each access key has; those above it
// are answered 429. 0, as at first, is no limit.
func (s *Service) SetLimit(perSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = perSecond
}

func (s *Service) underLimit(accessKey string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.windows[accessKey]
	if now := time.Now(); now.Sub(w.began) >= time.Second {
		w = window{began: now}
	}
	w.count++
	s.windows[accessKey] = w
	return s.limit == 0 || w.count <= s.limit
}

// Requests are how often each operation was asked for, refused requests
// included, by service and name: "vpc.describeSubnet". What is no operation
// counts as "unknown".
func (s *Service) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

func (s *Service) count(op operation) {
	name := "unknown"
	if op.name != "" {
		name = op.service + "." + op.name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[name]++
}

func newRequestID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
