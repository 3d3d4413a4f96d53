package openapi

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// roleLifetime is how long a role's credentials live unless told otherwise. No
// document of JD Cloud says it.
const roleLifetime = 6 * time.Hour

// Credentials of an instance's role, as its metadata shows them.
type Credentials struct {
	AccessKey    string    `json:"accessKey"`
	SecretKey    string    `json:"secretKey"`
	SessionToken string    `json:"sessionToken"`
	Expiration   time.Time `json:"expiration"`
}

// minted are credentials and when they were made.
type minted struct {
	Credentials
	at time.Time
}

// SetRoleLifetime sets how long credentials live that are minted from now on.
func (s *Service) SetRoleLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
}

// BindRole binds a role to an instance: it may describe everything in the
// region, and its metadata gives it the credentials. "" binds one to every
// instance, also to those made later.
func (s *Service) BindRole(instance string) error {
	if instance != "" {
		if _, err := s.cloud.DescribeInstance(instance); err != nil {
			return fmt.Errorf("bind a role to instance %q: %w", instance, err)
		}
	}
	s.mu.Lock()
	s.roles[instance] = true
	s.mu.Unlock()
	s.cloud.SetRole(instance, s.roleDocument)
	return nil
}

// UnbindRole takes away what BindRole gave with the same argument. Credentials
// that it minted are refused from now on.
func (s *Service) UnbindRole(instance string) {
	s.cloud.SetRole(instance, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roles, instance)
	maps.DeleteFunc(s.keys, func(_ string, k key) bool { return k.instance != "" && !s.bound(k.instance) })
	maps.DeleteFunc(s.minted, func(instance string, _ minted) bool { return !s.bound(instance) })
}

// AllowRoleWrites lets an instance's role do everything that a person may; ""
// lets the role of every instance.
func (s *Service) AllowRoleWrites(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writers[instance] = true
}

func (s *Service) mayWrite(instance string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writers[instance] || s.writers[""]
}

func (s *Service) bound(instance string) bool {
	return s.roles[instance] || s.roles[""]
}

// RoleCredentials are the credentials of an instance's role, zero where none
// is bound. They stay the same until a fifth of their life is left; then new
// ones are minted, and the old ones stay good until they expire.
func (s *Service) RoleCredentials(instance string) Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	if instance == "" || !s.bound(instance) {
		return Credentials{}
	}
	now := time.Now()
	m := s.minted[instance]
	if life := m.Expiration.Sub(m.at); m.Expiration.Sub(now) <= life/5 {
		s.forgetExpired(now)
		m = s.mint(instance, now)
	}
	return m.Credentials
}

func (s *Service) mint(instance string, now time.Time) minted {
	c := Credentials{
		AccessKey: "JDC_" + rand.Text(), SecretKey: newSecret(), SessionToken: newSecret(),
		Expiration: now.Add(s.lifetime).UTC().Truncate(time.Second),
	}
	s.keys[c.AccessKey] = key{c.SecretKey, c.SessionToken, instance, c.Expiration}
	s.minted[instance] = minted{c, now}
	return s.minted[instance]
}

// forgetExpired drops keys that have long been no good, so that a fleet's do
// not pile up. An hour on, a client still learns that its key has expired.
func (s *Service) forgetExpired(now time.Time) {
	maps.DeleteFunc(s.keys, func(access string, k key) bool {
		old := k.token != "" && now.Sub(k.expires) > time.Hour
		if old {
			delete(s.windows, access)
		}
		return old
	})
}

// roleDocument is the role's part of the metadata.
func (s *Service) roleDocument(instance string) string {
	b, _ := json.Marshal(struct {
		Code string
		Credentials
	}{"success", s.RoleCredentials(instance)}) // strings and a time cannot fail
	return string(b)
}
