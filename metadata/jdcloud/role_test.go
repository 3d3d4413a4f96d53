package jdcloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	secretWords = "AKsecret SKsecret TOKENsecret"
	roleBody    = `{"Code":"Success","accessKey":"AKsecret","secretKey":"SKsecret","sessionToken":"TOKENsecret","expiration":"2026-01-02T03:04:05Z"}`
)

func TestParseCredentials(t *testing.T) {
	good := map[string]secrets{
		roleBody: {"AKsecret", "SKsecret", "TOKENsecret"},
		`"{\"accessKey\":\"a\",\"secretKey\":\"b\"}"`:                   {"a", "b", ""},
		` {"AccessKey":"a","SecretKey":"b","SessionToken":"c","x":{}} `: {"a", "b", "c"},
	}
	for body, want := range good {
		if got, err := parseCredentials(body); err != nil || got.parts() != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{
		`{"Code":"fail","accessKey":"","secretKey":"","sessionToken":"","expiration":""}`, `{"Code":"FAIL","accessKey":"a","secretKey":"b"}`,
		`{}`, `{"accessKey":"a"}`, `null`,
	} {
		if _, err := parseCredentials(body); !errors.Is(err, errNoRole) {
			t.Errorf("%s: %v, want no role", body, err)
		}
	}
	for _, body := range []string{"", "AKsecret", `["AKsecret"]`, `{"accessKey":7,"secretKey":"SKsecret"}`, `{"accessKey":"AKsecret","secretKey":"SKsecret\n"`, `{"accessKey":"AKsecret x","secretKey":"SKsecret"}`} {
		_, err := parseCredentials(body)
		if err == nil || errors.Is(err, errNoRole) || strings.Contains(err.Error(), "secret ") || strings.Contains(err.Error(), "Ksecret") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestExpiration(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for raw, want := range map[string]time.Time{
		`"2026-01-02T03:04:05Z"`: at, `"2026-01-02T11:04:05+08:00"`: at, fmt.Sprint(at.Unix()): at, fmt.Sprintf(`"%d"`, at.UnixMilli()): at,
		``: {}, `""`: {}, `null`: {}, `"soon"`: {}, `-1`: {}, `{}`: {}, `1e9`: {},
	} {
		if got := expiration(json.RawMessage(raw)); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}

// TestSecretsAreNeverShown prints and marshals credentials in every way, by themselves and inside of what holds them.
func TestSecretsAreNeverShown(t *testing.T) {
	c, err := parseCredentials(roleBody)
	if err != nil {
		t.Fatal(err)
	}
	o := newService().openAPI()
	o.role.have = c
	source := &Source{openAPI: o}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	for _, v := range []any{c, &c, []credentials{c}, map[string]credentials{"x": c}, o.role, &o.role, o, source} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		log.Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
	}
	for _, word := range strings.Fields(secretWords) {
		for _, form := range []string{word, fmt.Sprintf("%x", word)} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s is shown: %s", word, out.String()[max(0, strings.Index(out.String(), form)-200):][:300])
			}
		}
	}
	if !strings.Contains(out.String(), "credentials(hidden)") {
		t.Error("nothing is shown at all")
	}
}

// roleWith is the metadata's answer for credentials that expire at the time until.
func roleWith(name string, until time.Time) string {
	return fmt.Sprintf(`{"accessKey":%q,"secretKey":"s","sessionToken":"t","expiration":%q}`, name, until.Format(time.RFC3339))
}

// TestRenewal: credentials are read again five minutes or a tenth of their life before they expire, and not before.
func TestRenewal(t *testing.T) {
	for life, before := range map[time.Duration]time.Duration{6 * time.Hour: 5 * time.Minute, 50 * time.Minute: 5 * time.Minute, 10 * time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			r := &s.openAPI().role
			s.role = roleWith("one", time.Now().Add(life))
			get := func() string {
				c, err := r.get(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return c.parts().accessKey
			}
			get()
			s.role = roleWith("two", time.Now().Add(2*life))
			<-time.After(life - before - time.Second)
			if got := get(); got != "one" || s.count(rolePath) != 1 {
				t.Errorf("of %v: %s, read %d times, %v before the end", life, got, s.count(rolePath), before+time.Second)
			}
			<-time.After(time.Second)
			if got := get(); got != "two" || s.count(rolePath) != 2 {
				t.Errorf("of %v: %s, read %d times, %v before the end", life, got, s.count(rolePath), before)
			}
		})
	}
}

// TestRenewalFails: the old credentials do until they expire; a role that was taken away does not.
func TestRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		r := &s.openAPI().role
		s.role = roleWith("one", time.Now().Add(10*time.Minute))
		if _, err := r.get(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.role = "<html>"
		<-time.After(9*time.Minute + 30*time.Second)
		if c, err := r.get(t.Context()); err != nil || c.parts().accessKey != "one" {
			t.Errorf("before the end: %v", err)
		}
		<-time.After(30 * time.Second)
		if _, err := r.get(t.Context()); err == nil {
			t.Error("credentials that have expired are used")
		}
		s.role = roleWith("two", time.Now().Add(10*time.Minute))
		if c, err := r.get(t.Context()); err != nil || c.parts().accessKey != "two" {
			t.Errorf("afterwards: %v", err)
		}
		s.role = ""
		<-time.After(9*time.Minute + 30*time.Second)
		if _, err := r.get(t.Context()); !errors.Is(err, errNoRole) {
			t.Errorf("without the role: %v", err)
		}
	})
}

// TestDenied: credentials that the OpenAPI refuses are read again once and at once, and tried if they are others.
func TestDenied(t *testing.T) {
	for name, tt := range map[string]struct {
		next    string
		code    int
		asked   int // questions about ENIs
		role    int // and about the role
		problem string
	}{
		"others":    {roleWith("new", time.Now().Add(time.Hour)), 401, 2, 2, ""},
		"forbidden": {roleWith("new", time.Now().Add(time.Hour)), 403, 2, 2, ""},
		"the same":  {roleWith("old", time.Now().Add(time.Hour)), 401, 1, 2, "let the role that is bound to the instance describe"},
		"none":      {"", 403, 1, 2, "no role is bound"},
		"useless":   {roleWith("bad", time.Now().Add(time.Hour)), 403, 2, 2, "let the role that is bound to the instance describe"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService()
			o := s.openAPI()
			s.role = roleWith("old", time.Now().Add(time.Hour))
			s.fails = func(r *http.Request) int {
				if s.role = tt.next; !strings.Contains(r.Header.Get("Authorization"), "Credential=new/") {
					return tt.code
				}
				return 0
			}
			i := said()
			i.Interfaces[0].SubnetID.State = 0
			got := o.complete(t.Context(), i)
			told := ""
			for _, p := range got.Problems {
				told += p.String()
			}
			if s.count(enisPath) != tt.asked || s.count(rolePath) != tt.role || (told == "") != (tt.problem == "") || !strings.Contains(told, tt.problem) {
				t.Errorf("asked %v: %s", s.asked, told)
			}
		})
	}
}

// TestNoRole: without one nothing is asked of the OpenAPI, whether there is one is asked with each poll, and one that
// is bound is used at once.
func TestNoRole(t *testing.T) {
	s := newService()
	o := s.openAPI()
	s.role = ""
	for n := 1; n <= 3; n++ {
		if got := o.complete(t.Context(), said("port-2")); len(got.Problems) != 1 || got.Problems[0].Reason != "no-role" || s.count(rolePath) != n {
			t.Errorf("asked %v: %v", s.asked, got.Problems)
		}
	}
	if s.count(enisPath) != 0 {
		t.Errorf("asked %v", s.asked)
	}
	s.role = goodRole
	if got := o.complete(t.Context(), said()); !got.Interfaces[0].Whole() {
		t.Errorf("with a role: %v", got.Problems)
	}
}
