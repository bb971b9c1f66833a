package sip

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"
)

func TestChallengedCallIsPlacedAgainWithCredentials(t *testing.T) {
	t.Parallel()
	for _, proxy := range []bool{false, true} {
		for _, algorithm := range []Algorithm{SHA256, MD5} {
			auth := NewAuthenticator([32]byte{1}, nil)
			b := newPhone(t)
			status, ask, give := 401, "WWW-Authenticate", "Authorization"
			if proxy {
				status, ask, give = 407, "Proxy-Authenticate", "Proxy-Authorization"
			}
			b.handle(func(d *Dialog) {
				user, err := auth.Verify(d.Header(give), "INVITE", "example.com", func(user string, alg Algorithm) (string, bool) {
					if alg != algorithm {
						return "", false
					}
					return HA1(alg, user, "example.com", "secret"), user == "alice"
				})
				if err == nil && user == "alice" {
					b.calls <- watch(d)
					return
				}
				var headers []Header
				for _, value := range auth.Challenge("example.com", false, algorithm) {
					headers = append(headers, Header{ask, value})
				}
				d.Reject(status, Reason{}, headers...)
			}, nil)
			a := newPhone(t)
			out := a.dial(t, b.addr(), func(r *InviteRequest) { r.Auth = &Auth{User: "alice", Password: "secret", Realm: "example.com"} })
			in := b.incoming(t)
			in.Accept(context.Background(), []byte("v=0\r\n"))
			expect[Answered](t, out)
			expect[Acked](t, in)
			out.Hangup(Reason{})
			expect[Ended](t, in)

			out = a.dial(t, b.addr(), func(r *InviteRequest) { r.Auth = &Auth{User: "alice", Password: "wrong"} })
			if e := expect[Failed](t, out); e.Status != status {
				t.Errorf("wrong password: %+v", e)
			}
			out = a.dial(t, b.addr(), func(r *InviteRequest) { r.Auth = &Auth{User: "alice", Password: "secret", Realm: "other.com"} })
			if e := expect[Failed](t, out); e.Status != status {
				t.Errorf("other realm: %+v", e)
			}
			out = a.dial(t, b.addr())
			if e := expect[Failed](t, out); e.Status != status {
				t.Errorf("no credentials: %+v", e)
			}
			a.idle(t)
			b.idle(t)
		}
	}
}

func TestStrongestChallengeIsChosen(t *testing.T) {
	m := &message{status: 401}
	for _, value := range []string{
		`Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`,
		`Digest realm="other", nonce="n", algorithm=SHA-256, qop="auth"`,
		`Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"`,
		`Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth-int"`,
		`Basic realm="r"`,
	} {
		m.headers = append(m.headers, Header{"WWW-Authenticate", value})
	}
	h, ok := answerChallenge(m, &Auth{User: "u", Password: "p", Realm: "r"}, "INVITE", "sip:x", 0)
	if !ok || h.Name != "Authorization" || !strings.Contains(h.Value, "SHA-256") || !strings.Contains(h.Value, `realm="r"`) {
		t.Errorf("%v %v", h, ok)
	}
	if _, ok := answerChallenge(m, &Auth{User: "u", Password: "p", Realm: "r"}, "INVITE", "sip:x", 1); ok {
		t.Error("a second challenge that is not stale was answered")
	}
}

func TestNonceLivesSixtySecondsAndCountsUp(t *testing.T) {
	now := time.Unix(1000, 0)
	a := NewAuthenticator([32]byte{7}, func() time.Time { return now })
	lookup := func(user string, alg Algorithm) (string, bool) { return HA1(alg, user, "r", "p"), user == "u" }
	challenge, err := digest.ParseChallenge(a.Challenge("r", false)[0])
	if err != nil {
		t.Fatal(err)
	}
	credentials := func(user, password string, count int) string {
		c, err := digest.Digest(challenge, digest.Options{Method: "REGISTER", URI: "sip:r", Username: user, Password: password, Count: count})
		if err != nil {
			t.Fatal(err)
		}
		return c.String()
	}
	check := func(name, header, method string, want error) {
		t.Helper()
		if _, err := a.Verify(header, method, "r", lookup); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	check("none", "", "REGISTER", ErrNoCredentials)
	check("basic", "Basic abc", "REGISTER", ErrNoCredentials)
	check("password", credentials("u", "x", 1), "REGISTER", ErrCredentials)
	check("user", credentials("v", "p", 1), "REGISTER", ErrCredentials)
	check("method", credentials("u", "p", 1), "INVITE", ErrCredentials)
	check("first", credentials("u", "p", 1), "REGISTER", nil)
	check("replay", credentials("u", "p", 1), "REGISTER", ErrStale)
	check("next", credentials("u", "p", 3), "REGISTER", nil)
	check("back", credentials("u", "p", 2), "REGISTER", ErrStale)
	now = now.Add(59 * time.Second)
	check("old enough", credentials("u", "p", 4), "REGISTER", nil)
	now = now.Add(2 * time.Second)
	check("too old", credentials("u", "p", 5), "REGISTER", ErrStale)
	if _, err := NewAuthenticator([32]byte{8}, func() time.Time { return now }).Verify(credentials("u", "p", 6), "REGISTER", "r", lookup); !errors.Is(err, ErrStale) {
		t.Errorf("foreign nonce: %v", err)
	}
}
