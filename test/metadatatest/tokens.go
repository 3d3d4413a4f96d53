package metadatatest

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"enid/metadata"
)

// TokenService hands out session tokens and wants the latest one with each request to Next.
type TokenService struct {
	Protocol metadata.TokenProtocol
	Next     http.Handler
	Optional bool                        // answers without a token too
	Refuse   func(w http.ResponseWriter) // instead of handing out a token

	mu    sync.Mutex
	valid string
	puts  int
}

// ServeHTTP wants a PUT to be as the protocol says, to the letter.
func (s *TokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.Header.Get(s.Protocol.TokenHeader)
	switch {
	case r.Method == http.MethodPut && r.URL.Path == s.Protocol.Path:
		s.put(w, r)
	case r.Method != http.MethodGet:
		http.Error(w, "", http.StatusMethodNotAllowed)
	case token == "" && s.Optional, token != "" && token == s.valid:
		s.Next.ServeHTTP(w, r)
	default:
		http.Error(w, "<html>", http.StatusUnauthorized)
	}
}

func (s *TokenService) put(w http.ResponseWriter, r *http.Request) {
	s.puts++
	switch {
	case s.Refuse != nil:
		s.Refuse(w)
	case r.Header.Get(s.Protocol.TTLHeader) != strconv.Itoa(int(s.Protocol.TTL/time.Second)), r.ContentLength != 0:
		http.Error(w, "", http.StatusBadRequest)
	default:
		s.valid = fmt.Sprintf("AQAEAL-%d==", s.puts)
		fmt.Fprint(w, s.valid)
	}
}

// Revoke makes every token that was given out invalid.
func (s *TokenService) Revoke() { s.Set(func() { s.valid = "another" }) }

// Set changes the service while it runs.
func (s *TokenService) Set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Asked counts the tokens that were asked for.
func (s *TokenService) Asked() (n int) {
	s.Set(func() { n = s.puts })
	return n
}
